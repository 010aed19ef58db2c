"""What is published: the source distribution is the checkout, tests included, and the wheel is the package alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = next((folder for folder in Path(__file__).parents if (folder / "setup.py").exists()), None)

pytestmark = [
    pytest.mark.skipif(ROOT is None, reason="there is no setup.py around an installed package"),
    pytest.mark.skipif(
        ROOT is not None and (ROOT / "PKG-INFO").exists(), reason="an unpacked distribution is not packed again"
    ),
]


def run(*command: str | Path, cwd: Path) -> str:
    """What a child prints. It is not measured: what it runs is a copy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PYTEST_", "GIT_"))}
    done = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def project_files() -> list[Path]:
    """The checkout's files, relative to it: what is tracked, and is there."""
    assert ROOT is not None
    if (ROOT / ".git").exists() and shutil.which("git"):
        found = [Path(name) for name in run("git", "ls-files", "-z", cwd=ROOT).split("\0") if name]
    else:
        tops = (path for path in ROOT.iterdir() if path.is_file() or path.name in ("acytoo_sdk", "tests", ".ci"))
        found = [each.relative_to(ROOT) for top in tops for each in (top.rglob("*") if top.is_dir() else [top])]
    return [path for path in found if (ROOT / path).is_file() and "__pycache__" not in path.parts]


def build(tree: Path) -> Path:
    """Both distributions, the wheel from the source distribution, with what is installed."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tree.parent / "dist", tree, cwd=tree.parent)
    return tree.parent / "dist"


@pytest.fixture(scope="module", params=["a checkout", "a tree without git"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the two distributions, built from a copy of the checkout in which foreign files lie about."""
    assert ROOT is not None
    tree = tmp_path_factory.mktemp("packages") / "tree"
    for path in project_files():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tree / path)
    if request.param == "a checkout":
        if not shutil.which("git"):
            pytest.skip("needs git")
        run("git", "init", "--quiet", cwd=tree)
        run("git", "add", "--all", "--force", cwd=tree)
        (tree / "tests" / "test_not_tracked.py").write_text("")
        (tree / ".not-tracked").write_text("")
    for folder in (tree / "tests" / "__pycache__", tree / "notes"):
        folder.mkdir()
        (folder / "left.pyc").write_bytes(b"")
    return build(tree)


@pytest.fixture
def unpacked(built: Path, tmp_path: Path) -> Path:
    """The root of the source distribution."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # type: ignore[arg-type]
    (root,) = tmp_path.iterdir()
    return root


def test_the_source_distribution_is_the_checkout(unpacked: Path) -> None:
    packed = {path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file()}
    made = {path for path in packed if path.name == "PKG-INFO" or path.parts[0] == "acytoo_sdk.egg-info"}

    assert packed - made == set(project_files())
    assert {path for path in packed if path.parts[0] == "tests"}


def test_the_tests_run_from_the_source_distribution_on_its_own_package(unpacked: Path) -> None:
    package, where = str(unpacked / "acytoo_sdk"), unpacked / "tests" / "test_where.py"
    where.write_text(f"import acytoo_sdk\n\n\ndef test():\n    assert acytoo_sdk.__path__ == [{package!r}]\n")
    some = [where, *unpacked.rglob("test_errors.py"), *unpacked.rglob("test_public_api.py")]
    assert len(some) == 3

    assert " passed" in run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *some, cwd=unpacked)


def test_every_test_of_the_source_distribution_finds_its_helpers(unpacked: Path) -> None:
    collect = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", "-q", "tests")

    assert Path(__file__).name in run(*collect, cwd=unpacked)


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        names = {Path(name) for name in files.namelist()}
    metadata = {path for path in names if path.parts[0].endswith(".dist-info")}

    assert names - metadata == {path for path in project_files() if path.parts[0] == "acytoo_sdk"}
    assert Path("acytoo_sdk", "py.typed") in names
