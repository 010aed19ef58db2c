"""A run with a journal, in a process that is killed or interrupted: `python kept.py URL FILE PROMPTS [OPTIONS]`.

It prints the text of each result as it gets it, and at the end "done", or "interrupted" and how long that took.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from acytoo_sdk import Client


def main(url: str, path: str, prompts: list[str], options: dict[str, Any]) -> None:
    """Asks the prompts."""
    batch = Client(url, model="tiny").map(prompts, journal=path, **options)
    try:
        for result in batch:
            print(result.text, flush=True)
        print("done", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(Path(sys.argv[3]).read_text()), json.loads(sys.argv[4]))
