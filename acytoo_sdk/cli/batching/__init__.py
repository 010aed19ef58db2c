"""Many prompts: their input, how far they are, and what became of them."""
