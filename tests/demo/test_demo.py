"""The demo runs, ends well and says what it promises; what goes wrong ends it badly."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from support.cluster import bindir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cluster import Cluster

HERE = Path(__file__).resolve().parent
LOGINS = "admin, app, reviewer, worker_1, worker_2, auditor, shop"
PATIENCE = 60  # what the issue grants the demo


def run_demo(dsn: str | None, programs: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it, with the programs of a folder in place of the usual ones."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    surroundings["PATH"] = f"{programs or bindir()}:{surroundings['PATH']}"
    surroundings.pop("SYNAPSOR_DEMO_DSN", None)
    if dsn is not None:
        surroundings["SYNAPSOR_DEMO_DSN"] = dsn
    return subprocess.run(
        [sys.executable, str(HERE / "demo.py")],
        env=surroundings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def psql(dsn: str, text: str) -> str:
    """What `make psql` shows for these lines."""
    finished = subprocess.run(
        [bindir() / "psql", dsn],
        input=text,
        env=os.environ | {"PSQLRC": str(HERE / "psqlrc")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
        check=True,
    )
    return finished.stdout


@pytest.fixture(scope="module")
def told(cluster: Cluster) -> Iterator[str]:
    """What one run of the demo prints; its database stays until the module's tests are over."""
    demo = run_demo(cluster.dsn())
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stderr == ""
    yield demo.stdout
    with psycopg.connect(cluster.dsn(), autocommit=True) as connection:
        connection.execute("drop database synapsor_demo with (force)")
        connection.execute(f"drop role {LOGINS}".encode())


@pytest.mark.parametrize(
    "line",
    [
        r"^1\. .* declares ",
        r"^2\. .* in one transaction$",
        r'"tenant_id": "other"',
        r"ERROR:  SY004: ",
        r"DETAIL:  \S",
        r"HINT:  \S",
        r"^ +0 +0$",
        r"act_\S+  proposed",
        r"^3\. .* psql$",
        r"NOTICE:  ",
        r"^4\. ",
        r"\$ synapsor-pg worker ",
        r"^5\. .* killed",
        r"SIGKILL",
        r"acme:refund:ch_\w+:4800 +200 +no ",
        r"acme:refund:ch_\w+:4800 +200 +yes ",
        r"Refunds of ch_\w+ at Stripe: 1$",
        r"^6\. ",
        r"run_\w{26}",
        r"^7\. Act two",
        r"security definer set search_path",
        r"^8\. ",
        r"policy +blocked_by_policy +SY009 +blocked by policy .*: above 1000 cents$",
        r"contract +validation_failed +SY003 +1 argument ",
        r"handler +validation_failed +SY003 +only 800 cents were paid$",
        r"machine +failed +SY010 +Invoice may not go from open to refunded",
        r"error +failed +23505 +duplicate key ",
        r"^ +5 +0 +0 +0$",
        r"^9\. ",
        r"policy +billing\.refund_limit\.v1: pass",
        r"moved +Invoice INV-1004 from paid to refunded",
        r"event +InvoiceRefunded of Invoice INV-1004, number 1",
        r"provider +re_\w+$",
        r"^10\. Act three",
        r"synapsor-pg plan apply tests/demo/complaint\.yaml",
        r"plan complaint version 1 is new",
        r"Voucher · action:billing\.grant_voucher · runs",
        r"approval  by role billing_reviewer",
        r"^11\. ",
        r"reviewer=> :approve\('act_\w+', 'two weeks late'\);",
        r"^12\. ",
        r"complaint 1 · Failed · compensated after",
        r"Refund · billing\.issue_refund v1 · Failed after",
        r"approved  by rita after",
        r"Thank-you note · not run",
        r"because   it asks for Complete, but the action above is Failed",
        r"Voucher\[compensation\] · billing\.withdraw_voucher v1 · Complete",
        r"^ +failed +0$",
        r"saga\.svg$",
        r"^13\. Act four",
        r"synapsor-pg worker --config ",
        r"webhook +OPEN +100 +4 +0 +\d\.\d$",
        r"is done at Stripe in \d+ ms\.$",
        r"waiting for webhook, whose breaker is open; a probe may go in",
        r"synapsor-pg top",
        r"│ webhook default  OPEN ",
        r"webhook +HALF_OPEN ",
        r"webhook +CLOSED ",
        r"Alerts delivered: 6 of 6, each taken by the receiver 1 time\.$",
        r"^All as told, in \d+ s",
        r"make psql",
        r"README",
    ],
)
def test_the_demo_tells(told: str, line: str) -> None:
    assert re.search(line, told, re.MULTILINE), told


def test_it_is_readable_in_a_pipe(told: str) -> None:
    lines = told.splitlines()
    assert "\x1b" not in told
    assert [line for line in lines if len(line) > 110] == []
    assert len(lines) <= 420, "about two screens an act"


def test_it_leaves_no_provider_behind(told: str) -> None:
    (address,) = re.findall(r"http://127\.0\.0\.1:\d+", told)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=1)


def test_the_third_refund_can_be_approved_in_one_line(told: str, cluster: Cluster) -> None:
    assert "make psql" in told
    shown = psql(
        cluster.dsn("synapsor_demo"),
        ":pending\n"
        "select action_id from synapsor_pending_approvals \\gset\n"
        "select status from approve_external_action(:'action_id', 'mine');\n"
        ":actions\n:attempts\n:story\n:runs\n:stuck\n",
    )
    assert "12000" in shown
    assert "queued" in shown
    assert "ERROR" not in shown


@pytest.mark.usefixtures("told")
def test_a_step_that_is_not_as_told_ends_it(cluster: Cluster, tmp_path: Path) -> None:
    psql = tmp_path / "psql"
    psql.write_text("#!/bin/sh\ncat; exit 3\n")
    psql.chmod(0o755)
    demo = run_demo(cluster.dsn(), tmp_path)
    assert demo.returncode == 1
    assert demo.stderr == "\nNOT AS TOLD, in step 3: psql ends well\n"
    assert "\n4." not in demo.stdout


def test_without_a_database_it_fails(cluster: Cluster) -> None:
    demo = run_demo(cluster.dsn(user="nobody_at_all"))
    assert demo.returncode == 1
    assert "NOT AS TOLD, before the first step" in demo.stderr


def test_without_a_connection_string_it_says_what_sets_it() -> None:
    demo = run_demo(None)
    assert demo.returncode == 2
    assert "make demo" in demo.stderr
