"""Proves that calls work where gevent has patched Python: `python tests/with_gevent/run.py [FOLDER]`.

Makes an environment with gevent in FOLDER (or in a temporary one), and runs there the check beside this file: streams,
limits, cancelling and many calls at once, in the plain and over TLS. Takes a minute; no part of the normal tests, in
which nothing is patched. The packages come from the index; the check itself connects to nothing but this machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(folder: Path) -> None:
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "gevent", "trustme", "--editable", str(HERE.parents[1])]
    subprocess.run(install, check=True)
    subprocess.run([python, "-m", "gevent.monkey", HERE / "check.py"], check=True, timeout=300)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="keeps what is installed, for the next run")
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(parser.parse_args().folder or temporary).resolve())
