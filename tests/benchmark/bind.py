"""Prints what binding one proposal costs, in microseconds, with a compiled contract.

Run as `python tests/benchmark/bind.py` from the repository; needs nothing but Python.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "plpython"))

from synapsor_plpython import binding, definition  # noqa: E402

ROUNDS = 7
CALLS = 5000

CONTRACT = {
    "action": "billing.issue_refund",
    "args": {
        "charge_id": {"type": "string", "required": True, "max_length": 64},
        "amount_cents": {"type": "integer", "required": True, "minimum": 1, "maximum": 500000},
    },
    "hidden": {"tenant_id": {}, "principal": {}, "customer": {"from": "current_customer_id"}},
    "idempotency": {"key": "{tenant_id}:refund:{charge_id}:{amount_cents}", "idempotent": True},
    "ordering_key": "{charge_id}",
}
SESSION: dict[str, object] = {
    "tenant_id": "acme",
    "principal": "alice",
    "current_customer_id": "cus_1",
}
SOUND = '{"charge_id": "ch_123", "amount_cents": 2500}'
REFUSED = '{"charge_id": 5, "tenant_id": "acme"}'


def never(_pattern: str, _value: str) -> bool:
    return False


def measure(contract: binding.Contract, text: str, key: str | None) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            binding.bind(contract, text, SESSION, key, never)
        best = min(best, time.process_time() - began)
    return best / CALLS * 1e6


def main() -> None:
    normalised, reasons, _ = definition.check_action(CONTRACT)
    assert not reasons
    contract = binding.compile_contract("billing.issue_refund", 1, normalised)
    print(f"bind, key from the template   {measure(contract, SOUND, None):6.1f} µs")
    print(f"bind, key from the caller     {measure(contract, SOUND, 'key'):6.1f} µs")
    print(f"bind, refused                 {measure(contract, REFUSED, None):6.1f} µs")


if __name__ == "__main__":
    main()
