"""Proves `acytoo serve` between programs of others: `python tests/with_relay/run.py [--folder FOLDER] [CHECK ...]`.

Behind it LLMock, a server that breaks on request; litellm's proxy, with models that it mocks and with LLMock behind it;
llama-cpp-python's server, with a model of random weights. In front of it this SDK and curl, g4f 0.1.9.3's own class,
and npm's `ai`. The relay is the installed program, and each of the others runs in an environment of its own in FOLDER
(or in a temporary one); what a kept one has is not installed again. CHECK is of llmock, litellm, llama and clients; all
of them, if none is named.

Needs curl, node 18 or later with npm, and for llama a C++ compiler and CMake. On two cores the first run takes half an
hour, 12 minutes of it to build llama.cpp, and 2 GB of disk; later ones six minutes: llmock and litellm 1.5 each, llama
1, clients 10 seconds, the rest to install this package. The packages come from the index; what is checked connects to
nothing but this machine.
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
CHECKS = ("llmock", "litellm", "llama", "clients")
PACKAGES = {
    "relay": f"{HERE.parents[1]}[serve]",
    "llmock": "llmock==0.2.2",
    "litellm": "litellm[proxy]",
    "llama": "llama-cpp-python[server]",
    "g4f": "g4f==0.1.9.3",
}
# Without optimization it is built in a third of the time, and is fast enough for a model that knows nothing.
BUILD = {
    "CMAKE_ARGS": "-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF "
    "-DCMAKE_C_FLAGS_DEBUG=-O0 -DCMAKE_CXX_FLAGS_DEBUG=-O0",
    "SKBUILD_CMAKE_BUILD_TYPE": "Debug",
}


def main(folder: Path, checks: list[str]) -> None:
    python = environment(folder, "relay", again=True)
    for check in checks:
        programs: list[Path] = []
        if check == "litellm":
            programs.append(environment(folder, "litellm").with_name("litellm"))
        if check == "llama":
            programs.append(environment(folder, "llama", "gguf"))
        else:
            programs.append(environment(folder, "llmock").with_name("llmock"))
        if check == "clients":
            programs += [environment(folder, "g4f"), npm_folder(folder)]
        subprocess.run([python, "-m", f"with_relay.check_{check}", *programs], check=True, cwd=HERE.parent)


def environment(folder: Path, name: str, *more: str, again: bool = False) -> Path:
    """The Python of an environment that has this package; `again` has it installed each time."""
    python = folder / name / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    done = folder / name / "installed"
    if again or not done.exists():
        venv.create(folder / name, with_pip=True)
        command: list[str | Path] = [python, "-m", "pip", "install", "--quiet", PACKAGES[name], *more]
        subprocess.run(command, check=True, env={**os.environ, **BUILD})
        done.touch()
    return python


def npm_folder(folder: Path) -> Path:
    """Where npm has installed `ai`."""
    if not (folder / "npm" / "node_modules" / "ai").exists():
        (folder / "npm").mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", folder / "npm", "ai"], check=True)
    return folder / "npm"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keeps what is installed, for the next run")
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=", ".join(CHECKS))
    arguments = parser.parse_args()
    if unknown := set(arguments.checks) - set(CHECKS):
        parser.error(f"there is no check {', '.join(unknown)}")
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(arguments.folder or temporary).resolve(), arguments.checks or list(CHECKS))
