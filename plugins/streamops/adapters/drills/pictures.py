"""The comparison of drills as a picture: PNG, or a page of HTML that needs nothing else."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from streamops.drills.comparison import Compared, Comparison, Recovery, Summary, seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that the colour-blind tell apart (Okabe and Ito), and that differ in grey too.
_NEW, _BEFORE, _BROKEN, _PROMISE = "#0072B2", "#999999", "#D55E00", "#000000"
#: Height of a group, inches, and of what stands around them.
_ROW, _AROUND = 0.62, 1.5
#: Least right end of the scale, seconds: times of a second or two would look like chaos otherwise.
_LEAST_S = 5.0
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "streamops", "font.family": "DejaVu Sans", "font.size": 9}


def write_png(comparison: Comparison, path: Path) -> None:
    """The picture as PNG, 150 dots an inch."""
    with rc_context(_STYLE):
        _figure(comparison).savefig(path, format="png", dpi=150)


def page(comparison: Comparison) -> str:
    """The picture and its numbers as one page, without scripts and without anything that is loaded from elsewhere."""
    drawn = io.StringIO()
    with rc_context(_STYLE):
        _figure(comparison).savefig(drawn, format="svg", metadata={"Date": None})
    picture = drawn.getvalue()
    picture = picture[picture.index("<svg") :]
    verdict = "passed" if not comparison.failures else "failed"
    numbers = ", ".join(map(str, comparison.drills))
    failures = "".join(f"<li>{html.escape(each)}</li>" for each in comparison.failures)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Recovery drills</title><style>'
        "body{font:14px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}"
        "table{border-collapse:collapse;margin:1rem 0}th,td{padding:.25rem .7rem;text-align:right;"
        "border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}"
        f"tr.failed td{{color:{_BROKEN}}}svg{{max-width:100%;height:auto}}"
        "</style></head><body>"
        f"<h1>Recovery drills: {verdict}</h1>"
        f"<p>From the fault to the second batch after it. Judged: drill {numbers}.</p>"
        f"{f'<ul>{failures}</ul>' if failures else ''}{picture}{_table(comparison.groups)}</body></html>\n")


def _figure(comparison: Comparison) -> Figure:
    """A row a group: each recovery a dot, medians as bars, the objective as a line; what never came at the edge."""
    groups = comparison.groups
    figure = Figure(figsize=(9.5, _AROUND + _ROW * max(len(groups), 1)), layout="constrained")
    axes = figure.add_subplot()
    known = [each.time_s for group in groups for each in (*group.new, *group.before) if not isinf(each.time_s)]
    promised = [each for group in groups for each in (group.promised_s, group.promised_median_s) if each is not None]
    right_s = 1.08 * max([*known, *promised, _LEAST_S])
    for row, compared in enumerate(groups):
        _draw(axes, len(groups) - 1 - row, compared, right_s)
    axes.set_yticks(range(len(groups)), [
        f"{each.group.kind} {each.group.mode}\n{each.group.pipeline}" for each in reversed(groups)])
    axes.set_ylim(-0.6, max(len(groups), 1) - 0.4)
    axes.set_xlim(0, right_s * 1.02)
    axes.set_xlabel("seconds from the fault to the second batch after it (× at the edge: never)")
    title = "failed" if comparison.failures else "passed"
    axes.set_title(f"Recovery by fault and approach: {title}", loc="left")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    _legend(axes, any(each.promised_median_s for each in groups))
    return figure


def _draw(axes: Axes, row: int, compared: Compared, right_s: float) -> None:
    colour = _BROKEN if compared.failures else _NEW
    for recoveries, tone, offset in ((compared.before, _BEFORE, 0.17), (compared.new, colour, -0.17)):
        _dots(axes, row + offset, recoveries, tone, right_s)
    for promised_s, style in ((compared.promised_s, "-"), (compared.promised_median_s, ":")):
        if promised_s is not None:
            axes.plot([promised_s] * 2, [row - 0.4, row + 0.4], color=_PROMISE, linestyle=style, linewidth=1.2)


def _dots(axes: Axes, height: float, recoveries: Iterable[Recovery], colour: str, right_s: float) -> None:
    times = [each.time_s for each in recoveries]
    came = [each for each in times if not isinf(each)]
    axes.plot(came, [height] * len(came), "o", color=colour, alpha=0.45, markersize=5, markeredgewidth=0)
    if len(came) < len(times):
        axes.plot([right_s], [height], "x", color=colour, markersize=7, clip_on=False)
    if times:
        middle = Summary.of(tuple(recoveries)).median_s
        if not isinf(middle):
            axes.plot([middle] * 2, [height - 0.13, height + 0.13], color=colour, linewidth=2.5)


def _legend(axes: Axes, with_medians: bool) -> None:
    axes.plot([], [], "o", color=_NEW, label="judged")
    axes.plot([], [], "o", color=_BROKEN, label="judged, gate fails")
    axes.plot([], [], "o", color=_BEFORE, label="before")
    axes.plot([], [], "|", color="#444444", markersize=9, markeredgewidth=2.5, label="median")
    axes.plot([], [], "-", color=_PROMISE, linewidth=1.2, label="objective")
    if with_medians:
        axes.plot([], [], ":", color=_PROMISE, linewidth=1.2, label="objective of the median")
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0), ncols=6, frameon=False, fontsize=8, borderaxespad=4)


def _table(groups: Iterable[Compared]) -> str:
    heads = ("fault", "approach", "version", "runs", "came back", "detected, median", "first batch, median",
             "first batch, worst", "caught up, median", "objective")
    rows = []
    for each in groups:
        for version, summary in each.by_version.items():
            cells = (
                f"{each.group.kind} {each.group.mode}, {each.group.pipeline}", each.group.approach, version,
                str(summary.count), str(summary.came_back), seconds(summary.detected_s), seconds(summary.median_s),
                seconds(summary.worst_s), seconds(summary.caught_up_s),
                "" if each.promised_s is None else f"{each.promised_s:g} s")
            failed = ' class="failed"' if each.failures else ""
            rows.append(f"<tr{failed}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{each}</th>" for each in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
