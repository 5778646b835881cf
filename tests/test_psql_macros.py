"""The macros of sql/psql/synapsor.psql, typed into a real psql as a person would."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.cluster import REPOSITORY, bindir, environment

if TYPE_CHECKING:
    from pathlib import Path

    from support.database import Database

MACROS = REPOSITORY / "sql/psql/synapsor.psql"


def type_into(database: Database, *lines: str, macros: str | Path = MACROS) -> str:
    """Have psql load the macros and read these lines as the reviewer; return what it prints."""
    surroundings = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    finished = subprocess.run(
        [str(bindir() / "psql"), "--no-psqlrc", f"--dbname={database('test_approver')}"],
        input="".join(f"{line}\n" for line in (f"\\i {macros}", "\\pset format unaligned", *lines)),
        env=surroundings | {"PGCLIENTENCODING": "UTF8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


@pytest.fixture
def actions(database: Database) -> list[str]:
    """Give three proposals of acme in a run, and a login that may decide them."""
    with database.connect() as admin:
        admin.execute(
            "select tests.a_contract(%s)",
            [json.dumps({"approval": {"required": True, "role": "billing_reviewer"}})],
        )
        admin.execute(
            "select synapsor.bind_role('test_approver', %s)",
            [json.dumps({"principal": "rita", "tenant_id": "acme", "roles": ["billing_reviewer"]})],
        )
        admin.execute(
            "select synapsor.bind_role('test_caller', %s)",
            [json.dumps({"principal": "ada", "tenant_id": "acme"})],
        )
    with database.connect("test_caller") as caller:
        return [
            str(row[0])
            for row in caller.execute(
                """
                with started as materialized (
                    select run_id from synapsor.start_agent_run('refunds')
                )
                select (synapsor.propose_external_action(
                    'billing.issue_refund',
                    jsonb_build_object('charge_id', 'ch_' || number, 'amount_cents', 1),
                    run_id => started.run_id
                )).action_id
                from started, generate_series(1, 3) as number
                """
            ).fetchall()
        ]


def test_approving_is_one_line(database: Database, actions: list[str]) -> None:
    first, second, third = actions
    told = type_into(
        database,
        ":pending",
        f":approve('{first}', 'looks right');",
        f":reject('{second}', 'it''s wrong');",
        f":cancel('{third}', 'too late');",
        ":pending",
        ":actions",
    )
    assert re.search(
        rf"{first}\|billing.issue_refund\|.*\|ada\|billing_reviewer\|.*\|0 of 1\|", told
    )
    assert f"{first}|billing.issue_refund|queued|1 of 1" in told
    assert f"{second}|billing.issue_refund|rejected" in told
    assert f"{third}|billing.issue_refund|cancelled" in told
    assert "(0 rows)" in told
    with database.connect() as admin:
        notes = admin.execute("select note from synapsor.approvals order by verdict").fetchall()
    assert notes == [("looks right",), ("it's wrong",)]


def test_what_the_verb_raises_is_seen(database: Database, actions: list[str]) -> None:
    told = type_into(
        database,
        ":approve('act_none');",
        f":approve('{actions[0]}', 'seen', '00');",
        f":retry('{actions[0]}', 'again');",
        f":settle('{actions[0]}', 'failed', note => 'gone');",
    )
    assert "external action 'act_none' does not exist" in told
    assert f"the digest of action {actions[0]} is not the expected one" in told
    assert told.count("ERROR:") == 4


def test_explanations_are_lines(database: Database, actions: list[str]) -> None:
    told = type_into(
        database,
        "select run_id from synapsor.synapsor_agent_workflow_runs \\gset",
        ":explain(:'run_id');",
        f":why('{actions[0]}');",
        ":statement($$ SHOW PENDING APPROVALS; $$);",
        ":statement($$ EXPLAIN EXTERNAL ACTION 'nothing' $$);",
    )
    assert re.search(r"^run run_\w{26} · refunds · open", told, re.MULTILINE)
    assert re.search(
        rf"^action {actions[0]} · billing.issue_refund v1 · proposed", told, re.MULTILINE
    )
    assert f'"action_id": "{actions[1]}"' in told
    assert "action nothing does not exist" in told


def test_every_macro_works(database: Database, actions: list[str]) -> None:
    names = re.findall(r"^\\set (\w+) '.*;'$", MACROS.read_text("utf-8"), re.MULTILINE)
    assert {"pending", "queues", "stuck", "runs", "story", "attempts", "me"} <= set(names)
    told = type_into(database, *(f":{name}" for name in names))
    assert "ERROR" not in told
    assert told.count("\n(") + told.count("\n{") >= len(names) - 1
    assert actions[0] in told


def test_the_file_is_installed_beside_the_extension(database: Database) -> None:
    installed = next(
        (bindir().parents[3] / "share").glob("postgresql/*/extension/synapsor.psql"), None
    )
    assert environment()["BINDIR"]
    assert installed is not None
    assert installed.read_bytes() == MACROS.read_bytes()
    assert "ERROR" not in type_into(database, ":pending", macros=installed)
