"""`acytoo serve` between programs of others: the servers behind it, and the clients in front of it: see `run.py`."""
