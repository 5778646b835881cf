"""Programs that begin together and say how long they took.

Each says "ready", begins when it is sent a line, prints its figures on one line, and ends when its
input does: until then its connections can be looked at.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

PATIENCE = 600


class FailedError(Exception):
    """A program that failed, ended early or took too long."""


def run_together(
    command: Sequence[str | Path],
    processes: int = 1,
    place: Mapping[str, str] | None = None,
    look: Callable[[], None] = lambda: None,
) -> list[float]:
    """Run so many of a program and return the figures of all; look when they are done."""
    words = [str(word) for word in command]
    # No pipe for what goes wrong: nobody reads it meanwhile.
    with tempfile.TemporaryFile("w+") as complaints:
        started = [
            subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                env=os.environ | (place or {}),
            )
            for _ in range(processes)
        ]
        impatience = threading.Timer(PATIENCE, lambda: [each.kill() for each in started])
        impatience.start()
        try:
            for each in started:
                _told(each)
            for each in started:
                _pipe(each.stdin).write("\n")
                _pipe(each.stdin).flush()
            figures = [float(word) for each in started for word in _told(each).split()]
            look()
        except OSError:
            figures = []
        finally:
            for each in started:
                with each:
                    each.communicate()
            impatience.cancel()
        if len(figures) < processes or any(each.returncode for each in started):
            complaints.seek(0)
            lines = complaints.read().strip().splitlines() or ["it ended early or took too long"]
            raise FailedError(lines[-1])
    return figures


def _told(process: subprocess.Popen[str]) -> str:
    """Return the next line that counts: some programs print words of their own."""
    for line in _pipe(process.stdout):
        if re.fullmatch(r"ready|[0-9][-+0-9.e ]*", line.strip()):
            return line
    return ""


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
