"""The command: `python -m tests.benchmarks [--quick] [--only NAME ...]`, from the project's root.

Prints one table and exits with 0 if every bar is reached. The peers are in the extra `bench`.
"""

from __future__ import annotations

import argparse
import sys

from .contest import Line, play
from .rows import ROWS
from .server import running

_FORMAT = "{:<47} {:<29} {:>11} {:>7} {:>8} {:>14} {:>7} {:>9}  {}"


def main() -> int:
    """Plays the rows that were asked for; returns the exit code."""
    names = list(dict.fromkeys(name for row in ROWS for name in (row.name.partition("-")[0], row.name)))
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Beside its peers, as ratios.")
    parser.add_argument("--quick", action="store_true", help="one round each")
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"a row, or its first word: {', '.join(names)}"
    )
    arguments = parser.parse_args()
    print(_FORMAT.format("row", "contender", "figure", "server", "compared", "spread", "bar", "and then", ""))
    failed = False
    with running() as served:
        for row in ROWS:
            if arguments.only and not {row.name, row.name.partition("-")[0]} & {*arguments.only}:
                continue
            for line in play(row, served, quick=arguments.quick):
                print(_shown(line), flush=True)
                failed |= isinstance(line, Line) and line.verdict == "FAILED"
    return int(failed)


def _shown(line: Line | str) -> str:
    if isinstance(line, str):
        return f"({line})"
    bar, then = (None, None) if line.bar is None else (line.bar.reach, line.bar.then)
    return _FORMAT.format(
        line.title,
        line.contender,
        f"{_number(line.figure)} {line.unit}",
        "" if line.server is None else f"{line.server:.0%}",
        _number(line.compared),
        "..".join(map(_number, line.spread)),
        _number(bar),
        _number(then),
        line.verdict,
    ).rstrip()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
