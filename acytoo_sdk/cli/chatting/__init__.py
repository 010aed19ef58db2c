"""A conversation: its commands, its lines, its keys, and what it shows."""
