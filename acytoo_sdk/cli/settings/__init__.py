"""Settings: the sources they come from, the user's file, and the clients that are made of them."""
