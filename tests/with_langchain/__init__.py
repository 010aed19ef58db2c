"""LangChain's standard tests, whose plug-ins of pytest the normal tests do not want: see `run.py`."""
