"""What reviewers and operators do from a shell, and what they are told."""

from __future__ import annotations

import base64
import hmac
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from client.shell import call, done
from client.workshop import QUEUE, Workshop, proposed
from synapsor_pg import Client
from synapsor_pg.cli import app, look
from synapsor_pg.cli.shared import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

APPROVAL = {"required": True, "role": "reviewer"}


def claim_and_confirm(workshop: Workshop, status: str, **options: Any) -> None:
    with workshop.client("test_worker") as client:
        for claim in client.claim_external_actions(QUEUE, max_actions=10):
            client.confirm_external_action(
                claim.action_id, status, claim_token=claim.claim_token, **options
            )


def test_a_reviewer_sees_all_that_is_approved_and_is_asked(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.declare(approval=APPROVAL)
    [action] = workshop.propose()
    digest = workshop.action(action)["digest"]

    nobody = call(workshop, "test_approver", "approve", action)
    assert (nobody.code, nobody.out) == (2, "")
    assert "nobody is there to ask; pass --yes" in nobody.err

    monkeypatch.setattr("synapsor_pg.cli.shared.is_terminal", lambda: True)
    said_no = call(workshop, "test_approver", "approve", action, answer="n\n")
    assert said_no.code == 1
    assert workshop.statuses([action]) == ["proposed"]
    for part in (digest, '"contact": "c1"', "carl", "reviewer", "Approve it? [y/N]"):
        assert part in said_no.err

    said_yes = call(workshop, "test_approver", "approve", action, answer="y\n")
    assert said_yes.code == 0
    assert said_yes.out.endswith(f"{action} is queued\n")
    [approval] = workshop.read("select digest, reviewer from synapsor.synapsor_approvals")
    assert approval == {"digest": digest, "reviewer": "anna"}


def test_what_is_approved_is_what_was_shown(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.declare(approval=APPROVAL)
    [action] = workshop.propose()

    def tamper(*_: Any, **__: Any) -> None:  # while the reviewer thinks
        with workshop.superuser() as connection:
            connection.execute(
                "update synapsor.action_invocations"
                " set intent = replace(intent, 'c1', 'c9'),"
                " digest = sha256(convert_to(replace(intent, 'c1', 'c9'), 'UTF8'))"
            )

    monkeypatch.setattr("synapsor_pg.cli.decide.confirm", tamper)
    said = call(workshop, "test_approver", "approve", action)
    assert said.code == 1
    assert said.err.splitlines()[-3].startswith("SY024: ")
    assert workshop.statuses([action]) == ["proposed"]


def test_an_expected_digest_is_a_yes_to_exactly_that(workshop: Workshop) -> None:
    workshop.declare(approval=APPROVAL)
    [action] = workshop.propose()
    wrong = call(workshop, "test_approver", "approve", action, "--digest", "0" * 64, "--json")
    assert wrong.code == 1
    error = json.loads(wrong.err.splitlines()[-1])["error"]
    assert (error["code"], error["hint"]) == (
        "SY024",
        "Look at the action again and decide on the digest shown.",
    )
    right = workshop.action(action)["digest"]
    said = done(workshop, "test_approver", "approve", action, "--digest", right, "--json")
    assert said.json["status"] == "queued"


def test_an_approval_that_is_not_enough_says_so(workshop: Workshop) -> None:
    workshop.declare(approval=APPROVAL | {"approvals": 2})
    [action] = workshop.propose()
    said = done(workshop, "test_approver", "approve", action, "--yes")
    assert said.out == f"{action} is proposed (1 of 2 approvals)\n"
    assert "1/2" in done(workshop, "test_approver", "pending").out


def test_an_action_is_rejected_cancelled_retried_and_settled(workshop: Workshop) -> None:
    workshop.declare(approval=APPROVAL)
    [action] = workshop.propose()
    said = done(workshop, "test_approver", "cancel", action, "--reason", "too late")
    assert said.out == f"{action} is cancelled\n"
    again = call(workshop, "test_approver", "reject", action, "--note", "no")
    assert again.code == 1
    assert again.err.startswith(f"SY021: action {action} does not await approval\nDETAIL: ")
    assert "\nHINT: See what became of it: " in again.err

    workshop.declare()
    [action] = workshop.propose()
    claim_and_confirm(workshop, "failed", retryable=False)
    said = done(workshop, "test_approver", "retry", action, "--note", "again")
    assert said.out == f"{action} is queued\n"
    claim_and_confirm(workshop, "unknown")
    listed = done(workshop, "test_approver", "stuck", "--json").json
    assert [(each["action_id"], each["status"]) for each in listed] == [(action, "unknown")]
    assert "the outcome is unknown" in done(workshop, "test_approver", "stuck").out
    bad = call(workshop, "test_approver", "settle", action, "succeeded", "--evidence", "[1]")
    assert (bad.code, bad.err) == (2, "--evidence is no JSON object\n")
    words = ("settle", action, "succeeded", "--evidence", '{"seen": 1}', "--note", "asked")
    assert done(workshop, "test_approver", *words).out == f"{action} is succeeded\n"
    assert workshop.action(action)["response"] == {"seen": 1}


def test_pictures_of_what_goes_on(workshop: Workshop) -> None:
    workshop.propose(3)
    with workshop.client("test_worker") as client:
        client.worker_heartbeat("w1", [QUEUE, "other"])
        client.claim_external_actions(QUEUE, worker_label="w1")
    [row] = done(workshop, "test_auditor", "queues", "--json").json
    assert (row["queue"], row["queued"], row["claimed"], row["workers"]) == (QUEUE, 2, 1, 1)
    assert done(workshop, "test_auditor", "queues", "--queue", "nosuch", "--json").json == []
    [row] = done(workshop, "test_auditor", "workers", "--json").json
    assert (row["worker_label"], row["held"], row["queues"]) == ("w1", 1, [QUEUE, "other"])
    for command in ("queues", "workers"):
        assert QUEUE in done(workshop, "test_auditor", command).out
    assert done(workshop, "test_auditor", "pending").err == "nothing waits for a reviewer\n"


def test_events_are_told_once_each(workshop: Workshop) -> None:
    first, second = workshop.propose(2)
    claim_and_confirm(workshop, "succeeded", provider_request_id="req_1")
    lines = done(workshop, "test_auditor", "events", first, "--json").out.splitlines()
    told = [json.loads(line) for line in lines]
    assert [each["event_type"] for each in told] == workshop.events(first)
    only = done(workshop, "test_auditor", "events", "--type", "Succeeded").out.splitlines()
    assert sorted(line.split()[2] for line in only) == sorted([first, second])
    assert all("provider_request_id=req_1" in line for line in only)
    assert done(workshop, "test_auditor", "events", "--queue", "nosuch").out == ""
    assert len(done(workshop, "test_auditor", "events", "--limit", "2").out.splitlines()) == 2
    bad = call(workshop, "test_auditor", "events", "--since", "lunch", "--json")
    assert (bad.code, json.loads(bad.err)["error"]["code"]) == (1, "22007")


def test_events_are_followed_over_a_lost_connection(workshop: Workshop) -> None:
    command = [sys.executable, "-m", "synapsor_pg", "events", "--follow", "--json"]
    [before] = workshop.propose()
    process = subprocess.Popen(
        [*command, "--interval", "0.1", "--dsn", workshop.database("test_auditor")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = []

    def read_until(action: str) -> None:
        assert process.stdout is not None
        while not told or told[-1]["action_id"] != action:
            told.append(json.loads(process.stdout.readline()))

    with process:
        read_until(before)
        with workshop.superuser() as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where usename = 'test_auditor'"
            )
        for _ in range(3):
            [after] = workshop.propose()
            read_until(after)
        process.terminate()
        _, complaint = process.communicate(timeout=20)
    ids = [each["event_id"] for each in told]
    assert len(set(ids)) == len(ids)
    assert "connection lost, trying again" in complaint
    assert "Traceback" not in complaint


def test_events_of_old_actions_are_followed_too(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only some looks go through all of history; the first shows no more than it is asked for."""
    old, other = workshop.propose(2)
    now = time.time()
    monkeypatch.setattr(look, "WHOLE", 1.0)
    monkeypatch.setattr(look, "LATELY", -3600.0)  # every action is old
    asked: dict[str, Any] = {"action": None, "queue": None, "types": None}
    stream = look._stream(  # noqa: SLF001
        workshop.database("test_auditor"),
        {**asked, "since": "1 hour", "is_all": False, "limit": 1},
        follow=True,
        interval=0.1,
    )
    first = next(stream)
    assert first["action_id"] in {old, other}
    with workshop.client("test_caller") as client:
        client.cancel_external_action(old, "too late")
    following = next(stream)
    assert (following["action_id"], following["event_type"]) == (old, "Cancelled")
    assert time.time() - now > 1.0, "which a whole look has found"
    stream.close()


def test_a_stop_is_made_seen_and_lifted(workshop: Workshop) -> None:
    words = ("suspend", "queue", QUEUE, "--reason", "storm")
    assert done(workshop, "test_approver", *words).out == f"queue {QUEUE} is suspended: storm\n"
    [stop] = done(workshop, "test_approver", "suspensions", "--json").json
    assert (stop["kind"], stop["name"], stop["reason"]) == ("queue", QUEUE, "storm")
    said = call(workshop, "test_approver", "resume", "queue", QUEUE)
    assert said.code == 1
    assert "permission denied" in said.err
    assert "(grant synapsor_admin to <login>)" in said.err
    said = done(workshop, "superuser", "resume", "queue", QUEUE)
    assert said.out == f"queue {QUEUE} is resumed; it was: storm\n"
    said = done(workshop, "superuser", "resume", "queue", QUEUE)
    assert said.out == ""
    assert said.err.startswith(f"NOTICE: queue {QUEUE} was not suspended\n")
    assert call(workshop, "superuser", "suspend", "queue", "--reason", "x").code == 2
    assert call(workshop, "superuser", "resume", "nonsense", "x").code == 2
    said = done(workshop, "superuser", "suspend", "all", "--reason", "x", "--json")
    assert said.json["kind"] == "all"


def test_what_waits_is_read_from_what_is_open(workshop: Workshop) -> None:
    """Else the list takes as long as there is history."""
    rows = workshop.read("explain select * from synapsor.synapsor_pending_approvals")
    lines = [row["QUERY PLAN"].strip() for row in rows]
    [scan] = [at for at, line in enumerate(lines) if "on action_invocations invocation" in line]
    assert lines[scan + 1] == "Index Cond: (action_id = open.action_id)"


def test_a_token_is_the_session_of_every_command(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.declare(approval=APPROVAL)
    [action] = workshop.propose()
    secret = "a secret of at least thirty-two bytes"
    with workshop.superuser() as connection:
        client = Client(connection)
        client.bind_role("test_approver", None)
        client.add_session_key("k1", secret, scope={"roles": ["reviewer"]})
    assert done(workshop, "test_approver", "pending", "--json").json == []

    claims = {"sub": "grace", "tenant_id": "acme", "roles": ["reviewer"]}
    monkeypatch.setenv("SYNAPSOR_TOKEN", signed(claims, secret))
    for words in (["pending", "--json"], ["top", "--json"], ["queues", "--json"]):
        assert done(workshop, "test_approver", *words).json
    assert action in done(workshop, "test_approver", "events").out
    assert done(workshop, "test_approver", "approve", action, "--yes").code == 0
    [approval] = workshop.read("select reviewer from synapsor.synapsor_approvals")
    assert approval == {"reviewer": "grace"}

    forged = signed(claims, secret[::-1])
    monkeypatch.setenv("SYNAPSOR_TOKEN", forged)
    for words in (["pending"], ["events"], ["top"]):
        said = call(workshop, "test_approver", *words)
        assert (said.code, said.err[:5]) == (1, "SY006")
        assert forged not in said.err


def signed(claims: dict[str, Any], secret: str) -> str:
    """A token as an application signs it."""

    def part(value: Any) -> str:
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    header = part({"alg": "HS256", "typ": "JWT", "kid": "k1"})
    body = header + "." + part({"exp": int(time.time()) + 600, **claims})
    return f"{body}.{part(hmac.digest(secret.encode(), body.encode(), 'sha256'))}"


def test_a_tenant_is_weighed(workshop: Workshop) -> None:
    said = done(workshop, "superuser", "weigh", "acme", "5")
    assert said.out == "tenant acme has weight 5\n"
    assert done(workshop, "superuser", "weigh", "acme", "7", "--json").json["weight"] == 7
    assert call(workshop, "superuser", "weigh", "acme", "0").code == 2


def test_the_restored_are_quarantined_and_the_old_are_purged(workshop: Workshop) -> None:
    workshop.propose(5)
    claim_and_confirm(workshop, "succeeded")
    [open_one] = workshop.propose()
    for words in (("--older-than", "0 seconds", "--before", "2026-01-01"), ()):
        assert call(workshop, "superuser", "purge", *words, "--yes").code == 2
    assert call(workshop, "superuser", "purge", "--older-than", "0 seconds").code == 2
    words = ("purge", "--yes", "--json", "--batch", "2", "--pause", "0")
    said = done(workshop, "superuser", *words, "--older-than", "0 seconds", "--at-most", "3")
    assert said.json["purged"] == 3
    assert done(workshop, "superuser", *words, "--before", "2020-01-01").json["purged"] == 0
    assert done(workshop, "superuser", *words, "--older-than", "0 seconds").json["purged"] == 2

    said = done(workshop, "superuser", "quarantine", "--reason", "restored", "--yes", "--json")
    assert said.json == {"quarantined": 1}
    assert workshop.statuses([open_one]) == ["unknown"]


def test_a_run_is_drawn(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shutil.which("dot"), "graphviz is needed: apt install graphviz"
    with workshop.client("test_caller") as client:
        run = client.start_agent_run().run_id
        action = proposed(client, run_id=run, step_key="update").action_id
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    said = done(workshop, "test_caller", "explain", run, "--open")
    assert opened == [said.out.strip()]
    assert said.out.strip().endswith(f"{run}.svg")
    drawn = Path(said.out.strip()).read_text()
    assert "<svg" in drawn
    assert "crm.update_contact" in drawn
    picture = tmp_path / "run.png"
    done(workshop, "test_caller", "explain", run, "--out", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    said = call(workshop, "test_caller", "explain", action, "--open")
    assert (said.code, said.err) == (2, "only a run can be drawn; name its run_… id\n")


def test_an_explanation_is_text_or_json(workshop: Workshop, tmp_path: Path) -> None:
    [action] = workshop.propose()
    assert "queued" in done(workshop, "test_caller", "explain", action).out
    assert done(workshop, "test_caller", "explain", action, "--json").json
    target = tmp_path / "told.txt"
    done(workshop, "test_caller", "explain", action, "--out", str(target))
    assert action in target.read_text()
    said = call(workshop, "test_caller", "explain", "act_nosuch", "--json")
    assert (said.code, json.loads(said.err)["error"]["code"]) == (1, "SY011")


def test_what_cannot_be_written_or_sent_is_one_line(workshop: Workshop) -> None:
    [action] = workshop.propose()
    for words, complaint in (
        (["explain", action, "--out", "/nosuch/file"], "/nosuch/file: No such file or directory\n"),
        (
            ["plan", "sample", "Echo", "--out", "/nosuch/f"],
            "/nosuch/f: No such file or directory\n",
        ),
        (["cancel", action, "--reason", "\udcff"], "an argument is not UTF-8\n"),
    ):
        said = call(workshop, "test_caller", *words)
        assert (said.code, said.err) == (2, complaint)


def test_whoever_stops_reading_ends_it(workshop: Workshop) -> None:
    workshop.propose(3)
    ended = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m synapsor_pg events | true"],
        env={**os.environ, "SYNAPSOR_DSN": workshop.database("test_auditor")},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert ended.stderr == ""


def test_what_others_wrote_cannot_steer_the_terminal(workshop: Workshop) -> None:
    workshop.declare(approval=APPROVAL)
    nasty = "\x1b[2J[red]\u202egnp.exe\x9b31m\U000e0041\u2066"
    with workshop.client("test_caller") as client:
        action = proposed(client, nasty, idempotency_key="k")
    shown = done(workshop, "test_approver", "pending").out
    assert "[red]" in shown
    assert done(workshop, "test_approver", "pending", "--json").json[0]["arguments"] == {
        "contact": nasty
    }
    approved = call(workshop, "test_approver", "approve", action.action_id, "--yes")
    for text in (shown, approved.err, done(workshop, "test_approver", "pending", "--json").out):
        assert plain(text) == text
    assert "\\u202egnp" in approved.err


@pytest.mark.parametrize(
    ("dsn", "code"),
    [
        ("host=/nosuch user=u password=geheim", 1),
        ("postgresql://u:geheim@/%zz", 2),
        ("host=/nosuch password = geheim geheim2", 2),
    ],
)
@pytest.mark.parametrize("words", [("queues",), ("queues", "--json"), ("events",)])
def test_a_password_is_in_no_message(
    workshop: Workshop, dsn: str, code: int, words: tuple[str, ...]
) -> None:
    said = call(workshop, "test_auditor", *words, "--dsn", dsn)
    assert said.code == code
    assert said.err
    assert "geheim" not in said.err + said.out
    assert "Traceback" not in said.err


def test_it_tells_its_version_and_every_command_prints_json(workshop: Workshop) -> None:
    assert done(workshop, "test_caller", "--version").out.startswith("synapsor-pg 0.")
    commands = typer.main.get_command(app)
    without = [
        " ".join(words)
        for words, command in leaves(commands, [])
        if not any("--json" in parameter.opts for parameter in command.params)
    ]
    assert without in ([], ["worker"])  # whose log is its output


def leaves(command: Any, words: list[str]) -> Iterator[tuple[list[str], Any]]:
    """Every command below one."""
    if not hasattr(command, "commands"):
        yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from leaves(below, [*words, name])


def test_a_database_without_the_extension_says_so(workshop: Workshop) -> None:
    dsn = workshop.database.cluster.dsn("postgres")
    said = call(workshop, "test_auditor", "queues", "--dsn", dsn)
    assert said.code == 1
    assert said.err.startswith('42P01: relation "synapsor.synapsor_queue_stats" does not exist')
    assert "`synapsor-pg install --create-extension` creates it" in said.err
