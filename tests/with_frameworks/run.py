"""Proves the recipes of `acytoo_sdk.integrations`: `python tests/with_frameworks/run.py [FOLDER]`.

Makes an environment with the current release of each framework in FOLDER (or in a temporary one), and runs there the
checks beside this file. Minutes of installing, so no part of the normal tests. The packages come from the index; the
checks themselves connect to nothing but this machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KEY = "key-of-the-frameworks"
FRAMEWORKS = "fastapi uvicorn flask gradio streamlit textual litellm llama-index-core pandas tqdm".split()  # noqa: SIM905
# Nothing is told to anybody, and nothing is asked of anybody but this machine.
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
}
# Imported by each check before everything else: whatever swallows an exception, nobody else is spoken to.
LOOPBACK_ONLY = """
import os, sys

def look(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if host not in (None, "", "127.0.0.1", "0.0.0.0", "::1", "localhost", b"127.0.0.1", b"localhost"):
        print("speaks to", host, file=sys.stderr, flush=True)
        os._exit(70)

sys.addaudithook(look)
"""
SECONDS = 120  # for one framework; each takes about ten


def main(folder: Path) -> None:
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--upgrade", *FRAMEWORKS, "--editable", str(ROOT)]
    subprocess.run(install, check=True)
    environment = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    for check in sorted(HERE.glob("check_*.py")):
        with tempfile.TemporaryDirectory() as home:
            Path(home, "sitecustomize.py").write_text(LOOPBACK_ONLY, "utf-8")
            told = {**QUIET, "HOME": home, "KEY_OF_THE_CHECK": KEY, "PYTHONPATH": home}
            run([str(python), str(check)], Path(home), {**environment, **told})


def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Runs a check in a folder of its own; what it says is shown where it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command[-1]}:\n{done.stdout}"
    assert KEY not in done.stdout, "the key was shown"
    print(done.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="keeps what is installed, for the next run")
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(parser.parse_args().folder or temporary).resolve())
