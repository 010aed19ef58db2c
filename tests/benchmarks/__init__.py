"""The benchmarks: `python -m tests.benchmarks` runs this package beside its peers, on a server of its own process.

`server` serves pre-rendered bytes, `peers` are the clients, `relays` what may stand between, and `batches` those who
ask many prompts; `tasks` is what each of them has to do (and `streams` many replies at once), `worker` the process in
which one of them does one task, `contest` what a row is and how its rounds are played, and `rows` the table: who does
what, and how fast it has to be. `progress` is what a terminal sees meanwhile, `report` what is kept of a run, and
`plot` the picture of it.
"""
