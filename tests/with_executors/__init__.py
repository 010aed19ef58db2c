"""Batches on executors that the normal tests cannot have: see `run.py`."""
