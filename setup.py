"""Everything that can be declared is in setup.cfg; what goes into a source distribution cannot, without a file more."""

import subprocess
from itertools import chain
from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist


class Checkout(sdist):
    """Packs what is tracked, the tests and their helpers too, and nothing else but the metadata made for it."""

    def make_distribution(self) -> None:
        metadata = (name for name in self.filelist.files if ".egg-info" in name)
        self.filelist.files = sorted({*metadata, *(tracked() if Path(".git").exists() else unpacked())})
        super().make_distribution()


def tracked() -> list[str]:
    names = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
    return [name for name in names.split("\0") if Path(name).is_file()]


def unpacked() -> list[str]:
    """Of a tree that git does not know, for instance an unpacked distribution: what belongs to it by its name."""
    top = ("setup.cfg", "setup.py", "README.md", "CHANGELOG.md", ".gitignore", ".pre-commit-config.yaml", ".ruff.toml")
    below = chain.from_iterable(Path(folder).rglob("*") for folder in (".ci", "acytoo_sdk", "tests"))
    return [str(path) for path in (*map(Path, top), *below) if path.is_file() and "__pycache__" not in path.parts]


setup(cmdclass={"sdist": Checkout})
