"""What a terminal is written: nothing that it would obey, and Markdown that grows."""
