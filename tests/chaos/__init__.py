"""The chaos job: `python -m tests.chaos` sets cancel, close, garbage, signals, forks and threads against each other.

`plan` is what a seed decides, `worker` does things with streams, `interference` is what happens to them meanwhile,
`judge` says what may become of them, `round` is the process of one round, and `__main__` runs rounds beside their
servers. Only the public API is used.
"""
