"""What every picture is drawn with: words, times, columns, remarks and trees of text.

All that others wrote goes through `clean`, which leaves no character that could move the cursor,
hide text, forge a line or draw a branch.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

WIDTH: Final = 100
"""Columns of the widest line."""

_LABEL: Final = 10
"""Columns of a label with the blank behind it."""

_LEVELS: Final = 10
"""Levels drawn above a step; a deeper one is told its depth by a number."""

_SECOND: Final = 1000  # milliseconds
_PLAIN: Final[Mapping[int, str]] = str.maketrans({
    "├": "|", "└": "`", "─": "-", "│": "|", "·": "-", "…": "~", "✓": "+", "✗": "x", "→": ">",
})  # fmt: skip

_DRAWING: Final = re.compile("[\u2500-\u257f]")
"""The strokes pictures are drawn with: nobody else's text may hold them."""

_NARROW: Final = re.compile("[\x00-\u02ff\u2010-\u2027\u2190-\u21ff\u2500-\u25ff✓✗]*")
"""Text without wide or combining characters: most of it, told without looking at each."""

_BLANKS: Final = re.compile(" {2,}")

Facts: TypeAlias = Mapping[str, Any]
"""What is known of something, by name, as the database tells it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A labelled remark below a step; a payload is cut to one line, a sentence is wrapped."""

    label: str
    text: str
    payload: bool = False


def tree(
    steps: list[Facts],
    why: Mapping[str, list[Line]],
    headline: Callable[[Facts], str],
    indent: str = "",
) -> Iterator[str]:
    """Draw steps (step_key, parent_step_key) below their parents, each with its remarks."""
    for step, more, depth, has_children in _walk(steps):
        above = "".join("│  " if one else "   " for one in more[:-1][-_LEVELS:])
        told = f"{depth} levels down … " if depth > _LEVELS + 1 else ""
        branch = "├─ " if more[-1] else "└─ "
        start = indent + told + above + branch
        yield start + fit(headline(step), WIDTH - len(start))
        margin = indent + " " * len(told) + above
        margin += ("│  " if more[-1] else "   ") + ("│ " if has_children else "  ")
        for line in why[step["step_key"]]:
            yield from remark(margin, line)


def _walk(steps: list[Facts]) -> Iterator[tuple[Facts, tuple[bool, ...], int, bool]]:
    """Yield each step below its parent with, per level drawn, whether a sibling follows."""
    children: dict[str | None, list[Facts]] = {}
    known = {step["step_key"] for step in steps}
    for step in steps:
        parent = step["parent_step_key"]
        children.setdefault(parent if parent in known else None, []).append(step)
    roots = children.get(None, [])
    # A stack of our own: plans may be deeper than Python's.
    stack: list[tuple[Facts, tuple[bool, ...], int]] = [
        (step, (step is not roots[-1],), 1) for step in reversed(roots)
    ]
    while stack:
        step, more, depth = stack.pop()
        # Once each: a hand-made document may name a step twice; each copy would double its tree.
        below = children.pop(step["step_key"], [])
        yield step, more, depth, bool(below)
        stack.extend(
            (child, (*more[-_LEVELS:], child is not below[-1]), depth + 1)
            for child in reversed(below)
        )


def words(status: str) -> str:
    """Return a status as words."""
    return clean(status).replace("_", " ")


def join(*parts: str | None) -> str:
    """Return what is there of several texts, with blanks between."""
    return " ".join(clean(part) for part in parts if part)


def quoted(text: str) -> str:
    """Quote so that the text cannot seem to end before it does."""
    return clean(json.dumps(text, ensure_ascii=False))


def clean(text: str) -> str:
    """Escape what could move the cursor, hide text, forge a line or draw a branch."""
    if "  " in text:
        text = _BLANKS.sub(" ", text)  # padding draws columns that are not there
    if text.isprintable() and not _DRAWING.search(text):
        return text
    return "".join(
        json.dumps(one)[1:-1]
        if ord(one) < ord(" ")
        else one
        if one.isprintable() and not _DRAWING.match(one)
        else _escaped(one)
        for one in text
    )


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"


def instant(value: object) -> datetime | None:
    """Read a timestamp as PostgreSQL writes it; None also for years that Python does not have."""
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def elapsed(since: object, until: object) -> str:
    """Tell the time between two moments; nothing when there is none, or it runs backwards."""
    start, end = instant(since), instant(until)
    if start is None or end is None:
        return ""
    return duration((end - start).total_seconds())


def clock(value: object, since: object) -> str:
    """Tell a moment in UTC; its day only where that is not the day of what is told."""
    moment, start = instant(value), instant(since)
    if moment is None:
        return "at a time unknown"
    moment = moment.astimezone(UTC)
    if start is not None and start.astimezone(UTC).date() == moment.date():
        return f"{moment:%H:%M:%S}"
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def lasting(started: object, finished: object, now: datetime) -> str:
    """Tell how long something took, or takes so far."""
    if finished:
        passed = elapsed(started, finished)
        return f" after {passed}" if passed else ""
    passed = elapsed(started, now)
    return f", {passed} so far" if passed else ""


def duration(seconds: float) -> str:
    """Tell a number of seconds in its largest units; nothing for none."""
    milliseconds = int(seconds * 1000)
    if milliseconds <= 0:
        return ""
    if milliseconds < _SECOND:
        return f"{milliseconds} ms"
    if milliseconds < 10 * _SECOND:
        return f"{milliseconds // 100 / 10:g} s"
    for unit, name, smaller, small_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= unit:
            rest = int(seconds % unit) // smaller
            return f"{int(seconds // unit)} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{int(seconds)} s"


def columns(text: str) -> int:
    """Return how many columns a text takes."""
    if _NARROW.fullmatch(text):
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "FW")
        for one in text
    )


def fit(text: str, width: int) -> str:
    """Cut to a width, the cut told by an ellipsis."""
    if len(text) <= width and columns(text) <= width:
        return text
    if _NARROW.fullmatch(text):
        return text[: width - 1] + "…"
    taken = 0
    for index, one in enumerate(text):
        taken += columns(one)
        if taken > width - 1:
            return text[:index] + "…"
    return text


def remark(margin: str, line: Line) -> Iterator[str]:
    """Draw a remark, wrapped or cut to the columns beside its margin."""
    width = WIDTH - columns(margin) - _LABEL
    said = clean(line.text)
    rows = [fit(said, width)] if line.payload else _wrapped(said, width)
    for row, text in enumerate(rows):
        yield margin + (line.label if row == 0 else "").ljust(_LABEL - 1) + " " + text


def _wrapped(text: str, width: int, rows: int = 3) -> Iterable[str]:
    """Break at blanks; what is left after the last row is cut."""
    lines: list[str] = []
    while len(lines) < rows - 1 and columns(text) > width:
        cut = len(fit(text, width)) - 1
        blank = text.rfind(" ", 0, cut + 1)
        if blank > 0:
            cut = blank
        lines.append(text[:cut])
        text = text[cut:].lstrip()
    return [*lines, fit(text, width)]


def plain_marks(language: str | None) -> Mapping[int, str]:
    """Return what stands for our marks where the database's encoding may not have them."""
    return {one: f"#{one};" for one in _PLAIN} if language == "mermaid" else _PLAIN
