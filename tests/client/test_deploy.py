"""The files for production say what the program understands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.cluster import REPOSITORY
from synapsor_pg import WorkerConfig
from synapsor_pg.metrics import DatabaseMetrics, WorkerMetrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from client.workshop import Workshop

DEPLOY = REPOSITORY / "python_client/deploy"
PORT = 9464


@pytest.fixture
def config() -> WorkerConfig:
    """Give the example as the worker reads it."""
    return WorkerConfig.load(DEPLOY / "worker.toml", {"SYNAPSOR_DSN": "host=db"})


def unit() -> dict[str, list[str]]:
    """Return the unit's settings."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "synapsor-worker@.service").read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def seconds(value: str) -> float:
    return float(value.removesuffix("s"))


def test_the_example_is_a_configuration(config: WorkerConfig) -> None:
    assert config.dsn == "host=db"
    assert config.metrics_address == ("127.0.0.1", PORT), "on loopback"
    assert config.log_format == "json"


def test_what_is_commented_out_is_understood_too(tmp_path: Path) -> None:
    text = (DEPLOY / "worker.toml").read_text()
    shown = re.sub(r"^# (?=\[\[|\w+ = )", "", text, flags=re.MULTILINE)
    assert shown != text
    (tmp_path / "worker.toml").write_text(shown)
    variables = {"SYNAPSOR_DSN": "host=pooler", "SYNAPSOR_LISTEN_DSN": "host=db"}
    config = WorkerConfig.load(tmp_path / "worker.toml", variables)
    assert [queue.name for queue in config.queues] == ["default", "billing"]
    assert config.listen_dsn == "host=db"


def test_the_unit_leaves_time_to_drain_and_starts_again(config: WorkerConfig) -> None:
    settings = unit()
    [start] = settings["ExecStart"]
    assert start.split()[1:] == ["worker", "--config", "/etc/synapsor/worker-%i.toml"]
    assert seconds(settings["TimeoutStopSec"][0]) >= config.drain + 10
    assert settings["Restart"] == ["always"]
    assert settings["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert int(settings["TasksMax"][0]) > 2 * config.concurrency


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        assert {"Type", "ExecStart", "NoNewPrivileges"} <= set(unit())
        return
    text = (DEPLOY / "synapsor-worker@.service").read_text()
    path = tmp_path / "synapsor-worker@1.service"
    path.write_text(text.replace("/opt/synapsor/bin/synapsor-pg", "/bin/true"))
    checked = subprocess.run(
        [program, "verify", str(path)], capture_output=True, text=True, check=False
    )
    said = [line for line in checked.stderr.splitlines() if path.name in line]
    assert not said
    offline = ["security", "--offline=true", "--json=short", str(path)]
    judged = subprocess.run([program, *offline], capture_output=True, text=True, check=True)
    exposure = sum(float(each["exposure"] or 0) for each in json.loads(judged.stdout))
    assert exposure < 2.5, "systemd-analyze security calls more than that not OK"


def test_the_container_installs_what_exists_and_is_not_root(config: WorkerConfig) -> None:
    text = (DEPLOY / "Containerfile").read_text()
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    [named] = re.findall(r"/source\[([\w,]+)\]", text)
    assert set(named.split(",")) <= set(project["optional-dependencies"])
    assert re.search(r"^USER (?!0|root)", text, re.MULTILINE)
    assert config.metrics_address is not None
    assert f"127.0.0.1:{config.metrics_address[1]}/healthz" in text
    assert 'ENTRYPOINT ["/opt/synapsor/bin/synapsor-pg"]' in text
    assert 'CMD ["worker", "--config", "/etc/synapsor/worker.toml"]' in text


def test_prometheus_looks_where_the_worker_tells_and_asks_for_what_it_tells(
    workshop: Workshop,
) -> None:
    with workshop.superuser() as connection:
        connection.execute(
            "select synapsor.declare_provider(%s)",
            (json.dumps({"provider": "crm"}),),
        )
    workshop.propose()

    @contextmanager
    def connect() -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(workshop.database("test_worker")) as connection:
            yield connection

    registry = CollectorRegistry()
    WorkerMetrics(registry)
    registry.register(DatabaseMetrics(connect))
    page = generate_latest(registry).decode()
    told = {family.name for family in text_string_to_metric_families(page)}
    told |= {f"{name}_total" for name in told}
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(r"synapsor_\w+", rule["expr"])}
    assert len(asked) == len(rules)
    assert asked <= told
    for rule in rules:
        for metric, chosen in re.findall(r"(\w+)\{([^}]*)\}", rule["expr"]):
            assert re.search(rf"^{metric}\{{[^}}]*{re.escape(chosen)}", page, re.MULTILINE), rule

    scrape = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    assert scrape["scrape_configs"][0]["static_configs"][0]["targets"] == [f"127.0.0.1:{PORT}"]
    assert (DEPLOY / scrape["rule_files"][0]).is_file()
