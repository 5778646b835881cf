"""When the peers' Python scripts begin, what they print and when they may end; see peers.py."""

from __future__ import annotations

import sys
import time


def ready() -> float:
    """Say that everything is prepared, wait until all may begin, and return when that was."""
    print("ready", flush=True)
    sys.stdin.readline()
    return time.perf_counter()


def done(*figures: float) -> None:
    """Print what was measured, and keep connections open until they have been looked at."""
    print(*figures, flush=True)
    sys.stdin.read()


def done_since(began: float) -> None:
    done(time.perf_counter() - began)
