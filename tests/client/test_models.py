"""The dataclasses are the rows of the database."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from synapsor_pg import models
from synapsor_pg.models import rows_of

if TYPE_CHECKING:
    import psycopg

RELATIONS = {
    "claim": models.Claim,
    "contract": models.Contract,
    "external_action": models.ExternalAction,
    "entitlement": models.Entitlement,
    "invocation": models.Invocation,
    "member": models.Member,
    "module": models.Module,
    "policy": models.Policy,
    "redaction": models.Redaction,
    "run": models.Run,
    "state_machine": models.StateMachine,
    "step": models.Step,
    "suspension": models.Suspension,
    "worker": models.WorkerPresence,
    "synapsor_action_contracts": models.Contract,
    "synapsor_action_invocations": models.Invocation,
    "synapsor_agent_run_steps": models.Step,
    "synapsor_agent_workflow_runs": models.Run,
    "synapsor_external_actions": models.ExternalAction,
    "synapsor_pending_approvals": models.PendingApproval,
    "synapsor_workers": models.WorkerPresence,
}


def test_each_model_has_the_columns_of_its_rows(
    connection: psycopg.Connection[Any],
) -> None:
    rows = connection.execute(
        "select relation.relname, array_agg(attname::text order by attnum)"
        " from pg_attribute join pg_class as relation on relation.oid = attrelid"
        " where relnamespace = 'synapsor'::regnamespace and relname = any(%s)"
        " and attnum > 0 and not attisdropped group by 1",
        (list(RELATIONS),),
    ).fetchall()
    found = dict(rows)

    known = {
        relation: [each.name for each in fields(model)] for relation, model in RELATIONS.items()
    }
    assert found.keys() == known.keys()
    for relation, columns in known.items():
        # whether a call changed something is no property of what is stored; more columns may follow
        stored = [name for name in columns if name != "changed" or name in found[relation]]
        assert found[relation][: len(stored)] == stored, relation


def test_the_results_of_a_batch_have_the_columns_of_their_model(
    connection: psycopg.Connection[Any],
) -> None:
    cursor = connection.execute("select * from synapsor.confirm_external_actions('[]')")

    found = [column.name for column in cursor.description or ()]
    assert found == [each.name for each in fields(models.ConfirmationResult)]


def test_columns_of_a_newer_extension_are_ignored(connection: psycopg.Connection[Any]) -> None:
    cursor = connection.cursor(row_factory=rows_of(models.DeliveryStart))

    cursor.execute("select 2 as news, 'act_1' as action_id, 7::bigint as claim_token")

    assert cursor.fetchone() == models.DeliveryStart(action_id="act_1", claim_token=7)
