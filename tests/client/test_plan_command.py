"""`synapsor-pg plan`: from YAML to a run, and samples that are plans themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from client.shell import call, done
from synapsor_pg.cli.documents import definitions
from synapsor_pg.cli.samples import PARAMETER_OPTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from client.workshop import Workshop

PLAN = """\
# two actions, one below the other
Name: Greeting
Description: says hello
DefaultHandlerType: Synapse.Core:EchoHandler
Actions:
- Name: First
  Handler:
    Type: EmptyHandler
    Config:
      Values: {ReturnStatus: Complete, ExitData: {hello: world}}
  Actions:
  - Name: no
    ExecuteCase: Complete
    Parameters:
      Values: {at: 12:30}
      Dynamic:
      - {Source: who, Target: who}
"""
LIST = """\
- Name: Only
  Handler: {Type: EmptyHandler, Config: {Values: {ReturnStatus: Failed}}}
"""


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    file = tmp_path / "greeting.yaml"
    file.write_text(PLAN)
    return file


def test_a_plan_goes_from_its_file_to_a_run(workshop: Workshop, plan_file: Path) -> None:
    [first] = done(workshop, "test_admin", "plan", "apply", str(plan_file), "--json").json
    assert (first["kind"], first["name"], first["version"], first["changed"]) == (
        "plan",
        "Greeting",
        1,
        True,
    )
    again = done(workshop, "test_admin", "plan", "apply", str(plan_file)).out
    assert again == "plan Greeting version 1 is declared already\n"
    plan_file.write_text(PLAN.replace("hello\n", "good day\n"))
    assert "version 2 is new" in done(workshop, "test_admin", "plan", "apply", str(plan_file)).out

    [listed] = done(workshop, "test_auditor", "plan", "list", "--json").json
    assert (listed["plan"], listed["version"]) == ("Greeting", 2)
    assert len(done(workshop, "test_auditor", "plan", "list", "--all", "--json").json) == 2
    assert "good day" in done(workshop, "test_auditor", "plan", "list").out

    shown = plan_file.with_name("shown.yaml")
    shown.write_text(done(workshop, "test_auditor", "plan", "show", "Greeting").out)
    assert "is declared already" in done(workshop, "test_admin", "plan", "apply", str(shown)).out
    old = done(workshop, "test_auditor", "plan", "show", "Greeting", "--version", "1", "--json")
    assert old.json["definition"]["Description"] == "says hello"
    assert call(workshop, "test_auditor", "plan", "show", "nosuch").code == 1

    words = ("plan", "start", "Greeting", "-p", "who=ada", "--wait", "--json")
    run = done(workshop, "test_caller", *words).json
    assert (run["state"], run["status"], run["plan"]) == ("completed", "Complete", "Greeting")
    [step] = workshop.read(
        "select exit_data, name from synapsor.synapsor_agent_run_steps"
        " where run_id = %s and name = 'no'",
        run["run_id"],
    )
    assert step["exit_data"]["StartInfo"]["Parameters"] == {"at": "12:30", "who": "ada"}


def test_a_list_of_actions_is_a_plan_too(workshop: Workshop, tmp_path: Path) -> None:
    file = tmp_path / "failing.yaml"
    file.write_text(LIST)
    assert "plan failing version 1" in done(workshop, "test_admin", "plan", "apply", str(file)).out
    words = ("plan", "apply", str(file), "--name", "Other")
    assert "plan Other version 1 is new" in done(workshop, "test_admin", *words).out
    said = call(workshop, "test_caller", "plan", "start", "failing", "--wait")
    assert said.code == 4
    assert said.out.strip().endswith(", Failed")
    assert done(workshop, "test_caller", "plan", "start", "failing").code == 0


def test_a_run_is_cancelled_and_a_failed_one_resumed(workshop: Workshop, tmp_path: Path) -> None:
    workshop.declare(approval={"required": True})
    file = tmp_path / "waiting.yaml"
    file.write_text(
        "- Name: Ask\n"
        "  Handler: {Type: 'action:crm.update_contact'}\n"
        "  Parameters: {Values: {contact: c1}}\n"
    )
    done(workshop, "test_admin", "plan", "apply", str(file))
    run = done(workshop, "test_caller", "plan", "start", "waiting", "--json").json["run_id"]
    [waiting] = done(workshop, "test_approver", "pending", "--json").json
    said = done(workshop, "test_caller", "cancel", run, "--reason", "changed my mind")
    assert said.out == f"{run} is cancelled\n"
    assert workshop.statuses([waiting["action_id"]]) == ["cancelled"]
    assert "changed my mind" in done(workshop, "test_caller", "explain", run).out

    file.write_text(LIST)
    done(workshop, "test_admin", "plan", "apply", str(file))
    run = call(workshop, "test_caller", "plan", "start", "waiting", "--json").json["run_id"]
    said = done(workshop, "test_caller", "resume", run, "--json")
    assert said.json["run_id"] == run
    assert call(workshop, "test_caller", "resume", "run_nosuch").err.startswith("SY011")


def test_parameters_come_as_words_or_as_json(workshop: Workshop, plan_file: Path) -> None:
    done(workshop, "test_admin", "plan", "apply", str(plan_file))
    given = plan_file.with_name("given.json")
    given.write_text('{"who": "grace"}')
    for words in (("--parameters", f"@{given}"), ("--parameters", '{"who": "grace"}')):
        done(workshop, "test_caller", "plan", "start", "Greeting", *words)
    steps = workshop.read(
        "select exit_data -> 'StartInfo' -> 'Parameters' ->> 'who' as who"
        " from synapsor.synapsor_agent_run_steps where name = 'no'"
    )
    assert steps == [{"who": "grace"}] * 2
    for words, complaint in (
        (("-p", "who"), "--param who is not NAME=VALUE"),
        (("--parameters", "{"), "--parameters is no JSON: "),
        (("--parameters", "[]"), "--parameters is no JSON object"),
        (("--parameters", f"@{plan_file.with_name('x.txt')}"), "the name ends in none of"),
    ):
        said = call(workshop, "test_caller", "plan", "start", "Greeting", *words)
        assert said.code == 2
        assert complaint in said.err


def test_all_mistakes_are_told_with_path_and_line(workshop: Workshop, plan_file: Path) -> None:
    wrong = PLAN.replace("ExecuteCase: Complete", "ExecuteCase: Done").replace(
        "Target: who", "Target: who, Colour: red"
    )
    plan_file.write_text(wrong)
    said = call(workshop, "test_admin", "plan", "apply", str(plan_file))
    assert said.code == 1
    assert said.err.startswith("SY002: a definition is refused; nothing is declared")
    assert f"{plan_file}:13: Actions[0].Actions[0].ExecuteCase is none of" in said.err
    assert f"{plan_file}:17: Actions[0].Actions[0].Parameters.Dynamic[0].Colour" in said.err

    listed = plan_file.with_name("list.yaml")
    listed.write_text(LIST + "  Colour: red\n")
    said = call(workshop, "test_admin", "plan", "apply", str(listed), "--json")
    detail = json.loads(said.err)["error"]["detail"]
    assert f"{listed}:3: Actions[0].Colour" in detail
    plan_file.write_text("just text")
    said = call(workshop, "test_admin", "plan", "apply", str(plan_file))
    assert (said.code, "a plan is an object with Name and Actions" in said.err) == (2, True)
    plan_file.write_text("Name: x\n")
    said = call(workshop, "test_admin", "plan", "apply", str(plan_file))
    assert (said.code, "Actions" in said.err) == (1, True)


def test_what_a_plan_would_do_is_told(workshop: Workshop, plan_file: Path) -> None:
    done(workshop, "test_admin", "plan", "apply", str(plan_file))
    told = done(workshop, "test_caller", "plan", "explain", "Greeting").out
    assert "First" in told
    said = done(workshop, "test_caller", "plan", "explain", "Greeting", "--json").json
    assert isinstance(said, dict)
    graph = done(workshop, "test_caller", "plan", "explain", "Greeting", "--format", "dot").out
    assert graph.startswith("digraph")


SCHEMA = {
    "type": "object",
    "required": ["name", "size"],
    "properties": {
        "name": {"type": "string", "minLength": 8, "maxLength": 9, "description": "Who\nit is."},
        "size": {"type": "integer", "minimum": 5, "maximum": 7},
        "colour": {"enum": ["red", "green"]},
        "since": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        "inner": {"type": "object", "properties": {"deep": {"type": "boolean"}}},
    },
}


RESIZE = {
    "type": "object",
    "properties": {
        "config": {"type": "object", "properties": {"quality": {"type": "integer", "maximum": 9}}},
        "parameters": {
            "type": "object",
            "required": ["width"],
            "properties": {"width": {"type": "integer", "minimum": 10}},
        },
        "is_dry_run": {"type": "boolean"},
    },
}


@pytest.fixture
def contracts(workshop: Workshop) -> Workshop:
    """Contracts of every form of arguments, one of them served by a worker."""
    with workshop.superuser() as connection:
        for definition in (
            {
                "action": "crm.add_contact",
                "args_schema": SCHEMA,
                "provider": "crm",
                "operation": "contacts.add",
                "queue": "crm",
                "description": "Adds somebody.",
            },
            {
                "action": "lib.resize",
                "args_schema": RESIZE,
                "provider": "plan",
                "operation": "Images:Resize",
                "queue": "images",
            },
        ):
            connection.execute("select synapsor.declare_action(%s)", (json.dumps(definition),))
    return workshop


HANDLERS = [
    ("EchoHandler",),
    ("Empty",),
    ("Synapse.Core:all",),
    ("action:crm.update_contact",),
    ("action:crm.all", "Images:ResizeHandler"),
    ("EchoHandler,Synapse.Core:EmptyHandler", "action:crm.add_contact"),
]


@pytest.mark.parametrize("verbose", [False, True])
def test_a_sample_is_a_plan_itself(contracts: Workshop, tmp_path: Path, verbose: bool) -> None:
    for number, handlers in enumerate(HANDLERS):
        file = tmp_path / f"sample{number}.yaml"
        words = ["plan", "sample", *handlers, "--out", str(file), *["--verbose"] * verbose]
        assert done(contracts, "test_caller", *words).out == ""
        [plan] = definitions([file])
        for action in plan.value["Actions"] if verbose else []:
            assert PARAMETER_OPTIONS.keys() <= action["Parameters"].keys()
            assert {"RunAs", "ActionGroup", "Compensation", "Proxy", "SaveExitDataAs"} <= set(
                action
            )
    told = done(contracts, "test_admin", "plan", "apply", str(tmp_path)).out.splitlines()
    assert [line.rpartition(" is ")[2] for line in told] == ["new"] * len(HANDLERS)


def test_a_sample_shows_what_a_handler_takes(contracts: Workshop) -> None:
    words = ("plan", "sample", "action:crm.add_contact", "Images:Resize")
    text = done(contracts, "test_caller", *words).out
    assert "- Name: crm.add_contact  # Adds somebody.\n" in text
    assert (
        "      name: textxxxx  # string, required, maxLength 9, minLength 8: Who it is.\n" in text
    )
    assert "      size: 5  # integer, required, maximum 7, minimum 5\n" in text
    assert "      colour: red  # string, enum red | green\n" in text
    assert "    Type: Images:Resize\n" in text
    assert "        quality: 1  # integer, maximum 9\n" in text
    assert "      width: 10  # integer, required, minimum 10\n" in text
    assert "is_dry_run" not in text

    with contracts.client("test_caller") as client:
        values = yaml.safe_load(text)["Actions"][0]["Parameters"]["Values"]
        assert client.preview_action("crm.add_contact", values)["violations"] in ([], None)


def test_handlers_of_a_module_are_found(
    contracts: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_plan_handlers.py").write_text(
        "from synapsor_pg import plan_handler\n"
        "@plan_handler('Images:Resize')\n"
        "def resize(node):\n"
        "    'Makes pictures smaller.'\n"
        "@plan_handler('Images:Flip', config={'fast': True}, parameters={'axis': 'x'})\n"
        "def flip(node):\n"
        "    'Turns pictures.'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ("plan", "sample", "Images:all", "--handlers", "my_plan_handlers")
    text = done(contracts, "test_caller", *words).out
    assert "- Name: Flip  # Turns pictures.\n" in text
    flip = yaml.safe_load(text)["Actions"][0]
    assert flip["Handler"]["Config"] == {"Values": {"fast": True}}
    assert flip["Parameters"] == {"Values": {"axis": "x"}}
    assert "      width: 10  # integer, required, minimum 10\n" in text, "as its contract says"
    said = call(contracts, "test_caller", *words[:-1], "nosuch")
    assert said.code == 2
    assert "cannot load --handlers nosuch" in said.err


def test_a_sample_runs(workshop: Workshop, tmp_path: Path) -> None:
    file = tmp_path / "sample.yaml"
    done(workshop, "test_caller", "plan", "sample", "Synapse.Core:all", f"out:{file}")
    done(workshop, "test_admin", "plan", "apply", str(file))
    run = done(workshop, "test_caller", "plan", "start", "Sample", "--wait", "--json").json
    assert (run["state"], run["status"]) == ("completed", "Complete")


def test_a_sample_is_json_too(workshop: Workshop, tmp_path: Path) -> None:
    file = tmp_path / "sample.json"
    words = ("plan", "sample", "Synapse.Core:all", "verbose", "--json")
    said = done(workshop, "test_caller", *words)
    file.write_text(said.out)
    assert [action["Name"] for action in said.json["Actions"]] == ["EchoHandler", "EmptyHandler"]
    assert "is new" in done(workshop, "test_admin", "plan", "apply", str(file)).out


def test_the_documents_own_words_are_understood(workshop: Workshop, tmp_path: Path) -> None:
    file = tmp_path / "mySample.yaml"
    words = ["sample:Synapse.Core:all", f"out:{file}", "verbose:true"]
    done(workshop, "test_caller", "plan", "sample", *words)
    assert "ForEach:" in file.read_text()
    assert "ForEach:" in done(workshop, "test_caller", "plan", "sample", "Echo", "verbose").out
    for words, complaint in (
        (["verbose"], "name a handler"),
        (["Nosuch:Handler"], "there is no handler Nosuch:Handler; known are EchoHandler"),
        (["action:no.such"], "there is no action no.such in use"),
        (["action:no.all"], "there is no action no.all in use"),
    ):
        said = call(workshop, "test_caller", "plan", "sample", *words)
        assert said.code == 2
        assert complaint in said.err


def test_a_sample_of_what_is_built_in_needs_no_database(workshop: Workshop) -> None:
    words = ("plan", "sample", "Synapse.Core:all", "--dsn", "host=/nosuch")
    assert "EmptyHandler" in done(workshop, "test_caller", *words).out
    said = call(workshop, "test_caller", "plan", "sample", "action:crm.x", *words[3:])
    assert said.code == 1
