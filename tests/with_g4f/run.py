"""Proves the door for g4f's users against g4f itself: `python tests/with_g4f/run.py [FOLDER]`.

Makes two environments in FOLDER (or in a temporary one), with today's g4f and with the release that had the provider
this package grew out of, and runs a check in each. Takes three minutes, most of them to install, so no part of the
normal tests. The packages come from the index; the checks themselves connect to nothing but this machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKS = {"g4f": "check_current.py", "g4f==0.1.9.3": "check_0_1_9_3.py"}


def main(folder: Path) -> None:
    for requirement, check in CHECKS.items():
        environment = folder / check.removesuffix(".py")
        python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        if not python.exists():
            venv.create(environment, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", requirement, "--editable", str(HERE.parents[1])]
        subprocess.run(install, check=True)
        subprocess.run([python, HERE / check], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="keeps what is installed, for the next run")
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(parser.parse_args().folder or temporary).resolve())
