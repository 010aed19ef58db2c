"""Calls under gevent's monkey patch, which the normal tests cannot have: see `run.py`."""
