"""What connects the package to frameworks and engines: one file each, which imports it where it is used."""
