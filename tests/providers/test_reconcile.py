"""What became of a lost request: found at the provider, or known not done and sent again.

Through the real worker and the database, with contracts that allow one attempt only.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from client.workshop import wait_until
from providers.deliveries import examples
from providers.test_bad_days import Setting, the_http, the_slack, the_zendesk
from stripe import StripeClient
from synapsor_pg import Client, Registry, registry
from synapsor_pg.providers import http, slack, stripe, zendesk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from client.workshop import Workshop
    from providers.fake import Fake
    from providers.stripe_process import StripeProcess


class Lost(NamedTuple):
    """A provider that can lose an answer, and an action for it."""

    contract: dict[str, Any]
    arguments: Callable[[str], dict[str, Any]]
    lose: Callable[[str], None]
    effects: Callable[[], int]
    handlers: Registry = registry
    fake: Fake | None = None


def with_http(put: Setting, tmp_path: Path, _stripe: StripeProcess) -> Lost:
    case = the_http(put, tmp_path)
    handlers = Registry()
    http.load(tmp_path / "http.toml", handlers)
    return of_fake(
        case.fake, examples(http)[0], lambda when: {"contact": when, "name": "Ann"}, handlers
    )


def with_slack(put: Setting, tmp_path: Path, _stripe: StripeProcess) -> Lost:
    case = the_slack(put, tmp_path)
    return of_fake(case.fake, examples(slack)[0], lambda when: {"channel": "C1", "text": when})


def with_zendesk_tickets(put: Setting, tmp_path: Path, _stripe: StripeProcess) -> Lost:
    case = the_zendesk(put, tmp_path)
    return of_fake(case.fake, examples(zendesk)[0], lambda when: {"subject": when, "body": "b"})


def with_zendesk_comments(put: Setting, tmp_path: Path, _stripe: StripeProcess) -> Lost:
    fake: Any = the_zendesk(put, tmp_path).fake
    fake.tickets[1] = {"id": 1, "external_id": None}
    fake.audits[1] = []
    return of_fake(fake, examples(zendesk)[1], lambda when: {"ticket_id": 1, "body": when})


def of_fake(
    fake: Fake,
    contract: dict[str, Any],
    arguments: Callable[[str], dict[str, Any]],
    handlers: Registry = registry,
) -> Lost:
    return Lost(
        contract,
        arguments,
        lambda when: fake.plan(f"cut_{when}"),
        lambda: sum(fake.effects.values()),
        handlers,
        fake,
    )


def with_stripe(put: Setting, _tmp_path: Path, provider: StripeProcess) -> Lost:
    put("STRIPE_API_KEY", "sk_test_synapsor")
    put("STRIPE_API_BASE", provider.base_address)
    shop = StripeClient("sk_test_synapsor", base_addresses={"api": provider.base_address})
    paid = shop.v1.charges.create({"amount": 5000, "currency": "usd", "source": "pm_card_visa"})
    return Lost(
        examples(stripe)[0],
        lambda when: {"charge_id": paid.id, "amount_cents": 100 + len(when)},
        lambda when: provider.inject("cut", when),
        lambda: len(provider.refunds(paid.id)),
    )


@pytest.mark.parametrize(
    "prepare",
    [with_http, with_slack, with_zendesk_tickets, with_zendesk_comments, with_stripe],
)
def test_a_lost_request_has_one_effect_in_the_end(
    workshop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stripe_provider: StripeProcess,
    prepare: Callable[[Setting, Path, StripeProcess], Lost],
) -> None:
    lost = prepare(
        lambda name, value: monkeypatch.setenv(f"SYNAPSOR_{name}", value),
        tmp_path,
        stripe_provider,
    )
    once = {
        "idempotency": {"idempotent": False},
        "reconcile": lost.contract["reconcile"] | {"after": "50 ms"},
    }
    with workshop.superuser() as connection:
        Client(connection).declare_action(lost.contract | once)
    with lost.fake or contextlib.nullcontext():
        for number, when in enumerate(("before", "after"), start=1):
            lost.lose(when)
            action_id = settled(workshop, lost, when)

            assert lost.effects() == number
            events = workshop.events(action_id)
            assert "Settled" in events
            assert events.count("DeliveryStarted") == (1 if when == "after" else 2)
            assert workshop.action(action_id)["provider_request_id"]


def settled(workshop: Workshop, lost: Lost, when: str) -> str:
    """Propose an action and let a worker work until it has succeeded; return its id."""
    with workshop.client("test_caller") as client:
        action = client.propose_external_action(lost.contract["action"], lost.arguments(when))
    queues = [lost.contract["queue"]]
    with workshop.working(queues=queues, registry=lost.handlers, reconcile=0.1):
        wait_until(lambda: workshop.statuses([action.action_id]) == ["succeeded"], within=20)
    return action.action_id
