"""A worker killed at any boundary: no second effect, nothing lost, nothing stuck."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from client.workshop import QUEUE, Workshop, wait_until
from crash.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Database

WORKER = Path(__file__).with_name("worker_process.py")
SINGLE = "single"
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
    return Workshop(database).prepare()


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


def test_killed_at_each_boundary(workshop: Workshop) -> None:
    """Each in a queue of its own and all at once: there is one lease to wait for."""
    cases = [(boundary, kind) for boundary in BOUNDARIES for kind in ("keyed", SINGLE)]
    actions = {}
    for boundary, kind in cases:
        name = f"{kind}.{boundary}"
        workshop.declare(
            action=name,
            queue=name,
            lease="2 s",
            idempotency={"key": "{contact}", "idempotent": kind != SINGLE},
        )
        [actions[boundary, kind]] = workshop.propose(action=name)
    with Provider() as dedupes, Provider(honours_keys=False) as repeats:
        victims = [
            start(workshop, f"{kind}.{boundary}", repeats if kind == SINGLE else dedupes, boundary)
            for boundary, kind in cases
        ]
        assert {ended(victim) for victim in victims} == {-signal.SIGKILL}
        queues = [f"{kind}.{boundary}" for boundary, kind in cases]
        with successor(workshop, queues, dedupes, repeats):
            workshop.wait_for(list(actions.values()))

    found = {case: workshop.action(action) for case, action in actions.items()}
    for (boundary, kind), action in found.items():
        effects = (repeats if kind == SINGLE else dedupes).effects[action["idempotency_key"]]
        became = (action["status"], effects)
        expected = WITHOUT_KEYS[boundary] if kind == SINGLE else ("succeeded", 1)
        assert became == expected, f"{kind}, killed at {boundary}"


def test_killed_in_the_middle_of_a_saga(workshop: Workshop) -> None:
    """Whatever a worker had in hand when it died, each effect and each undoing happens once."""
    workshop.declare(lease="1 s")
    workshop.declare(lease="1 s", action="crm.restore_contact", operation="contacts.restore")
    below: list[dict[str, Any]] = [
        {
            "Name": "Fails",
            "Handler": {"Type": "EmptyHandler", "Config": {"Values": {"ReturnStatus": "Failed"}}},
        }
    ]
    for contact in ("second", "first"):
        below = [
            {
                "Name": contact,
                "Handler": {"Type": "action:crm.update_contact"},
                "Parameters": {"Values": {"contact": contact}},
                "Compensation": {
                    "action": "crm.restore_contact",
                    "parameters": {"contact": "{parameters.contact}"},
                },
                "Actions": below,
            }
        ]
    with workshop.superuser() as admin:
        admin.execute(
            "select synapsor.declare_plan(%s)", (json.dumps({"Name": "saga", "Actions": below}),)
        )
    with workshop.client("test_caller") as caller:
        run = caller.start_plan("saga").run_id

    with Provider() as provider:
        for boundary in (
            "sent@contacts.update",
            "confirmed@contacts.update",
            "answered@contacts.restore",
            "confirmed@contacts.restore",
        ):
            victim = start(workshop, QUEUE, provider, boundary)
            assert ended(victim) == -signal.SIGKILL
        with successor(workshop, [QUEUE], provider, provider):
            wait_until(lambda: state_of(workshop, run) != "compensating")

    assert state_of(workshop, run) == "compensated"
    assert len(provider.effects) == 4
    assert set(provider.effects.values()) == {1}
    assert provider.requests.total() > 4, "nothing was delivered again"


def state_of(workshop: Workshop, run: str) -> str:
    with workshop.superuser() as admin:
        row = admin.execute("select state from synapsor.runs where run_id = %s", (run,)).fetchone()
    assert row is not None
    return str(row[0])


@contextlib.contextmanager
def successor(
    workshop: Workshop, queues: list[str], dedupes: Provider, repeats: Provider
) -> Iterator[None]:
    """Another worker finishes what the killed ones left, as soon as their leases are over."""
    import requests
    from synapsor_pg import Delivery, Outcome, succeeded

    def deliver(delivery: Delivery) -> Outcome:
        provider = repeats if delivery.claim.queue.startswith(SINGLE) else dedupes
        answer = requests.post(
            provider.address, headers={"Idempotency-Key": delivery.idempotency_key}, timeout=5
        )
        return succeeded({"status": answer.status_code})

    for operation in ("contacts.update", "contacts.restore"):
        workshop.registry.handler("crm", operation)(deliver)
    with workshop.working("test_worker_b", queues=queues):
        yield
