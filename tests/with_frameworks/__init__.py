"""The recipes of `acytoo_sdk.integrations`, run as they stand there: see `run.py`."""
