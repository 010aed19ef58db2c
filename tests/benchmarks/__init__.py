"""The benchmarks: `python -m tests.benchmarks` runs this package beside its peers, on a server of its own process.

`server` serves pre-rendered bytes, `peers` are the clients, `tasks` what each of them has to do, `worker` the process
in which one client does one task, and `rows` the table: who does what, and how fast it has to be.
"""
