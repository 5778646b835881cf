#!/usr/bin/env python3
"""Builds the extension's scripts from the numbered folders beside this file.

assemble.py install       everything, for CREATE EXTENSION
assemble.py update A B    upgrades/A--B.sql where there is one, then every re-runnable file
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

# Run once, in this order; every other file holds CREATE OR REPLACE and runs again on each update.
ONCE = ("schema.sql", "roles.sql", "types.sql", "tables.sql")

PACKAGE = "synapsor_plpython"
PLACEHOLDER = "{}  # assembly: the sources of plpython/synapsor_plpython"
# A new connection reads these for its first proposal, and no others.
AT_ONCE = ("__init__", "identifiers", "plain")
AT_ONCE_PLACEHOLDER = "{}  # assembly: the sources that every proposal needs"

HEADER = """\
\\echo Use "{command}" to load this file. \\quit
set local search_path = pg_catalog, pg_temp;
"""


def sources(root: Path) -> list[Path]:
    """Return the SQL files in the order in which they run."""
    return [
        file
        for folder in sorted((root / "sql").glob("[0-9][0-9]_*"))
        for file in sorted(folder.glob("*.sql"), key=_rank)
    ]


def _rank(file: Path) -> tuple[int, str]:
    once = ONCE.index(file.name) if file.name in ONCE else len(ONCE)
    return once, file.name


def embedded_package(root: Path, stems: Container[str] | None = None) -> str:
    """Return a Python expression for {module name: source}, in ASCII, one string per line."""
    lines = ["{"]
    for file in sorted((root / "plpython" / PACKAGE).glob("*.py")):
        if stems is not None and file.stem not in stems:
            continue
        module = PACKAGE if file.stem == "__init__" else f"{PACKAGE}.{file.stem}"
        lines.append(f"    {module!r}: (")
        lines += [
            f"        {line!a}"
            for line in file.read_text("utf-8").splitlines(keepends=True) or [""]
        ]
        lines.append("    ),")
    text = "\n".join([*lines, "}"])
    if "$python$" in text:
        raise ValueError(f"a source of {PACKAGE} holds $python$, the quote around it")
    return text


def _section(root: Path, file: Path, *, replace: bool) -> str:
    text = file.read_text("utf-8")
    if not replace:
        # An install must not take over what somebody else has put there before.
        text = re.sub(r"^create or replace\b", "create", text, flags=re.MULTILINE)
    text = text.replace(PLACEHOLDER, embedded_package(root))
    text = text.replace(AT_ONCE_PLACEHOLDER, embedded_package(root, AT_ONCE))
    return f"\n-- {file.relative_to(root)}\n\n{text.rstrip()}\n"


def default_version(root: Path) -> str:
    """Return the version, which the control file alone knows."""
    control = (root / "synapsor.control").read_text("utf-8")
    found = re.search(r"^default_version\s*=\s*'([^']+)'", control, flags=re.MULTILINE)
    if not found:
        raise ValueError("synapsor.control has no default_version")
    return found[1]


def install_script(root: Path) -> str:
    """Return the text of synapsor--<version>.sql."""
    parts = [_section(root, file, replace=False) for file in sources(root)]
    return HEADER.format(command="create extension synapsor") + "".join(parts)


def update_script(root: Path, before: str, after: str) -> str:
    """Return the text of synapsor--<before>--<after>.sql."""
    files = [file for file in sources(root) if file.name not in ONCE]
    step = root / "sql" / "upgrades" / f"{before}--{after}.sql"
    if step.exists():
        files.insert(0, step)
    parts = [_section(root, file, replace=True) for file in files]
    command = f"alter extension synapsor update to '{after}'"
    return HEADER.format(command=command) + "".join(parts)


def main(arguments: list[str] | None = None) -> None:
    """Print the script that the command line asks for."""
    parser = argparse.ArgumentParser(description="build the extension's scripts")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("install")
    update = verbs.add_parser("update")
    update.add_argument("before")
    update.add_argument("after")
    asked = parser.parse_args(arguments)
    if asked.verb == "install":
        sys.stdout.write(install_script(asked.root))
    else:
        sys.stdout.write(update_script(asked.root, asked.before, asked.after))


if __name__ == "__main__":
    main()
