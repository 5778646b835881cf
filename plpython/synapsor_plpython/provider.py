"""Provider definitions: what `declare_provider` accepts, with every default filled in.

The keys are those of design.md section 4. The breaker has resilience4j's terms and defaults
(reference/pipeline.md, C), but for the window, which counts calls.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from synapsor_plpython import canonical
from synapsor_plpython.reading import Check, Findings, Reader, Reason, a_kind

if TYPE_CHECKING:
    from decimal import Decimal

BREAKER_MODES: Final = ("enforce", "monitor", "disabled", "forced_open")

MAX_RATE: Final = 1_000_000
MAX_IN_FLIGHT: Final = 100_000
MAX_WINDOW: Final = 1_000

_KEYS: Final = ("provider", "account", "description", "rate_limit", "concurrency", "breaker")
_RATE_KEYS: Final = ("per_second", "burst", "per_tenant")
_BREAKER_KEYS: Final = (
    *("mode", "failure_rate_threshold", "slow_call_duration", "slow_call_rate_threshold"),
    *("minimum_calls", "window", "wait_open", "half_open_calls"),
)


def check_provider(definition: object) -> tuple[dict[str, Any], list[Reason], list[Check]]:
    """Return the normalised definition, every reason against it, and what remains to be checked."""
    found = Findings()
    if not isinstance(definition, dict):
        found.refuse("definition", f"is {a_kind(definition)}, not an object")
        return {}, found.reasons, found.checks
    reader = Reader(found, definition, "", _KEYS)
    reader.require("provider")
    normalised = {
        "provider": reader.text("provider"),
        "account": reader.text("account", "default"),
        "description": reader.text("description"),
        "rate_limit": _read_rate_limit(reader),
        "concurrency": _read_concurrency(reader),
        "breaker": _read_breaker(reader),
    }
    return normalised, found.reasons, found.checks


def check_provider_json(text: str) -> str:
    """Check a definition given as JSON text; the face of `check_provider` for SQL.

    Returns `{"definition", "reasons": [{"path", "reason"}], "checks": [{"path", "kind",
    "value"}]}`; `definition` is null when there are reasons.
    """
    try:
        normalised, reasons, checks = check_provider(canonical.loads(text))
    except canonical.CanonicalError as error:
        normalised, reasons, checks = {}, [Reason("definition", f"is unreadable: {error}")], []
    rest = json.dumps(
        {
            "reasons": [asdict(reason) for reason in reasons],
            "checks": [asdict(check) for check in checks],
        }
    )
    accepted = "null" if reasons else canonical.canonicalize(normalised)
    return '{"definition": ' + accepted + ", " + rest[1:]


def _read_rate_limit(reader: Reader) -> dict[str, Any] | None:
    if not reader.has("rate_limit"):
        return None
    limit = reader.part("rate_limit", _RATE_KEYS)
    limit.require("per_second")
    per_second = _positive(limit, "per_second", 1)
    # What a second lets through, but never less than one call.
    burst = limit.integer("burst", max(1, math.ceil(per_second)), 1, MAX_RATE)
    per_tenant = _positive(limit, "per_tenant", 1) if limit.has("per_tenant") else None
    if per_tenant is not None and per_tenant > per_second:
        limit.refuse("per_tenant", "is above per_second, so that it limits nobody")
    return {"per_second": per_second, "burst": burst, "per_tenant": per_tenant}


def _positive(reader: Reader, key: str, default: int) -> int | Decimal:
    value = reader.number(key, default, 0, MAX_RATE)
    if value * MAX_RATE < 1:
        reader.refuse(key, "is not above zero")
        return default
    return value


def _read_concurrency(reader: Reader) -> dict[str, Any] | None:
    if not reader.has("concurrency"):
        return None
    limit = reader.part("concurrency", ("max", "per_tenant"))
    if not (limit.has("max") or limit.has("per_tenant")):
        reader.refuse("concurrency", "names neither max nor per_tenant")
    most, per_tenant = (
        limit.integer(key, 1, 1, MAX_IN_FLIGHT) if limit.has(key) else None
        for key in ("max", "per_tenant")
    )
    if most is not None and per_tenant is not None and per_tenant > most:
        limit.refuse("per_tenant", "is above max, so that it limits nobody")
    return {"max": most, "per_tenant": per_tenant}


def _read_breaker(reader: Reader) -> dict[str, Any]:
    """Read the breaker; a provider that does not mention one has none."""
    given = reader.has("breaker")
    breaker = reader.part("breaker", _BREAKER_KEYS)
    return {
        "mode": breaker.choice("mode", "enforce" if given else "disabled", BREAKER_MODES),
        "failure_rate_threshold": _percentage(breaker, "failure_rate_threshold", 50),
        "slow_call_duration": breaker.interval("slow_call_duration", "60 s"),
        "slow_call_rate_threshold": _percentage(breaker, "slow_call_rate_threshold", 100),
        "minimum_calls": breaker.integer("minimum_calls", 100, 1, MAX_WINDOW),
        "window": breaker.integer("window", 100, 1, MAX_WINDOW),
        "wait_open": breaker.interval("wait_open", "60 s"),
        "half_open_calls": breaker.integer("half_open_calls", 10, 1, MAX_WINDOW),
    }


def _percentage(reader: Reader, key: str, default: int) -> int | Decimal:
    value = reader.number(key, default, 0, 100)
    if value == 0:
        reader.refuse(key, "is not above zero")
        return default
    return value
