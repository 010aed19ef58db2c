"""One question: its prompt, and the forms in which its reply is written."""
