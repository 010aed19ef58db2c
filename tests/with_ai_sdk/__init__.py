"""Endpoints of the Vercel AI SDK, from npm, which the normal tests cannot have: see `run.py`."""
