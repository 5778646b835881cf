"""Plans in the document's vocabulary: what runs, with which statuses (plans.yaml)."""

from __future__ import annotations

import copy
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    import psycopg

CASES: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("plans.yaml").read_text(encoding="utf-8")
)["cases"]

PATIENCE = 30


def started(
    connection: psycopg.Connection[Any], actions: Any, parameters: Any = None
) -> dict[str, Any]:
    """Declare a plan, explain it, start it, and answer what came of it once it is over."""
    plan = {"Name": "conforms", "DefaultHandlerType": "EmptyHandler", "Actions": actions}
    with connection.transaction():
        session(connection)
        connection.execute("select synapsor.declare_plan(%s)", [json.dumps(plan)])
        given = json.dumps(parameters or {})
        forecast = one(connection, "synapsor.explain_plan('conforms', %s, 'json')", given)
        run_id = one(connection, "(synapsor.start_plan('conforms', %s)).run_id", given)
    deadline = time.monotonic() + PATIENCE
    while True:
        with connection.transaction():
            session(connection)
            run = one(
                connection,
                "to_jsonb(run) from synapsor.synapsor_agent_workflow_runs as run where run_id = %s",
                run_id,
            )
            if run["finished_at"] is not None:
                steps = one(
                    connection,
                    "jsonb_agg(to_jsonb(step) order by step.sequence)"
                    " from synapsor.synapsor_agent_run_steps as step where run_id = %s",
                    run_id,
                )
                return {"run": run, "steps": steps, "forecast": json.loads(forecast)["nodes"]}
            one(connection, "synapsor.run_due_steps()")
        assert time.monotonic() < deadline, "the run does not end"
        time.sleep(0.01)


def slow(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Let every EmptyHandler take its time, so that each is waited for."""
    slowed = []
    for action in copy.deepcopy(actions):
        handler = action.get("Handler", {})
        if "Type" not in handler:
            config = handler.setdefault("Config", {})
            config.setdefault("Values", {}).setdefault("SleepMilliseconds", 1)
            action["Handler"] = handler
        if "ActionGroup" in action:
            action["ActionGroup"] = slow([action["ActionGroup"]])[0]
        if "Actions" in action:
            action["Actions"] = slow(action["Actions"])
        slowed.append(action)
    return slowed


def session(connection: psycopg.Connection[Any]) -> None:
    connection.execute("select tests.session('acme', 'ada')")


def one(connection: psycopg.Connection[Any], expression: str, *values: Any) -> Any:
    row = connection.execute(f"select {expression}", values).fetchone()
    assert row is not None
    return row[0]


def ran(result: dict[str, Any]) -> dict[str, str]:
    return {
        step["step_key"]: f"{step['status']}/{step['branch_status']}" for step in result["steps"]
    }


def the_forecast_agrees(result: dict[str, Any]) -> None:
    """What always runs did, and what never runs did not; explain_plan knows statuses, not runs."""
    statuses: dict[str, set[str]] = {}
    for step in result["steps"]:
        if step["kind"] != "container":
            key = re.sub(r"\[[0-9]+\]", "", step["step_key"])
            statuses.setdefault(key, set()).add(step["status"])
    for node in result["forecast"]:
        if node["runs"] != "perhaps":
            assert (node["step_key"] in statuses) == (node["runs"] == "always"), node["step_key"]
        assert statuses.get(node["step_key"], set()) <= set(node["statuses"]), node["step_key"]


def test_there_are_enough_plans() -> None:
    assert len(CASES) >= 25
    assert len({case["about"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[case["about"] for case in CASES])
def test_a_plan(connection: psycopg.Connection[Any], case: dict[str, Any]) -> None:
    """What comes of a plan does not depend on how long its handlers take."""
    for actions in (case["actions"], slow(case["actions"])):
        result = started(connection, actions, case.get("parameters"))
        assert ran(result) == {key: str(value) for key, value in case["ran"].items()}
        assert str(result["run"]["status"]) == str(case["status"])
        if "state" in case:
            assert result["run"]["state"] == case["state"]
        assert {step["state"] for step in result["steps"]} == {"finished"}
        the_forecast_agrees(result)


def test_a_chain_of_a_hundred(connection: psycopg.Connection[Any]) -> None:
    """Each asks for what the one above returns; the last but one fails, the last mends."""

    def returns(status: str) -> dict[str, Any]:
        return {"Config": {"Values": {"ReturnStatus": status}}}

    chain: dict[str, Any] = {
        "Name": "n100",
        "ExecuteCase": "Failed",
        "Handler": returns("Complete"),
    }
    for number in range(99, 0, -1):
        status = "Failed" if number == 99 else "Complete"
        case = {} if number == 1 else {"ExecuteCase": "Complete"}
        beside = {"Name": "beside", "ExecuteCase": "Cancelled", "Handler": returns("Cancelled")}
        chain = {
            "Name": f"n{number}",
            "Handler": returns(status),
            "Actions": [chain, beside],
            **case,
        }
    result = started(connection, [chain])
    expected = {}
    key = ""
    for number in range(1, 101):
        key += f"{'/' if key else ''}n{number}"
        own = "Failed" if number == 99 else "Complete"
        expected[key] = f"{own}/{'Complete' if number == 100 else 'Failed'}"
    assert ran(result) == expected
    assert result["run"]["status"] == "Failed"
    assert result["run"]["state"] == "completed"  # the failure was handled
    the_forecast_agrees(result)
