"""The command: `python -m tests.benchmarks [--quick] [--only NAME ...] [--json FILE] [--plot FILE]`, from the root.

Prints one table and exits with 0 if every bar is reached. The peers and matplotlib are in the extra `bench`.

`--json` has a file of its own, since a run takes minutes: whoever keeps its figures still sees the table as it grows.
`--from FILE` shows and draws what a run has kept, and measures nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from . import plot, report
from .contest import Line, Row, play
from .progress import Progress
from .rows import ROWS
from .server import running

_FORMAT = "{:<47} {:<29} {:>11} {:>7} {:>8} {:>14} {:>7} {:>9}  {}"


def main(words: Sequence[str] | None = None) -> int:
    """Plays the rows that were asked for; returns the exit code.

    Args:
        words: of the command line; None for those of this process.
    """
    arguments = _arguments(words)
    print(_FORMAT.format("row", "contender", "figure", "server", "compared", "spread", "bar", "and then", ""))
    if arguments.kept is None:
        only = {*arguments.only}
        rows = [row for row in ROWS if not only or {row.name, row.name.partition("-")[0]} & only]
        told = _measured(rows, quick=arguments.quick)
    else:
        told = arguments.kept
        for line in [*told.left_out, *told.lines]:
            print(_shown(line))
    if arguments.json is not None:
        report.write(told, arguments.json)
    if arguments.plot is not None:
        plot.draw(told, arguments.plot)
    return int(any(line.verdict == "FAILED" for line in told.lines))


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The options; whatever is wrong with them is said before anything is measured."""
    names = list(dict.fromkeys(name for row in ROWS for name in (row.name.partition("-")[0], row.name)))
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measures this package beside its peers, as ratios, and prints a table.",
        epilog="Exits with 0 if every bar is reached, with 1 if one is not, and with 2 if the options are wrong.",
    )
    parser.add_argument("--quick", action="store_true", help="one round each")
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        default=[],
        metavar="NAME",
        help=f"a row, or its first word; may be given several times: {', '.join(names)}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the lines and the run's conditions, as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the ratios: a name in .svg, or .png, .pdf")
    parser.add_argument(
        "--from", dest="kept", type=Path, metavar="FILE", help="what --json has kept: show and draw it, measure nothing"
    )
    arguments = parser.parse_args(words)
    try:
        if arguments.kept is not None:
            if arguments.quick or arguments.only:
                raise ValueError("--from measures nothing: it goes without --quick and --only")
            arguments.kept = report.read(arguments.kept)
        if arguments.json is not None:
            report.check_writable(arguments.json)
        if arguments.plot is not None:
            plot.check_drawable(arguments.plot)
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    except (ImportError, ValueError) as error:
        parser.error(str(error))
    return arguments


def _measured(rows: list[Row], *, quick: bool) -> report.Report:
    """Plays the rows, and prints each line when it is known."""
    told = report.Report(report.conditions_now(quick=quick))
    done = 0
    rounds = sum(row.all_rounds(quick=quick) for row in rows)
    with running() as served, Progress(rounds, sys.stderr) as progress:
        for row in rows:
            playing = partial(progress.show, row.name, done)
            for line in play(row, served, quick=quick, playing=playing):
                progress.erase()
                print(_shown(line), flush=True)
                if isinstance(line, Line):
                    told.lines.append(line)
                else:
                    told.left_out.append(line)
            done += row.all_rounds(quick=quick)
    return told


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
