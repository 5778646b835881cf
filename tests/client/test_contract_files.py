"""Contracts in files: read safely, compared, declared once."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from client.shell import call, done
from client.workshop import CONTRACT, Workshop
from synapsor_pg.cli.contracts import differ
from synapsor_pg.cli.documents import definitions, write_yaml
from synapsor_pg.cli.shared import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ACTION = CONTRACT["action"]
YAML = """
# the contract
action: crm.update_contact
kind: external
args:
  contact: {type: string, required: yes}
hidden: {tenant_id: {}}
provider: crm
operation: contacts.update
queue: crm_actions
lease: soon
"""
TOML = """
action = "crm.close_contact"
provider = "crm"
operation = "contacts.close"
queue = "crm_actions"
[args.contact]
type = "string"
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Any], Path]:
    def write(name: str, content: Any) -> Path:
        file = tmp_path / name
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    return write


def read(write: Callable[[str, Any], Path], text: str, name: str = "f.yaml") -> Any:
    [found] = definitions([write(name, text)])
    return found.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: no", "no"),
        ("a: 12:30", "12:30"),
        ("a: 2026-11-28", "2026-11-28"),
        ("a: 010", 10),
        ("a: 0x1f", 31),
        ("a: 1_000", "1_000"),
        ("a: -1.5e3", -1500.0),
        ("a: True", True),
        ("a:", None),
        ("a: ~", None),
        ("a: '1'", "1"),
        ("a: !!str 1", "1"),
        ("b: &x {c: 1, d: 2}\na: {<<: *x, d: 3}", {"c": 1, "d": 3}),
        ("b: &x [1]\na: [*x, *x]", [[1], [1]]),
    ],
)
def test_yaml_is_read_by_its_present_rules(
    write: Callable[[str, Any], Path], text: str, value: Any
) -> None:
    found = read(write, text)["a"]
    assert (found, type(found)) == (value, type(value))


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("f.yaml", "a: 1\nb:\n  c: 1\n  c: 2\n", "f.yaml:4:3: c is there twice"),
        ("f.yaml", BOMB, "more than 200000 values, aliases included"),
        ("f.yaml", "a: &a\n  b: *a\n", "f.yaml:1:4: an alias contains itself"),
        ("f.yaml", "a: &a\n  <<: *a\n", "f.yaml:1:4: an alias contains itself"),
        ("f.yaml", "[" * 5000, "nested too deeply"),
        ("f.yaml", "[" * 250 + "]" * 250, "nested deeper than 200"),
        ("f.yaml", "a: !!python/object/apply:os.system [id]", "f.yaml:1:4: the tag "),
        ("f.yaml", "a: !!int x", "'x' is no int"),
        ("f.yaml", "a: .nan", "f.yaml:1:4: '.nan' is no float"),
        ("f.yaml", "? [a]\n: 1", "a key is a list or a mapping"),
        ("f.yaml", "a: [1\nb: 2", "f.yaml:2:2: "),
        ("f.yaml", "a: *nosuch", "f.yaml:1:4: found undefined alias"),
        ("f.yaml", "a: '\x01'", "f.yaml: "),
        ("f.yaml", "", "the file is empty"),
        ("f.json", '{"a": 1, "a": 2}', "a is there twice"),
        ("f.json", '{"a": NaN}', "NaN is no JSON"),
        ("f.json", '{"a": 1,\n}', "f.json:2:1: "),
        ("f.json", "[" * 100_000, "nested too deeply"),
        ("f.toml", "a = 1\na = 2", "f.toml: Cannot overwrite a value"),
        ("f.toml", "a = inf", "inf is no JSON"),
        ("f.json", "9" * 5000, "f.json: Exceeds the limit"),
        ("f.toml", "a = " + "9" * 5000, "f.toml: Exceeds the limit"),
        ("f.yaml", "a: " + "9" * 5000, "f.yaml:1:4: "),
        ("f.txt", "a: 1", "the name ends in none of .yaml, .yml, .json, .toml"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(
    write: Callable[[str, Any], Path], name: str, text: str, complaint: str
) -> None:
    with pytest.raises(UsageError) as refused:
        read(write, text, name)
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_large_file_is_not_read(write: Callable[[str, Any], Path]) -> None:
    with pytest.raises(UsageError, match="larger than 2048 KiB"):
        read(write, "#" * (2 * 1024 * 1024 + 1))


@pytest.mark.parametrize(
    "value",
    ["no", "0o17", "1e3", "1:30", "2026-11-28", "<<", "~", "", "=", "a: b", "[x", 1.5, None],
)
def test_what_is_written_is_read_again(write: Callable[[str, Any], Path], value: Any) -> None:
    assert read(write, write_yaml({"a": [value, value]})) == {"a": [value, value]}


def test_a_difference_is_told_by_its_place() -> None:
    old = {"a": 1, "b": {"c": [1, {"d": 2}]}, "e": 1, "f": 1, "g": [1]}
    new = {"a": 1, "b": {"c": [1, {"d": 3}]}, "f": True, "g": [1, 2], "h": None}
    found = [(each.sides, each.path, each.old, each.new) for each in differ(old, new)]
    assert found == [
        ("~", "b.c[1].d", 2, 3),
        ("-", "e", 1, None),
        ("~", "f", 1, True),
        ("~", "g", [1], [1, 2]),
        ("+", "h", None, None),
    ]


def test_a_folder_is_declared_once(
    workshop: Workshop, write: Callable[[str, Any], Path], tmp_path: Path
) -> None:
    write("a.toml", TOML)
    write("sub.json", [CONTRACT | {"lease": "2 minutes"}])
    folder = str(tmp_path)

    said = call(workshop, "test_admin", "contracts", "diff", folder, "--json")
    assert said.code == 3
    new, changed = said.json
    assert (new["name"], new["version"], new["changed"]) == ("crm.close_contact", 1, True)
    assert changed["differences"] == [{"path": "lease", "old": "30 s", "new": "2 minutes"}]
    assert len(workshop.read("select from synapsor.synapsor_action_contracts")) == 1

    told = done(workshop, "test_admin", "contracts", "apply", folder).out
    assert "action crm.close_contact version 1 is new" in told
    assert '  ~ lease: "30 s' in told
    assert done(workshop, "test_admin", "contracts", "diff", folder).out.count("already") == 2
    again = done(workshop, "test_admin", "contracts", "apply", folder, "--json").json
    assert [(each["version"], each["changed"]) for each in again] == [(1, False), (2, False)]

    listed = done(workshop, "test_auditor", "contracts", "list", "--json").json
    assert [(row["action"], row["version"]) for row in listed] == [
        ("crm.close_contact", 1),
        (ACTION, 2),
    ]
    shown = done(workshop, "test_auditor", "contracts", "show", ACTION, "--version", "1")
    assert shown.json["queue"] == CONTRACT["queue"]
    retired = done(workshop, "test_admin", "contracts", "retire", "crm.close_contact", "--yes")
    assert retired.out == "crm.close_contact version 1 is retired\n"
    assert "crm.close_contact" not in done(workshop, "test_auditor", "contracts", "list").out


def test_all_mistakes_of_all_files_are_told_with_their_lines(
    workshop: Workshop, write: Callable[[str, Any], Path], tmp_path: Path
) -> None:
    one = write("one.yaml", YAML)
    two = write("two.yaml", "- " + YAML.replace("\n", "\n  ").replace("colour", "color"))
    write("three.toml", TOML)

    said = call(workshop, "test_admin", "contracts", "apply", str(tmp_path))
    assert said.code == 1
    assert said.err.startswith("SY002: 2 definitions are refused; nothing is declared")
    assert f"{one}:6: args.contact.required" in said.err
    assert f"{one}:11: lease" in said.err
    assert f"{two}:11: lease" in said.err
    assert len(workshop.read("select from synapsor.synapsor_action_contracts")) == 1


def test_every_kind_of_definition_is_declared(
    workshop: Workshop, write: Callable[[str, Any], Path]
) -> None:
    policy = {
        "policy": "crm.closed.v1",
        "kind": "data",
        "conditions": [{"when": {"kind": "always"}, "result": "block", "reason": "closed"}],
    }
    machine = {
        "entity_type": "Contact",
        "states": {"new": "initial", "known": "terminal"},
        "transitions": [{"from": "new", "to": "known", "action": ACTION}],
    }
    provider = {"provider": "crm", "concurrency": {"max": 3}}
    workflow = {"workflow": "support.agent", "max_steps": 5}
    plan = {"Name": "Say", "Actions": [{"Name": "Say", "Handler": {"Type": "EchoHandler"}}]}
    file = write("all.json", {"definitions": [CONTRACT | {"policies": [policy["policy"]]}]})
    other = write("more.json", [plan, workflow, machine, provider, policy])
    words = ("test_admin", "contracts", "apply", str(file), str(other), "--json")
    first = done(workshop, *words).json
    assert {each["kind"]: each["changed"] for each in first} == {
        "policy": True,
        "state machine": True,
        "provider": True,
        "workflow": True,
        "plan": True,
        "action": True,
    }
    assert not any(each["changed"] for each in done(workshop, *words).json)


@pytest.mark.parametrize("character", ["\\u0000", "\\ud800"])
def test_what_the_database_cannot_hold_is_refused_with_its_file(
    workshop: Workshop, write: Callable[[str, Any], Path], character: str
) -> None:
    text = json.dumps(CONTRACT | {"description": "x"}).replace('"x"', f'"{character}"')
    file = write("f.json", text)
    said = call(workshop, "test_admin", "contracts", "apply", str(file))
    assert said.code == 1
    assert f"{file}: 22P0" in said.err


def test_without_yaml_the_other_forms_are_read(
    workshop: Workshop, write: Callable[[str, Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    file = write("f.yaml", YAML)
    said = call(workshop, "test_admin", "contracts", "apply", str(file))
    assert (said.code, said.err) == (2, "YAML needs an extra: pip install 'synapsor-pg[plans]'\n")
    done(workshop, "test_admin", "contracts", "apply", str(write("f.toml", TOML)))


def test_what_is_no_definition_is_refused(
    workshop: Workshop, write: Callable[[str, Any], Path]
) -> None:
    said = call(workshop, "test_admin", "contracts", "apply", str(write("f.yaml", "a: 1")))
    assert said.code == 2
    assert "f.yaml:1: a definition is an object with one of the keys policy" in said.err
    said = call(workshop, "test_admin", "contracts", "apply", "/nosuch.yaml", "--json")
    assert said.code == 2
    assert json.loads(said.err)["error"]["message"] == "/nosuch.yaml: No such file or directory"
