"""Clients of others in front of `acytoo serve`: `check_clients.py LLMOCK G4F NPM`.

The program, the Python of an environment with g4f 0.1.9.3, and a folder in which npm installed `ai`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .llmock import LLMock
from .programs import relay

_HERE = Path(__file__).resolve().parent


def main(program: str, g4f_python: str, npm_folder: str) -> None:
    options = ("--model", "gpt-4o", "--allow-origin", "http://localhost:3000")
    with LLMock(program) as server, relay("--upstream", f"{server.url}/v1", *options) as url:
        subprocess.run(
            [g4f_python, "-m", "with_relay.g4f_client", url, server.url],
            check=True,
            cwd=_HERE.parent,
            env={**os.environ, "PYTHONPATH": str(_HERE.parent / "with_g4f")},
        )
        script = shutil.copy(_HERE / "ai_client.mjs", npm_folder)
        subprocess.run(["node", script, url, server.url], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
