"""The provider of the client's README has 20 lines, and works."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from providers.deliveries import deliver, perform, verdict
from providers.fake import Fake
from support.cluster import REPOSITORY

if TYPE_CHECKING:
    import pytest
    from client.workshop import Workshop

CONTRACT = {
    "action": "ops.alert",
    "kind": "external",
    "args": {"text": {"type": "string", "required": True}},
    "hidden": {"tenant_id": {}},
    "provider": "pager",
    "operation": "alerts.raise",
    "queue": "alerts",
    "idempotency": {"key": "{tenant_id}:{text}", "idempotent": True, "window": "1 hour"},
}


def test_the_provider_of_the_readme_works(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (REPOSITORY / "python_client/README.md").read_text()
    found = re.search(r"in 20 lines\n\n```python\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    assert sum(bool(line) for line in found[1].splitlines()) <= 20
    monkeypatch.setenv("SYNAPSOR_PAGER_API_KEY", "pager-key")
    monkeypatch.setenv("SYNAPSOR_PAGER_TIMEOUT", "0.6")

    with Fake() as pager:
        program = found[1].replace("https://pager.example", pager.address)
        exec(compile(program, "README.md", "exec"), {})
        pager.retry_after = 0
        for fault in ("busy", "error_before"):
            pager.plan(fault)
        rows = perform(workshop, CONTRACT, {"text": "It burns"}, {"text": "It still burns"})

        assert [row["status"] for row in rows] == ["succeeded"] * 2
        assert sorted(pager.effects.values()) == [1, 1]
        assert pager.requests[0].headers["authorization"] == "Bearer pager-key"
        pager.plan("hang")
        assert verdict(deliver("pager", "alerts.raise", {"text": "x"})) == "unknown"
