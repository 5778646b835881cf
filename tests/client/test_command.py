"""The command `synapsor-pg`, as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from client.workshop import QUEUE, Workshop, wait_until
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from pathlib import Path

HANDLERS = """
from synapsor_pg import handler, succeeded

@handler("crm", "contacts.update")
def update(delivery):
    return succeeded({"seen": delivery.arguments["contact"]})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with a module of handlers."""
    (tmp_path / "my_handlers.py").write_text(HANDLERS)
    return tmp_path


def start(workshop: Workshop, folder: Path, login: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "synapsor_pg", *words],
        cwd=folder,
        env={**os.environ, "SYNAPSOR_DSN": workshop.database(login), "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(workshop: Workshop, folder: Path, login: str, *words: str) -> str:
    with start(workshop, folder, login, *words) as process:
        said, complained = process.communicate(timeout=30)
    assert process.returncode == 0, complained
    return said


def test_the_worker_works_and_ends_on_sigterm(workshop: Workshop, folder: Path) -> None:
    [action] = workshop.propose()
    command = ["worker", "--queue", QUEUE, "--handlers", "my_handlers", "--poll", "0.2"]
    with start(workshop, folder, "test_worker", *command) as process:
        try:
            wait_until(lambda: workshop.statuses([action]) == ["succeeded"])
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=20)

    assert process.returncode == 0
    assert workshop.action(action)["response"] == {"seen": "c1"}
    lines = [line for line in log.splitlines() if action in line]
    assert [line.split(" synapsor_pg.worker ")[1].split()[0] for line in lines] == [
        "claimed",
        "succeeded",
    ]
    assert "c1" not in log, "the log shows no arguments"


def test_a_worker_without_rights_says_so_and_fails(workshop: Workshop, folder: Path) -> None:
    command = ["worker", "--queue", QUEUE, "--handlers", "my_handlers"]
    with start(workshop, folder, "test_stranger", *command) as process:
        _, complained = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "permission denied" in complained
    assert "(grant synapsor_worker to <login>)" in complained
    assert "Traceback" not in complained


def test_handlers_that_are_not_there_are_one_line(workshop: Workshop, folder: Path) -> None:
    command = ["worker", "--queue", QUEUE, "--handlers", "nosuch"]
    with start(workshop, folder, "test_worker", *command) as process:
        _, complained = process.communicate(timeout=30)

    assert process.returncode == 2
    assert complained == "cannot load --handlers nosuch: No module named 'nosuch'\n"


def test_a_database_that_is_not_there_is_one_line_a_try(workshop: Workshop, folder: Path) -> None:
    dsn = make_conninfo(workshop.database("test_worker"), dbname="nosuch")
    command = ["worker", "--queue", QUEUE, "--handlers", "my_handlers", "--dsn", dsn]
    with start(workshop, folder, "test_worker", *command) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)

    assert process.returncode == 0
    assert "handlers: crm/contacts.update" in lines[0]
    for line in lines[1:]:
        assert "cannot connect, trying again: " in line
        assert 'database "nosuch" does not exist' in line


def test_a_reviewer_decides_from_the_shell(workshop: Workshop, folder: Path) -> None:
    workshop.declare(approval={"required": True, "role": "reviewer"})
    [first], [second] = workshop.propose(), workshop.propose()

    waiting = json.loads(run(workshop, folder, "test_approver", "pending", "--json"))
    assert [each["action_id"] for each in waiting] == [first, second]
    assert first in run(workshop, folder, "test_approver", "pending")
    said = run(workshop, folder, "test_approver", "approve", first, "--note", "fine", "--yes")
    assert said == f"{first} is queued\n"
    said = run(workshop, folder, "test_approver", "approve", first)
    assert said == f"{first} is queued (nothing changed)\n"
    said = run(workshop, folder, "test_approver", "reject", second, "--note", "no", "--json")
    assert json.loads(said)["status"] == "rejected"
    assert "queued" in run(workshop, folder, "test_approver", "explain", first)
