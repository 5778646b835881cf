"""The provider as fixtures; a conftest.py that wants them imports them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from providers.stripe_process import StripeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["stripe_process", "stripe_provider"]


@pytest.fixture(scope="session")
def stripe_process() -> Iterator[StripeProcess]:
    """One process for all tests that ask; use `stripe_provider`, which is empty each time."""
    with StripeProcess() as process:
        yield process


@pytest.fixture
def stripe_provider(stripe_process: StripeProcess) -> StripeProcess:
    """A Stripe without charges, refunds, keys, log or planned faults."""
    stripe_process.reset()
    return stripe_process
