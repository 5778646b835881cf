"""These tests are about the providers themselves."""

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


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    import os

    for name in list(os.environ):
        if name.startswith("SYNAPSOR_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)
