"""The picture: for every measure, how much of what each peer needs this package needs.

Left out are figures that are compared with no peer, since they have units of their own, and measures of which more is
better, which would read the other way round. matplotlib is imported where something is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .contest import Line
from .report import Report, check_writable

# Of Okabe and Ito's palette: told apart by those who are blind to a colour. The markers tell them apart in grey.
_LESS, _MORE, _QUIET = ("#0072B2", "o"), ("#D55E00", "s"), "#777777"
_REACH: dict[str, Any] = {"color": "black", "marker": "|", "markersize": 15, "markeredgewidth": 2.5, "linestyle": ""}
_THEN = {**_REACH, "markeredgewidth": 1.0}
# Inches.
_WIDTH, _LABELS, _NUMBERS, _ROW, _TOP, _BOTTOM = 11.0, 3.4, 1.75, 0.24, 1.45, 0.95
_HEADING = 1.6  # rows
_TITLE: dict[str, Any] = {"size": 13.0, "weight": "bold"}
# What is farther away is drawn at the edge: a peer may need nothing that can be measured.
_FARTHEST = 1000.0
# For whoever does not know the short names of the table.
_SPELLED_OUT = {
    "read1": "requests, read with urllib3's read1",
    "socket": "a bare socket, without HTTP",
    "pass": "pass (Python alone)",
}


def check_drawable(path: Path) -> None:
    """Makes sure that `draw` can draw to a file.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: it does not know the suffix.
        OSError: the file cannot be written.
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("--plot needs matplotlib: pip install 'acytoo-sdk[bench]'", name=error.name) from None
    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        suffixes = ", ".join(f".{name}" for name in sorted(known))
        raise ValueError(f"{path}: matplotlib draws to {suffixes}")
    check_writable(path)


def draw(report: Report, path: Path) -> None:
    """Draws a report; the file's suffix says in which format."""
    import matplotlib
    from matplotlib.figure import Figure

    groups = _groups(report.lines)
    rows = sum(_HEADING + len(lines) for lines in groups.values())
    height = _TOP + _BOTTOM + _ROW * max(rows, 1)
    # Text stays text: it can be searched, and is drawn with the reader's fonts.
    with matplotlib.rc_context({"svg.fonttype": "none", "font.size": 9.0}):
        figure = Figure(figsize=(_WIDTH, height), facecolor="white")
        axes = figure.add_axes(
            (_LABELS / _WIDTH, _BOTTOM / height, 1 - (_LABELS + _NUMBERS) / _WIDTH, 1 - (_TOP + _BOTTOM) / height)
        )
        _set_scale(axes, [line for lines in groups.values() for line in lines])
        y = 0.0
        for (title, ours), lines in groups.items():
            _write(axes, -_LABELS + 0.2, y + 0.9, f"{title}: {ours} beside", weight="bold")
            y += _HEADING
            for line in lines:
                _draw_line(axes, line, y + 0.3)
                y += 1
        axes.set_ylim(max(rows, 1), 0)
        _explain(figure, report, height)
        figure.savefig(path)


def _groups(lines: Iterable[Line]) -> dict[tuple[str, str], list[Line]]:
    """What is drawn, by measure and by what of this package was measured."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        if line.is_ratio and not line.more_is_better:
            groups.setdefault((line.title, line.ours), []).append(line)
    return groups


def _within(value: float) -> float:
    return min(max(value, 1 / _FARTHEST), _FARTHEST)


def _set_scale(axes: Any, lines: list[Line]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    bars = [bar for line in lines if line.bar for bar in (line.bar.reach, line.bar.then) if bar is not None]
    values = [_within(value) for value in (0.5, 2.0, *(end for line in lines for end in line.spread), *bars)]
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 1.2, max(values) * 1.2)
    steps = (1.0, 2.0, 5.0) if max(values) / min(values) < 200 else (1.0, 3.0)
    axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=30))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.yaxis.set_major_locator(NullLocator())
    axes.tick_params(axis="x", top=True, labeltop=True, color=_QUIET)
    axes.grid(axis="x", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.axvline(1.0, color=_QUIET, linewidth=1.2)


def _draw_line(axes: Any, line: Line, y: float) -> None:
    assert line.compared is not None
    colour, marker = _LESS if line.compared <= 1 else _MORE
    axes.axhline(y, color="#EEEEEE", linewidth=0.6, zorder=0)
    axes.plot([_within(end) for end in line.spread], [y, y], color=colour, linewidth=1.6, marker="|", markersize=6)
    axes.plot([_within(line.compared)], [y], color=colour, marker=marker, markersize=6.5, linestyle="")
    if line.bar is not None:
        for bar, style in ((line.bar.reach, _REACH), (line.bar.then, _THEN)):
            if bar is not None:
                axes.plot([_within(bar)], [y], **style)
    failed = line.verdict == "FAILED"
    _write(axes, -_LABELS + 0.4, y, _SPELLED_OUT.get(line.contender, line.contender))
    number = f"{line.compared:.3g}×" + (", bar missed" if failed else "")
    _write(axes, _WIDTH - _LABELS - _NUMBERS + 0.1, y, number, weight="bold" if failed else "normal")


def _write(axes: Any, x: float, y: float, text: str, *, weight: str = "normal") -> None:
    """Writes beside the axes.

    Args:
        axes: where the rows are drawn.
        x: inches from their left edge.
        y: of the row.
        text: what is written; a dollar is no mathematics.
        weight: of the font.
    """
    inner = _WIDTH - _LABELS - _NUMBERS
    axes.text(x / inner, y, text, transform=axes.get_yaxis_transform(), va="center", weight=weight, parse_math=False)


def _explain(figure: Any, report: Report, height: float) -> None:
    """The title, the conditions and the legend."""
    from matplotlib.lines import Line2D

    conditions = report.conditions
    versions = ", ".join(f"{name} {version}" for name, version in conditions.versions.items())
    rounds = "one round each" if conditions.quick else "the median of the rounds"
    left = 0.2 / _WIDTH
    figure.text(
        left, 1 - 0.35 / height, "acytoo-sdk beside its peers: what it needs, as a share of what they need", **_TITLE
    )
    figure.text(
        left,
        1 - 0.95 / height,
        f"{conditions.date[:10]}, {conditions.python}, {conditions.platform}, {conditions.cpus or '?'} CPUs; {rounds}\n"
        "Lower is better: this package needs 0.5×, half of what the peer needs; 1×, the same; 2×, twice as much.",
        linespacing=1.6,
    )
    figure.text(left, 0.15 / height, versions, color=_QUIET, size=8)
    (less, circle), (more, square) = _LESS, _MORE
    handles = [
        Line2D([], [], color=less, marker=circle, linestyle="", label="this package needs less"),
        Line2D([], [], color=more, marker=square, linestyle="", label="this package needs more"),
        Line2D([], [], color="#0072B2", linewidth=1.6, marker="|", label="lowest to highest round"),
        Line2D([], [], color=_QUIET, linewidth=1.2, label="1×: the same"),
        Line2D([], [], **_REACH, label="the bar to reach"),
        Line2D([], [], **_THEN, label="the bar after that"),
    ]
    figure.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(left, 0.45 / height),
        ncols=len(handles),
        frameon=False,
        borderaxespad=0.0,
        borderpad=0.0,
        columnspacing=1.4,
        handletextpad=0.4,
    )
