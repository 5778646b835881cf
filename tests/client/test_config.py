"""The worker's configuration file: what it may say, and all its mistakes at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from client.workshop import QUEUE, Workshop, wait_until
from hypothesis import HealthCheck, given, settings, strategies
from synapsor_pg import ConfigError, WorkerConfig, config

if TYPE_CHECKING:
    from collections.abc import Mapping


def load(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> WorkerConfig:
    file = folder / "worker.toml"
    file.write_text(text)
    return WorkerConfig.load(file, environment or {})


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(folder, text)
    return refused.value.mistakes


def test_the_documented_example_is_accepted(tmp_path: Path) -> None:
    text = re.sub(r"^    ", "", (config.__doc__ or "").partition("\n\n")[2], flags=re.MULTILINE)
    example = text[text.index("dsn =") :].replace('listen_dsn = "…"', 'listen_dsn = "port=5433"')
    found = load(tmp_path, example, {"SYNAPSOR_DSN": "dbname=shop password=secret"})
    assert found.dsn == "dbname=shop password=secret"
    assert found.queues == (config.Queue("billing", 3.0, "handler"),)
    assert (found.concurrency, found.batch, found.lease, found.reconcile) == (20, 50, 60.0, 5.0)
    assert found.timeouts == {"stripe/refunds.create": 20.0}
    assert (found.housekeeping, found.metrics_address) == (15.0, ("127.0.0.1", 9464))
    assert "secret" not in repr(found)


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    assert load(tmp_path, '[[queues]]\nname = "q"') == WorkerConfig(queues=(config.Queue("q"),))
    assert load(tmp_path, '[[queues]]\nname = "q"\nbegin = "claim"').queues[0].begin == "claim"
    off = 'reconcile = false\n[[queues]]\nname = "q"\n[housekeeping]\nenabled = false'
    found = load(tmp_path, off)
    assert (found.reconcile, found.housekeeping) == (None, None)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = """
        dsn = "dbname=shop password=hunter2"
        listen_dsn = { env = "NOT_SET" }
        concurrency = 0
        batch = true
        lease = nan
        handlers = "mine"
        colour = "red"
        [[queues]]
        name = "billing"
        weight = -1
        [[queues]]
        name = "billing"
        wait = 3
        begin = "never"
        [timeouts]
        refunds = 3
        "stripe/refunds.create" = "long"
        [log]
        level = "loud"
        [metrics]
        address = "9464"
        port = 1
        [housekeeping]
        every = 0
    """
    found = mistakes(tmp_path, text)
    assert [each.partition(":")[0] for each in sorted(found)] == sorted(
        [
            "dsn",
            "listen_dsn",
            "concurrency",
            "batch",
            "lease",
            "handlers",
            "colour",
            "queues[0].weight",
            "queues[1].name",
            "queues[1].begin",
            "queues[1].wait",
            "timeouts.refunds",
            "timeouts.stripe/refunds.create",
            "log.level",
            "metrics.address",
            "metrics.port",
            "housekeeping.every",
        ]
    )
    assert "hunter2" not in "\n".join(found)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("queues = 3", "at least one [[queues]]"),
        ("queues = []", "at least one [[queues]]"),
        ("= 3", "line 1"),
        ('dsn = "no connection string; password=hunter2"\n[[queues]]\nname="q"', "no connection"),
        ('dsn = { vault = "x" }\n[[queues]]\nname = "q"', "{ env = … }"),
        ('dsn = { file = "missing" }\n[[queues]]\nname = "q"', "cannot be read"),
    ],
)
def test_refused(tmp_path: Path, text: str, reason: str) -> None:
    (mistake,) = mistakes(tmp_path, text)
    assert reason in mistake
    assert "hunter2" not in mistake


def test_a_file_beside_it_may_hold_the_secret(tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("dbname=shop password=hunter2\n")
    found = load(tmp_path, 'dsn = { file = "dsn" }\n[[queues]]\nname = "q"')
    assert found.dsn == "dbname=shop password=hunter2"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        WorkerConfig.load(tmp_path / "nowhere.toml")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    strategies.dictionaries(
        strategies.sampled_from(
            ["dsn", "queues", "lease", "poll", "reconcile", "timeouts", "log", "metrics", "drain"]
        ),
        strategies.recursive(
            strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats(),
            lambda inner: (
                strategies.lists(inner, max_size=3)
                | strategies.dictionaries(strategies.text(max_size=5), inner, max_size=3)
            ),
            max_leaves=5,
        ),
    )
)
def test_anything_is_accepted_or_refused(document: dict[str, object]) -> None:
    reader = config._Reader(document, Path(), {})  # noqa: SLF001
    settings = reader.settings()
    assert reader.mistakes or WorkerConfig(**settings)


HANDLERS = """
from synapsor_pg import handler, succeeded

@handler("crm", "contacts.update")
def update(delivery):
    return succeeded()
"""


def test_a_daemon_reads_its_file_and_reads_it_again(workshop: Workshop, tmp_path: Path) -> None:
    file = tmp_path / "worker.toml"
    (tmp_path / "crm_handlers.py").write_text(HANDLERS)

    def write(queue: str) -> None:
        file.write_text(
            'dsn = { env = "THE_DSN" }\nhandlers = ["crm_handlers"]\nlabel = "from-file"\n'
            f'poll = 0.1\n[[queues]]\nname = "{queue}"\n[housekeeping]\nevery = 1\n'
        )

    def served() -> list[str]:
        rows = workshop.read("select queues from synapsor.synapsor_workers")
        return [name for row in rows for name in row["queues"]]

    write("another")
    (action,) = workshop.propose()
    program = Path(sys.executable).with_name("synapsor-pg")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [program, "worker", "--config", file],
            env=os.environ | {"THE_DSN": workshop.database("test_worker")},
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: served() == ["another"], within=20)
        assert workshop.statuses([action]) == ["queued"]

        file.write_text("queues = 3")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "not reloaded" in (tmp_path / "log").read_text())
        assert process.poll() is None

        write(QUEUE)
        process.send_signal(signal.SIGHUP)
        assert workshop.wait_for([action]) == ["succeeded"]

        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def test_the_command_tells_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "worker.toml"
    file.write_text("batch = 0")
    program = Path(sys.executable).with_name("synapsor-pg")
    began = time.monotonic()
    ended = subprocess.run(
        [program, "worker", "--config", file], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "batch: must be a whole number from 1 to 1000" in ended.stderr
    assert "[[queues]]" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - began < 20
