"""What a run is kept as: its lines, and the conditions under which they were measured; as JSON, and read again.

The table is made in `__main__`, and the picture in `plot`, both from what is here.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import acytoo_sdk

from .contest import Bar, Line

_DISTRIBUTIONS = ("aiohttp", "anyio", "httpx", "openai", "requests", "trio", "urllib3")


@dataclass(frozen=True)
class Conditions:
    """What a figure may depend on.

    Attributes:
        python: implementation and version.
        platform: the operating system and the kind of processor.
        cpus: how many the machine has; None where that is unknown.
        date: when the run began, in UTC, as ISO 8601.
        quick: whether one round counted, instead of each row's number of them.
        versions: of this package, its peers, and what they rest on, by distribution; without those that are missing.
    """

    python: str
    platform: str
    cpus: int | None
    date: str
    quick: bool
    versions: dict[str, str]


@dataclass
class Report:
    """A run.

    Attributes:
        conditions: of all lines.
        lines: in the order in which they were measured.
        left_out: a sentence for each contender that is missing.
    """

    conditions: Conditions
    lines: list[Line] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def conditions_now(*, quick: bool) -> Conditions:
    """The conditions of a run that begins now."""
    peers = {name: version for name in _DISTRIBUTIONS if (version := _version(name)) is not None}
    return Conditions(
        f"{platform.python_implementation()} {platform.python_version()}",
        platform.platform(),
        os.cpu_count(),
        datetime.now(timezone.utc).isoformat(timespec="seconds"),
        quick,
        {"acytoo-sdk": acytoo_sdk.__version__, **peers},
    )


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def check_writable(path: Path) -> None:
    """Makes sure that a file can be written, and leaves everything as it was.

    Raises:
        OSError: it cannot: there is no such folder, it is a folder, or it is not permitted.
    """
    there = path.exists()
    path.open("ab").close()
    if not there:
        path.unlink()


def write(report: Report, path: Path) -> None:
    """Writes a report as one JSON object: `conditions`, `lines` and `left_out`. What `read` derives is in it, too."""
    lines = [{**asdict(line), "verdict": line.verdict} for line in report.lines]
    written = {"conditions": asdict(report.conditions), "lines": lines, "left_out": report.left_out}
    path.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


def read(path: Path) -> Report:
    """Reads what `write` has written.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a report.
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Report(Conditions(**kept["conditions"]), [_line(**line) for line in kept["lines"]], kept["left_out"])
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not what --json writes") from error


def _line(*, bar: dict[str, float | None] | None, spread: list[float], verdict: str, **rest: Any) -> Line:
    lowest, highest = spread
    return Line(**rest, spread=(lowest, highest), bar=None if bar is None else Bar(**bar))
