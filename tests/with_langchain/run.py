"""Runs LangChain's standard tests of chat models on `ChatAcytoo`: `python tests/with_langchain/run.py [FOLDER]`.

Makes an environment with `langchain-tests` in FOLDER (or in a temporary one), and runs there the tests beside this
file, against a server on this machine. A minute of installing, and plug-ins of pytest that the normal tests do not
want, so no part of these. The packages come from the index; the tests themselves connect to nothing but this machine.
What a model looks like where LangChain writes it down is recorded in `__snapshots__`; after a change on purpose, run
pytest's command with `--snapshot-update` in FOLDER/standard_tests, and take the record from there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def main(folder: Path) -> None:
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "langchain-tests>=1.1.9", "--editable"]
    subprocess.run([*install, f"{ROOT}[langchain]"], check=True)
    # Beside nothing of this project's: its settings of pytest are for its own tests.
    tests = folder / "standard_tests"
    shutil.rmtree(tests, ignore_errors=True)
    shutil.copytree(HERE, tests, ignore=shutil.ignore_patterns("__init__.py", "run.py", "__pycache__"))
    (tests / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\nxfail_strict = true\n", "utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.upper().startswith(("ACYTOO_", "LANG"))},
        "LANGCHAIN_TRACING_V2": "false",
        "LANGSMITH_TRACING": "false",
    }
    command = [str(python), "-m", "pytest", "-rs", "--disable-socket", "--allow-hosts=127.0.0.1", "--benchmark-disable"]
    done = subprocess.run([*command, "test_standard.py"], cwd=tests, env=environment, check=False)
    if done.returncode:
        sys.exit("LangChain's standard tests fail")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="keeps what is installed, for the next run")
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(parser.parse_args().folder or temporary).resolve())
