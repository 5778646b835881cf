"""Checks what sqlfluff cannot see, the bodies of functions: tabs, trailing blanks, width."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 120


def complaints(file: Path) -> Iterator[str]:
    """Yield one line per flaw of that file."""
    text = file.read_text("utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if "\t" in line:
            yield f"{file}:{number}: tab"
        if line != line.rstrip():
            yield f"{file}:{number}: trailing blank"
        if len(line) > WIDTH:
            yield f"{file}:{number}: {len(line)} columns, more than {WIDTH}"
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield f"{file}: does not end with exactly one line end"


def main(folders: list[str]) -> int:
    """Print every flaw below the folders."""
    found = [
        complaint
        for folder in folders
        for file in sorted(Path(folder).glob("*.sql"))
        for complaint in complaints(file)
    ]
    for complaint in found:
        print(complaint)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
