"""Every socket of the client: connections, their limits and their end, requests' adapter, and what failed."""
