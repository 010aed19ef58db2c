"""Proves that replies do nothing in JupyterLab's own renderer: `python tests/with_jupyterlab/in_renderer.py [FOLDER]`.

Installs the renderer, with MathJax and a document to render in, from npm in FOLDER (or in a temporary one), and shows
it every case of `tests/display/replies.py`, as a cell's own output and as that of a notebook of somebody else. Needs
node, and this package with its extra `notebook`; takes a minute, so no part of the normal tests.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "display"))

from replies import ATTACKS, HONEST  # noqa: E402

from acytoo_sdk._display.markdown import safe_html  # noqa: E402

PACKAGES = ["@jupyterlab/rendermime@4", "@jupyterlab/mathjax-extension@4", "jsdom@26", "esbuild"]
FORMULA = re.compile(r"<(span|div) class=\"mathjax_process[^>]*>.*?</\1>")


def case(reply: str) -> dict[str, object]:
    page = safe_html(reply)
    bare, formulas = FORMULA.subn("⟦⟧", page)
    text = html.unescape(re.sub(r"<[^>]*>", "", bare))
    return {"name": reply, "html": page, "formulas": formulas, "text": text}


def main(folder: Path) -> None:
    if not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text("{}")
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", *PACKAGES], cwd=folder, check=True)
    for name in ("front_end.mjs", "check_renderer.cjs"):
        (folder / name).write_text((HERE / name).read_text("utf-8"), "utf-8")
    bundle = ["npx", "esbuild", "front_end.mjs", "--bundle", "--global-name=window.frontEnd", "--outfile=front_end.js"]
    loaders = [f"--loader:.{kind}=empty" for kind in ("css", "svg", "woff", "woff2", "ttf", "eot", "png")]
    aliases = [
        "--alias:path=path-browserify",
        "--define:process.env={}",
        "--define:global=window",
        '--define:__dirname="/"',
    ]
    subprocess.run([*bundle, "--log-level=error", *aliases, *loaders], cwd=folder, check=True)
    (folder / "cases.json").write_text(json.dumps([case(reply) for reply in (*ATTACKS, *HONEST)]))
    subprocess.run(
        ["node", "check_renderer.cjs", folder / "front_end.js", folder / "cases.json"], cwd=folder, check=True
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="keeps what is installed, for the next run")
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(parser.parse_args().folder or temporary).resolve())
