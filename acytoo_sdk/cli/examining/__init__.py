"""Examining a server: the steps, what is seen, and how to mend it."""
