"""What a worker tells of itself while it works: the hooks of metrics, traces and health.

A worker calls its observers from its own threads, right where the thing happens. They must be quick
and safe to call from several threads at once; what they raise is logged and changes nothing.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from synapsor_pg.handlers import Delivery, Outcome
    from synapsor_pg.models import Claim, Confirmation, ConfirmationResult

LOG = logging.getLogger("synapsor_pg.worker")


class WorkerObserver:
    """Does nothing at every point; override what is of interest."""

    def claimed(self, queue: str, claims: Sequence[Claim]) -> None:
        """Hear what a claim brought; nothing: the queue had nothing due."""

    def handling(self, delivery: Delivery) -> AbstractContextManager[None]:  # noqa: ARG002
        """Surround the handler's call, in its thread."""
        return contextlib.nullcontext()

    def began(self, delivery: Delivery) -> None:
        """Hear that the database has recorded the beginning of a delivery."""

    def answered(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        """Hear what the handler answered, after so many seconds."""

    def confirmed(
        self, delivery: Delivery, confirmation: Confirmation, result: ConfirmationResult
    ) -> None:
        """Hear that the database has heard the outcome; it may have refused it."""

    def released(self, delivery: Delivery, because: str) -> None:
        """Hear that a claim was given back."""

    def cancelled(self, delivery: Delivery, because: str) -> None:
        """Hear that a handler must stop: its lease is about to end, or its time is over."""

    def database_failed(self, doing: str, error: Exception) -> None:
        """Hear that the database could not be reached, or refused."""

    def listening(self, up: bool) -> None:
        """Hear that LISTEN works, or has stopped working."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """How a worker is, at this moment."""

    label: str
    queues: tuple[str, ...]
    held: int
    stopping: bool
    listening: bool
    reached_database_at: float | None
    """When the database last answered a claim, of ``time.monotonic()``; None: never yet."""


class Observers:
    """Tells several observers; none of them can disturb the worker, nor the others."""

    def __init__(self, observers: Sequence[WorkerObserver]) -> None:
        """Tell these, in this order."""
        self._observers = tuple(observers)

    def tell(self, hook: str, *what: object) -> None:
        """Call the hook of that name of each."""
        for observer in self._observers:
            try:
                getattr(observer, hook)(*what)
            except Exception:
                LOG.exception("%s failed", type(observer).__name__)

    def handling(self, delivery: Delivery) -> AbstractContextManager[None]:
        """Enter the surroundings that each gives; what the handler raises passes through."""
        return self._around(delivery) if self._observers else contextlib.nullcontext()

    @contextlib.contextmanager
    def _around(self, delivery: Delivery) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for observer in self._observers:
                try:
                    around = observer.handling(delivery)
                    around.__enter__()
                except Exception:
                    LOG.exception("%s failed", type(observer).__name__)
                else:
                    stack.callback(self._leave, around)
            yield

    @staticmethod
    def _leave(around: AbstractContextManager[None]) -> None:
        try:
            around.__exit__(None, None, None)
        except Exception:
            LOG.exception("%s failed", type(around).__name__)
