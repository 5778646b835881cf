"""A worker killed at any boundary: no second effect, nothing lost, nothing stuck."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from client.workshop import CONTRACT, QUEUE, Workshop
from crash.provider import Provider

if TYPE_CHECKING:
    from support.database import Database

WORKER = Path(__file__).with_name("worker_process.py")
SINGLE = "single_actions"
BOUNDARIES = ["claiming", "claimed", "before_begin", "begun", "sent", "answered", "confirmed"]

# What must become of an action of a provider that cannot deduplicate, and how many effects it has.
WITHOUT_KEYS = {
    "claiming": ("succeeded", 1),
    "claimed": ("succeeded", 1),
    "before_begin": ("succeeded", 1),
    "begun": ("unknown", 0),
    "sent": ("unknown", 1),
    "answered": ("unknown", 1),
    "confirmed": ("succeeded", 1),
}


@pytest.fixture
def workshop(database: Database) -> Workshop:
    """Give two contracts with short leases: the provider of one deduplicates by key."""
    idempotent = {**CONTRACT, "lease": "1 s"}
    single = {
        **idempotent,
        "action": "crm.call_contact",
        "queue": SINGLE,
        "idempotency": {"key": "{contact}", "idempotent": False},
    }
    return Workshop(database).prepare().declare(**idempotent).declare(**single)


def start(
    workshop: Workshop, queue: str, provider: Provider, boundary: str
) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), workshop.database("test_worker"), queue]
    return subprocess.Popen(
        [*command, provider.address, boundary],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> int:
    with process:
        _, said = process.communicate(timeout=30)
    assert "Traceback" not in said, said
    return process.returncode


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_killed_at(workshop: Workshop, boundary: str) -> None:
    [keyed] = workshop.propose()
    [single] = workshop.propose(action="crm.call_contact")
    with Provider() as dedupes, Provider(honours_keys=False) as repeats:
        victims = [
            start(workshop, QUEUE, dedupes, boundary),
            start(workshop, SINGLE, repeats, boundary),
        ]
        assert [ended(victim) for victim in victims] == [-signal.SIGKILL] * 2
        take_over(workshop, dedupes, repeats, [keyed, single])

    assert workshop.action(keyed)["status"] == "succeeded"
    assert list(dedupes.effects.values()) == [1]
    assert (
        workshop.action(single)["status"],
        sum(repeats.effects.values()),
    ) == WITHOUT_KEYS[boundary]


def take_over(workshop: Workshop, dedupes: Provider, repeats: Provider, actions: list[str]) -> None:
    """Another worker finishes what the killed ones left, as soon as their leases are over."""
    import requests
    from synapsor_pg import Delivery, Outcome, succeeded

    def update(delivery: Delivery) -> Outcome:
        provider = dedupes if delivery.claim.queue == QUEUE else repeats
        answer = requests.post(
            provider.address, headers={"Idempotency-Key": delivery.idempotency_key}, timeout=5
        )
        return succeeded({"status": answer.status_code})

    workshop.registry.handler("crm", "contacts.update")(update)
    with workshop.working("test_worker_b", queues=[QUEUE, SINGLE]):
        workshop.wait_for(actions)
