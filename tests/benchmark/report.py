"""What a run came to: a table for the terminal, a chart, and whether anything got worse."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FLOOR = 0.8
"""A ratio below this part of the recorded one is a regression."""

BASE = "lean"
OURS = "synapsor"

COLOURS = ("#c2410c", "#2563eb", "#16a34a", "#9333ea", "#ca8a04", "#0891b2", "#db2777")
"""Ours, then the peers."""


@dataclass(frozen=True)
class Line:
    """What a scenario came to. A contender without samples has nothing like it."""

    name: str
    unit: str
    target: str
    less_is_better: bool
    samples: dict[str, list[float]]
    note: str = ""
    medians: dict[str, float] = field(init=False)
    ratios: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        """Take medians; another minute is another machine, so each repetition has its own ratio."""
        base = self.samples[BASE]
        medians = {name: statistics.median(values) for name, values in self.samples.items()}
        ratios = {
            name: statistics.median(
                # Who is measured once has its ratio of the first repetition.
                value / lean
                for value, lean in zip(values, base, strict=False)
                if lean
            )
            for name, values in self.samples.items()
            if all(base)
        }
        object.__setattr__(self, "medians", medians)
        object.__setattr__(self, "ratios", ratios)

    @property
    def digits(self) -> int:
        return 2 if self.unit == "x" else 1 if self.unit in ("ms", "µs", "MB") else 0


def table(lines: Sequence[Line]) -> str:
    """Return medians with, beside each but the lean one, its ratio to lean."""
    names = list(dict.fromkeys(name for line in lines for name in line.samples))
    rows = [["", *names, "", "target", "measured"]]
    for line in lines:
        cells = []
        for name in names:
            if name not in line.medians:
                cells.append("-")
                continue
            cell = f"{line.medians[name]:,.{line.digits}f}"
            if name != BASE and name in line.ratios:
                cell += f" {line.ratios[name]:.2f}x"
            cells.append(cell)
        rows.append([line.name, *cells, line.unit, line.target, line.note])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligns = ["<", *">" * len(names), "<", "<", "<"]
    return "\n".join(
        "  ".join(
            f"{cell:{align}{width}}" for cell, align, width in zip(row, aligns, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def regressions(lines: Sequence[Line], recorded: Mapping[str, float]) -> dict[str, str]:
    """Return what fell behind the recorded ratio of ours to lean by a fifth or more."""
    worse = {}
    for line in lines:
        before, now = recorded.get(line.name), line.ratios.get(OURS)
        if not before or not now:
            continue
        kept = before / now if line.less_is_better else now / before
        if kept < FLOOR:
            worse[line.name] = f"{line.name}: {now:.2f}x, recorded {before:.2f}x"
    return worse


def chart(lines: Sequence[Line], title: str) -> str:
    """Return an SVG of every ratio to lean, which is the line at 1; longer is better throughout.

    The axis begins at 0 and is linear. What reaches beyond its end says so with an arrow.
    """
    width, left, right, bar, gap, top = 1000, 300, 110, 13, 14, 96
    end = 1.5
    scale = (width - left - right) / end
    names = list(dict.fromkeys(name for line in lines for name in line.ratios if name != BASE))
    colours = dict(zip(names, COLOURS, strict=False))
    parts: list[str] = []
    y = top
    for line in lines:
        bars = [(name, line.ratios[name]) for name in names if line.ratios.get(name)]
        if not bars:
            continue
        label = f"{line.name} (lean ÷ it)" if line.less_is_better else line.name
        parts.append(_text(left - 10, y + 10, label, "end"))
        for name, ratio in bars:
            shown = 1 / ratio if line.less_is_better else ratio
            length = min(shown, end) * scale
            value = f"{shown:.2f}" if shown >= 0.01 else f"{shown:.4f}"
            parts.append(
                f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar - 2}" '
                f'fill="{colours[name]}"><title>{escape(name)}</title></rect>'
                + _text(left + length + 5, y + 10, f"→ {value}" if shown > end else value)
            )
            y += bar
        y += gap
    ticks = "".join(
        f'<line x1="{left + place * scale:.1f}" y1="{top - 8}" x2="{left + place * scale:.1f}" '
        f'y2="{y}" stroke="{"#374151" if place == 1 else "#e5e7eb"}"/>'
        + _text(
            left + place * scale, top - 14, "lean = 1" if place == 1 else f"{place:g}", "middle"
        )
        for place in (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5)
    )
    legend = "".join(
        f'<rect x="{20 + 135 * place}" y="42" width="10" height="10" fill="{colours[name]}"/>'
        + _text(20 + 135 * place + 15, 51, name)
        for place, name in enumerate(names)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y + 20}" '
        f'font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<text x="20" y="24" font-size="15">{escape(title)}</text>{legend}{ticks}'
        f"{''.join(parts)}</svg>\n"
    )


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'
