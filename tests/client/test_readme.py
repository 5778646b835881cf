"""The worker of the client's README is at most 15 lines, and works."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from crash.provider import Provider
from support.cluster import REPOSITORY

if TYPE_CHECKING:
    from client.workshop import Workshop


def test_the_worker_of_the_readme_works(workshop: Workshop) -> None:
    readme = (REPOSITORY / "python_client/README.md").read_text()
    found = re.search(r"## A worker\n\n```python\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    program = found[1]
    assert sum(bool(line) for line in program.splitlines()) <= 15

    [action] = workshop.propose()
    with Provider() as provider:
        for told, here in (
            ("https://crm.example/contacts", provider.address),
            ("dbname=app user=crm_worker", workshop.database("test_worker")),
            (".run()", ".run(until_idle=True)"),
        ):
            assert told in program
            program = program.replace(told, here)
        exec(compile(program, "README.md", "exec"), {})

        assert list(provider.effects) == [workshop.action(action)["idempotency_key"]]
    assert workshop.statuses([action]) == ["succeeded"]
