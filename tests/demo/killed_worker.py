"""A worker that dies at the worst moment: the provider has answered, nothing is confirmed.

killed_worker.py QUEUE      environment as for `synapsor-pg worker`
"""

from __future__ import annotations

import os
import signal
import sys

import synapsor_pg.providers.stripe  # noqa: F401 - registers its handlers
from synapsor_pg import Worker


def die_when_answered(boundary: str) -> None:
    """SIGKILL: no handler runs, nothing is flushed, no connection is closed."""
    if boundary == "answered":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Worker(os.environ["SYNAPSOR_DSN"], queues=sys.argv[1:], checkpoint=die_when_answered).run()
