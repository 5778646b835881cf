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

COLOURS = ("#5b6770", "#c2410c", "#2563eb", "#16a34a", "#9333ea", "#ca8a04", "#0891b2", "#db2777")


@dataclass(frozen=True)
class Line:
    """What a scenario came to. A contender without samples has nothing like it."""

    name: str
    unit: str
    target: str
    less_is_better: bool
    samples: dict[str, list[float]]
    medians: dict[str, float] = field(init=False)
    ratios: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        """Take medians; another minute is another machine, so each repetition has its own ratio."""
        base = self.samples[BASE]
        medians = {name: statistics.median(values) for name, values in self.samples.items()}
        ratios = {
            name: statistics.median(
                value / lean for value, lean in zip(values, base, strict=True) if lean
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
    rows = [["", *names, "", "target"]]
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
        rows.append([line.name, *cells, line.unit, line.target])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligns = ["<", *">" * len(names), "<", "<"]
    return "\n".join(
        "  ".join(
            f"{cell:{align}{width}}" for cell, align, width in zip(row, aligns, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def regressions(lines: Sequence[Line], recorded: Mapping[str, float]) -> list[str]:
    """Return what fell behind the recorded ratio of ours to lean by a fifth or more."""
    worse = []
    for line in lines:
        before, now = recorded.get(line.name), line.ratios.get(OURS)
        if not before or not now:
            continue
        kept = before / now if line.less_is_better else now / before
        if kept < FLOOR:
            worse.append(f"{line.name}: {now:.2f}x, recorded {before:.2f}x")
    return worse


def chart(lines: Sequence[Line], title: str) -> str:
    """Return an SVG of every ratio to lean, which is the line at 1; longer is better throughout."""
    width, left, right, bar, gap = 980, 300, 90, 13, 14
    scale = (width - left - right) / 1.25
    names = list(dict.fromkeys(name for line in lines for name in line.ratios if name != BASE))
    colours = dict(zip(names, COLOURS[1:], strict=False))
    parts: list[str] = []
    y = 78
    for line in lines:
        bars = [(name, line.ratios[name]) for name in names if line.ratios.get(name)]
        if not bars:
            continue
        parts.append(
            f'<text x="{left - 10}" y="{y + 10}" text-anchor="end">{escape(line.name)}</text>'
        )
        for name, ratio in bars:
            shown = 1 / ratio if line.less_is_better else ratio
            length = min(shown, 1.2) * scale
            parts.append(
                f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar - 2}" '
                f'fill="{colours[name]}"/>'
                f'<text x="{left + length + 5:.1f}" y="{y + 10}">{shown:.2f}</text>'
            )
            y += bar
        y += gap
    one = left + scale
    legend = "".join(
        f'<rect x="{130 + 115 * place}" y="38" width="10" height="10" fill="{colours[name]}"/>'
        f'<text x="{130 + 115 * place + 14}" y="47">{escape(name)}</text>'
        for place, name in enumerate(names)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y + 20}" '
        f'font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<text x="20" y="24" font-size="15">{escape(title)}</text>{legend}'
        f'<line x1="{one:.1f}" y1="60" x2="{one:.1f}" y2="{y}" stroke="#9ca3af" '
        f'stroke-dasharray="4 3"/>'
        f'<text x="{one:.1f}" y="70" text-anchor="middle" fill="#6b7280">lean</text>'
        f"{''.join(parts)}</svg>\n"
    )
