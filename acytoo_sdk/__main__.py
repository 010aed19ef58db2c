"""`python -m acytoo_sdk` is the `acytoo` command."""

from .cli import main

if __name__ == "__main__":
    main()
