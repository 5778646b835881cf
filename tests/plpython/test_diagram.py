"""Diagrams: what is drawn, and that no text in a box can be anything but text."""

from __future__ import annotations

import html
import re
import subprocess
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synapsor_plpython.diagram import LOOKS, Arrow, Box, dot, mermaid

EVIL = [
    'end"]; click n0 "javascript:alert(1)"',
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "a]\n    n9[b\r\n%%{init: {}}%%",
    "`**markdown** [link](https://example.org) www.example.org a@example.org`",
    'back\\slash" \\N \\G \\" , URL="https://example.org"',
    "#quot; #35; &quot; &lt;b&gt;",
    "1. list",
    "- list",
    "1) list",
    "+ list",
    "=====",
    "~~~",
    "subgraph end; style n0 fill:red",
    "\u202eturned\u200b\x7f\x1b[2J\t",
    "]]>><<[[{{((|||",
    "--> n1",
    "",
]

# A line of Mermaid's that is a box or an arrow, as drawn here and in no other way.
TEXT = r"(?:[^\W_]|(?<=[^\W_])[_/.-](?=[^\W_])|[ ,:?✓✗…·→]|#[0-9]+;)*"
MERMAID_LINE = re.compile(
    r"flowchart TD"
    rf'|    n[0-9]+\["(?:{TEXT})(?:<br/>{TEXT})*"\]:::(?:done|wrong|open|unknown|idle)'
    rf'|    n[0-9]+ (?:-->|==>|-\.->)(?:\|"{TEXT}"\|)? n[0-9]+'
    r"|    classDef [a-z]+ fill:#[0-9a-f]{6},stroke:#[0-9a-f]{6},color:#202124"
)
DOT_TEXT = r'(?:[^"\\&\n]|\\\\|\\"|&amp;|\\l)*'
DOT_LINE = re.compile(
    r"digraph run \{|\}"
    r'|    (?:graph|node|edge) \[[a-zA-Z0-9",=# ]+\];'
    rf'|    n[0-9]+ \[label="{DOT_TEXT}", fillcolor="#[0-9a-f]{{6}}", color="#[0-9a-f]{{6}}"\];'
    rf'|    n[0-9]+ -> n[0-9]+ \[style="[a-z]+"(?:, label="{DOT_TEXT}")?'
    r'(?:, constraint="false")?\];'
)


def svg_texts(source: str) -> list[str]:
    done = subprocess.run(
        ["/usr/bin/dot", "-Tsvg"], input=source.encode(), capture_output=True, check=True
    )
    assert done.stderr == b""
    picture = ET.fromstring(done.stdout)
    assert picture.findall(".//{*}a") == []
    assert picture.findall(".//{*}script") == []
    return [text.text or "" for text in picture.findall(".//{*}g[@class='node']/{*}text")]


def unescaped(line: str) -> list[str]:
    """Read the lines of a Mermaid box as a browser would."""
    label = line.partition('["')[2].rpartition('"]')[0]
    return [
        re.sub(r"#([0-9]+);", lambda found: html.unescape(f"&#{found[1]};"), text)
        for text in label.split("<br/>")
    ]


def test_a_flowchart() -> None:
    boxes = [
        Box("run", ["run run_1", "open, 5 s so far"], "open"),
        Box("a", ["✓ read", 'reason "why?"'], "done"),
        Box("b", ["✗ plan/Group0"], "wrong"),
    ]
    arrows = [
        Arrow("run", "a", "root"),
        Arrow("a", "b", "group"),
        Arrow("b", "a", "caused_by"),
        Arrow("b", "nowhere", "child"),
    ]
    assert mermaid(boxes, arrows).splitlines()[:7] == [
        "flowchart TD",
        '    n0["run run_1<br/>open, 5 s so far"]:::open',
        '    n1["✓ read<br/>reason #34;why?#34;"]:::done',
        '    n2["✗ plan/Group0"]:::wrong',
        "    n0 --> n1",
        '    n1 ==>|"group"| n2',
        '    n2 -.->|"caused_by"| n1',
    ]
    assert dot(boxes, arrows).splitlines()[4:] == [
        '    n0 [label="run run_1\\lopen, 5 s so far\\l", fillcolor="#e8f0fe", color="#4285f4"];',
        '    n1 [label="✓ read\\lreason \\"why?\\"\\l", fillcolor="#e6f4ea", color="#34a853"];',
        '    n2 [label="✗ plan/Group0\\l", fillcolor="#fce8e6", color="#d93025"];',
        '    n0 -> n1 [style="solid"];',
        '    n1 -> n2 [style="bold", label="group"];',
        '    n2 -> n1 [style="dashed", label="caused_by", constraint="false"];',
        "}",
    ]


@pytest.mark.parametrize("text", EVIL)
def test_text_stays_text(text: str) -> None:
    boxes = [Box(text, [text, "second"], "done"), Box("b", ["b"], "idle")]
    drawn = mermaid(boxes, [Arrow(text, "b", text)])
    for line in drawn.split("\n"):
        assert MERMAID_LINE.fullmatch(line), line
    assert len(drawn.split("\n")) == 4 + len(LOOKS)
    shown = re.sub(r"[^ -~]", lambda one: f"\\u{ord(one[0]):04x}", text)
    assert unescaped(drawn.split("\n")[1]) == [shown, "second"]
    drawn = dot(boxes, [Arrow(text, "b", text)])
    for line in drawn.split("\n"):
        assert DOT_LINE.fullmatch(line), line
    # Graphviz draws blanks as no-break spaces, and an empty line not at all.
    texts = [one.replace("\xa0", " ") for one in svg_texts(drawn)]
    assert texts == [*([shown] if shown else []), "second", "b"]


@given(st.lists(st.text(), min_size=1, max_size=3), st.text())
def test_any_text_stays_text(lines: list[str], kind: str) -> None:
    boxes = [Box("a", lines, "done"), Box("b", lines, "wrong")]
    arrows = [Arrow("a", "b", kind)]
    for line in mermaid(boxes, arrows).split("\n"):
        assert MERMAID_LINE.fullmatch(line), line
    for line in dot(boxes, arrows).split("\n"):
        assert DOT_LINE.fullmatch(line), line


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.text(), max_size=3), min_size=1, max_size=20))
def test_graphviz_reads_whatever_is_drawn(texts: list[list[str]]) -> None:
    boxes = [Box(str(number), lines, "idle") for number, lines in enumerate(texts)]
    arrows = [Arrow("0", box.key, "child") for box in boxes]
    svg_texts(dot(boxes, arrows))


def test_addresses_are_no_links() -> None:
    drawn = mermaid([Box("a", ["see https://example.org, WWW.example.org, a@b.org"], "done")], [])
    assert "://" not in drawn
    assert "WWW." not in drawn
    assert "@" not in drawn
