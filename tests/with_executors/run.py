"""Proves that batches come to the same on every executor: `python tests/with_executors/run.py [FOLDER]`.

Makes an environment with loky, Dask and Ray in FOLDER (or in a temporary one), and runs there the check beside this
file, and the programs for Dask and Ray that stand in docstrings. Minutes of installing, so no part of the normal tests.
The packages come from the index; the checks themselves connect to nothing but this machine.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KEY = "key-of-the-executors"
DOCUMENTED = {"Dask": "acytoo_sdk/batch.py", "Ray": "acytoo_sdk/integrations/ray.py"}
"""The files whose docstrings have a program for an engine."""


def main(folder: Path) -> None:
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "loky", "--editable", f"{ROOT}[dask,ray]"]
    subprocess.run(install, check=True)
    with tempfile.TemporaryDirectory() as home:  # Ray writes there, and beside it
        environment = {
            **{name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")},
            "HOME": home,
            "KEY_OF_THE_CHECK": KEY,
            "RAY_TMPDIR": home,
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONWARNINGS": "ignore:::ray",
        }
        run([str(python), str(HERE / "check.py")], environment)
        run_programs(str(python), Path(home), environment)
        for log in Path(home).rglob("*"):
            if log.is_file() and log.suffix in (".log", ".out", ".err"):
                assert KEY.encode() not in log.read_bytes(), f"{log.name} shows the key"


def run(command: list[str], environment: dict[str, str]) -> str:
    """What a program prints, which is shown; nothing in it is a secret, or the trace of a failure."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", env=environment
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            print(line, end="", flush=True)
    said = "".join(lines)
    assert process.returncode == 0, command
    assert KEY not in said, "the key was shown"
    assert "Traceback (most recent call last)" not in said, "something failed on the way"
    return said


def read_program(engine: str) -> str:
    """The program for an engine: the indented block below the line that begins with its name. Nothing is imported."""
    docstring = ast.get_docstring(ast.parse((ROOT / DOCUMENTED[engine]).read_text("utf-8")))
    found = re.search(rf"^{engine}: [^\n]*\n\n((?:    [^\n]*\n|\n)+)", f"{docstring}\n", re.MULTILINE)
    assert found is not None, f"{DOCUMENTED[engine]} has no program for {engine}"
    return textwrap.dedent(found[1]).strip() + "\n"


def run_programs(python: str, folder: Path, environment: dict[str, str]) -> None:
    """Runs the programs for engines, as files, as they stand in the docstrings."""
    serve = [python, "-m", "acytoo_sdk", "serve", "--port", "0"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[serve]"], check=True)
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        for engine in DOCUMENTED:
            code = read_program(engine)
            assert "http://127.0.0.1:8000" in code, "the address that is replaced"
            program = folder / f"with_{engine.lower()}.py"
            program.write_text(code.replace("http://127.0.0.1:8000", url), "utf-8")
            assert "You said: one" in run([python, str(program)], environment)
        server.terminate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="keeps what is installed, for the next run")
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(parser.parse_args().folder or temporary).resolve())
