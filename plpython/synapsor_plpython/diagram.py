"""Diagrams of boxes and arrows, as Mermaid flowcharts and Graphviz graphs.

What stands in a box is untrusted: names, notes and messages of others. It is data in both
languages, whatever it holds: identifiers are numbers given here, and labels are quoted with every
character escaped that could end the quotes, begin markup or make a link. Nothing here makes a link.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from synapsor_plpython.drawing import clean, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_WIDTH: Final = 56
"""Columns of a line in a box."""

LOOKS: Final[Mapping[str, tuple[str, str]]] = {
    "done": ("#e6f4ea", "#34a853"),
    "wrong": ("#fce8e6", "#d93025"),
    "open": ("#e8f0fe", "#4285f4"),
    "unknown": ("#fef7e0", "#f29900"),
    "idle": ("#f1f3f4", "#9aa0a6"),
}
"""How a box looks: the colours of its ground and of its line."""

_ARROWS: Final[Mapping[str, tuple[str, str]]] = {
    "root": ("-->", "solid"),
    "child": ("-->", "solid"),
    "group": ("==>", "bold"),
    "instance": ("-->", "solid"),
}
"""Mermaid's and Graphviz' way of drawing what is below; everything else is dashed."""

_PLAIN: Final = " ,:?✓✗…·→"
_JOINTS: Final = "_/-."
_HOST: Final = re.compile(r"www$", re.IGNORECASE)
_DOT_ESCAPES: Final[Mapping[str, str]] = {"\\": "\\\\", '"': '\\"', "&": "&amp;"}


@dataclass(frozen=True, slots=True)
class Box:
    """One box: what arrows call it, its lines of text, and how it looks (a key of LOOKS)."""

    key: str
    lines: Sequence[str]
    look: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arrow between two boxes, named by what it means unless that is plain to see."""

    start: str
    end: str
    kind: str


def box(key: str, lines: Iterable[str], look: str) -> Box:
    """Return a box of lines that fit into it."""
    return Box(key, [fit(clean(line), _WIDTH) for line in lines], look)


def mermaid(boxes: Iterable[Box], arrows: Iterable[Arrow]) -> str:
    """Draw a Mermaid flowchart. Arrows between boxes that are not there are left out."""
    names: dict[str, str] = {}
    lines = ["flowchart TD"]
    for box in boxes:
        names[box.key] = name = f"n{len(names)}"
        label = "<br/>".join(map(_mermaid_text, box.lines)) or " "
        lines.append(f'    {name}["{label}"]:::{box.look}')
    for arrow in arrows:
        if arrow.start in names and arrow.end in names:
            sign = _ARROWS.get(arrow.kind, ("-.->", ""))[0]
            told = f'|"{_mermaid_text(arrow.kind)}"|' if _is_told(arrow) else ""
            lines.append(f"    {names[arrow.start]} {sign}{told} {names[arrow.end]}")
    lines.extend(
        f"    classDef {look} fill:{ground},stroke:{line},color:#202124"
        for look, (ground, line) in LOOKS.items()
    )
    return "\n".join(lines)


def dot(boxes: Iterable[Box], arrows: Iterable[Arrow]) -> str:
    """Draw a Graphviz graph. Arrows between boxes that are not there are left out."""
    names: dict[str, str] = {}
    lines = [
        "digraph run {",
        '    graph [rankdir="TB"];',
        '    node [shape="box", style="rounded,filled", fontname="Helvetica", fontsize="10"];',
        '    edge [fontname="Helvetica", fontsize="9", color="#5f6368"];',
    ]
    for box in boxes:
        names[box.key] = name = f"n{len(names)}"
        ground, line = LOOKS[box.look]
        # \l ends a line and puts it to the left.
        label = "".join(_dot_text(text) + "\\l" for text in box.lines)
        lines.append(f'    {name} [label="{label}", fillcolor="{ground}", color="{line}"];')
    for arrow in arrows:
        if arrow.start in names and arrow.end in names:
            style = _ARROWS.get(arrow.kind, ("", "dashed"))[1]
            told = f', label="{_dot_text(arrow.kind)}"' if _is_told(arrow) else ""
            # What is not below is drawn beside: it must not bend the tree.
            told += "" if arrow.kind in _ARROWS else ', constraint="false"'
            lines.append(f'    {names[arrow.start]} -> {names[arrow.end]} [style="{style}"{told}];')
    return "\n".join([*lines, "}"])


def _is_told(arrow: Arrow) -> bool:
    return arrow.kind not in {"root", "child", ""}


def _mermaid_text(text: str) -> str:
    """Escape as Mermaid's numbered entities all that its quotes, HTML or Markdown could read.

    Letters and digits stay, and within a word an underscore, a slash, a dot or a hyphen, so that a
    name can be read and found.
    """
    text = _shown(text)
    escaped = []
    for position, one in enumerate(text):
        before, after = text[:position], text[position + 1 :]
        inside = before[-1:].isalnum() and after[:1].isalnum()
        if one.isalnum() or one in _PLAIN or (one in _JOINTS and inside):
            # Markdown makes links of addresses.
            is_link = (one == ":" and after[:1] == "/") or (one == "." and _HOST.search(before))
            escaped.append(f"#{ord(one)};" if is_link else one)
        else:
            escaped.append(f"#{ord(one)};")
    return "".join(escaped)


def _dot_text(text: str) -> str:
    """Escape what ends a quoted string, what is an escape in a label, and HTML's entities."""
    return "".join(_DOT_ESCAPES.get(one, one) for one in _shown(text))


def _shown(text: str) -> str:
    """Name the characters that would move the cursor, turn the text or be seen as nothing."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)


LANGUAGES: Final[Mapping[str, Callable[[Iterable[Box], Iterable[Arrow]], str]]] = {
    "mermaid": mermaid,
    "dot": dot,
}
