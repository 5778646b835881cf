"""Fixtures of the tests of client and worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from client.workshop import Workshop
from providers.fixtures import stripe_process, stripe_provider

if TYPE_CHECKING:
    from support.database import Database

__all__ = ["stripe_process", "stripe_provider", "workshop"]


@pytest.fixture
def workshop(database: Database) -> Workshop:
    """Give a database with sessions and a contract that needs no approval."""
    return Workshop(database).prepare()
