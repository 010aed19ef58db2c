"""Many prompts: which is asked when, where it is asked, and what is kept of it. What users hold is in `batch`."""
