"""The live view, driven by its keys against the real database."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from client.shell import call, done
from client.workshop import CONTRACT, QUEUE, Workshop, proposed
from rich.text import Text
from synapsor_pg import Client
from synapsor_pg.cli import snapshot as snapshots
from synapsor_pg.cli.screen import Dialog, Explanation, Top
from synapsor_pg.cli.snapshot import Feed, floor
from synapsor_pg.cli.tables import ago
from textual.widgets import Input, Static

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from textual.pilot import Pilot


@contextlib.asynccontextmanager
async def watching(
    workshop: Workshop, login: str = "test_approver", size: tuple[int, int] = (160, 50)
) -> AsyncIterator[Screen]:
    app = Top(workshop.database(login), interval=0.1)
    async with app.run_test(size=size) as pilot:
        screen = Screen(app, pilot)
        await screen.until(lambda: app.snapshot)
        yield screen


class Screen:
    """The view under test, and what a person sees of it."""

    def __init__(self, app: Top, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    async def until(self, condition: Callable[[], Any], *, within: float = 10.0) -> None:
        end = time.monotonic() + within
        while not condition():
            assert time.monotonic() < end, (self.status(), self.told())
            await self.pilot.pause(0.05)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def dialog(self, *keys: str) -> str:
        """Press keys that open a dialog; return all it shows."""
        await self.press(*keys)
        await self.until(lambda: isinstance(self.app.screen, Dialog))
        [subject] = self.app.screen.query("#subject Static")
        return str(subject.render())

    def cells(self, table: str) -> list[list[str]]:
        widget = self.app.table(table)
        return [
            [cell.plain for cell in widget.get_row_at(position) if isinstance(cell, Text)]
            for position in range(widget.row_count)
        ]

    def status(self) -> str:
        return str(self.app.screen_stack[0].query_one("#status", Static).render())

    def told(self) -> list[str]:
        return [note.message for note in self.app._notifications]  # noqa: SLF001


def test_everything_is_seen_and_stays_fresh(workshop: Workshop) -> None:
    async def watch() -> None:
        async with watching(workshop) as screen:
            assert screen.cells("queues") == []
            workshop.propose(2)
            with workshop.client("test_worker") as client:
                client.worker_heartbeat("w1", [QUEUE])
                [claim] = client.claim_external_actions(QUEUE, worker_label="w1")
                client.confirm_external_action(
                    claim.action_id, "unknown", claim_token=claim.claim_token
                )
            await screen.until(lambda: screen.cells("queues") and screen.cells("workers"))
            [queue] = screen.cells("queues")
            assert (queue[0], queue[1], queue[3:]) == (QUEUE, "1", ["1", "0", "1", "0", "1"])
            assert screen.cells("workers")[0][:3] == ["wanda w1", QUEUE, "0"]
            await screen.until(lambda: screen.cells("stuck"))
            [stuck] = screen.cells("stuck")
            assert (stuck[0], stuck[1]) == (claim.action_id, "unknown")
            workshop.propose()
            await screen.until(lambda: screen.cells("queues")[0][1] == "2")

    asyncio.run(watch())


def test_providers_are_seen_with_what_holds_them_up(workshop: Workshop) -> None:
    with workshop.superuser() as connection:
        Client(connection).declare_provider(
            {
                "provider": "crm",
                "account": "default",
                "rate_limit": {"per_second": 1, "burst": 1},
                "breaker": {"minimum_calls": 1, "window": 10},
            }
        )
    workshop.propose(2)

    async def watch() -> None:
        async with watching(workshop) as screen:
            await screen.until(lambda: screen.cells("providers"))
            assert screen.cells("providers")[0][:3] == ["crm default", "CLOSED", ""]
            with workshop.client("test_worker") as client:
                [claim] = client.claim_external_actions(QUEUE)
            with workshop.client("test_worker") as client:
                client.confirm_external_action(
                    claim.action_id, "failed", claim_token=claim.claim_token
                )
            await screen.until(lambda: screen.cells("providers")[0][1] == "OPEN")
            assert screen.cells("providers")[0][2], "until when"
            cell = screen.app.table("providers").get_row_at(0)[1]
            assert cell.style == "bold red"

    asyncio.run(watch())
    [row] = done(workshop, "test_auditor", "providers", "--json").json
    assert (row["provider"], row["breaker_state"]) == ("crm", "OPEN")
    assert "OPEN" in done(workshop, "test_auditor", "providers").out


def test_a_reviewer_approves_what_the_dialog_shows(workshop: Workshop) -> None:
    workshop.declare(approval={"required": True, "role": "reviewer"})

    async def watch() -> None:
        async with watching(workshop) as screen:
            [first, second] = workshop.propose(2)
            await screen.until(lambda: len(screen.cells("approvals")) == 2)
            rows = [row[0] for row in screen.cells("approvals")]
            assert sorted(rows) == sorted([first, second])
            await screen.press("down")
            chosen = rows[1]
            row = workshop.action(chosen)
            text = await screen.dialog("a")
            for part in (f'"contact": "{row["arguments"]["contact"]}"', row["digest"], "carl"):
                assert part in text

            await screen.press("escape")
            assert workshop.statuses([first, second]) == ["proposed", "proposed"]
            await screen.dialog("a")
            screen.app.screen.query_one("#note", Input).value = "checked"
            await screen.press("enter")  # leads to Back: nothing happens by accident
            assert workshop.statuses([first, second]) == ["proposed", "proposed"]
            await screen.pilot.click("#approve")
            await screen.until(lambda: workshop.statuses([chosen]) == ["queued"])
            await screen.until(lambda: [row[0] for row in screen.cells("approvals")] == [rows[0]])
            assert f"{chosen} is queued" in screen.told()

    asyncio.run(watch())
    [approval] = workshop.read("select note, reviewer from synapsor.synapsor_approvals")
    assert approval == {"note": "checked", "reviewer": "anna"}


def test_a_small_terminal_shows_the_end_of_a_long_intent_too(workshop: Workshop) -> None:
    workshop.declare(
        approval={"required": True}, args={"contact": {"type": "array"}}, idempotency=None
    )
    with workshop.client("test_caller") as client:
        action = client.propose_external_action(
            CONTRACT["action"], {"contact": [f"line {number}" for number in range(60)]}
        )

    async def watch() -> None:
        async with watching(workshop, size=(80, 24)) as screen:
            await screen.until(lambda: screen.cells("approvals"))
            assert "line 59" in await screen.dialog("a")
            subject = screen.app.screen.query_one("#subject")
            assert subject.max_scroll_y > 40
            await screen.pilot.click("#approve")
            await screen.until(lambda: workshop.statuses([action.action_id]) == ["queued"])

    asyncio.run(watch())


def test_what_changed_behind_the_dialog_is_not_approved(workshop: Workshop) -> None:
    workshop.declare(approval={"required": True, "role": "reviewer"})
    [action] = workshop.propose()

    async def watch() -> None:
        async with watching(workshop) as screen:
            await screen.until(lambda: screen.cells("approvals"))
            await screen.dialog("a")
            with workshop.superuser() as connection:
                connection.execute(
                    "update synapsor.action_invocations"
                    " set intent = replace(intent, 'c1', 'c9'),"
                    " digest = sha256(convert_to(replace(intent, 'c1', 'c9'), 'UTF8'))"
                )
            await screen.pilot.click("#approve")
            await screen.until(screen.told)
            assert screen.told()[0].startswith("SY024: ")

    asyncio.run(watch())
    assert workshop.statuses([action]) == ["proposed"]


def test_rejecting_takes_a_note_and_retrying_a_yes(workshop: Workshop) -> None:
    [failed] = workshop.propose()
    with workshop.client("test_worker") as client:
        [claim] = client.claim_external_actions(QUEUE)
        client.confirm_external_action(
            failed, "failed", error_code="nope", retryable=False, claim_token=claim.claim_token
        )
    workshop.declare(approval={"required": True})
    [waiting] = workshop.propose()

    async def watch() -> None:
        async with watching(workshop) as screen:
            await screen.until(lambda: screen.cells("approvals") and screen.cells("failed"))
            await screen.dialog("r")
            await screen.pilot.click("#reject")
            await screen.until(screen.told)
            assert screen.told() == ["Say why."]
            screen.app.screen.query_one("#note", Input).value = "no"
            button = screen.app.screen.query_one("#reject")
            await screen.until(lambda: not button.has_class("-active"))  # it is being pressed
            await screen.pilot.click("#reject")
            await screen.until(lambda: workshop.statuses([waiting]) == ["rejected"])

            assert screen.cells("failed")[0][0] == failed
            assert "nope" in await screen.dialog("t")
            await screen.pilot.click("#back")
            assert workshop.statuses([failed]) == ["failed"]
            await screen.dialog("t")
            await screen.pilot.click("#retry")
            await screen.until(lambda: workshop.statuses([failed]) == ["queued"])

    asyncio.run(watch())


def test_an_unknown_outcome_is_settled_and_explained(workshop: Workshop) -> None:
    [action] = workshop.propose()
    with workshop.client("test_worker") as client:
        [claim] = client.claim_external_actions(QUEUE)
        client.confirm_external_action(action, "unknown", claim_token=claim.claim_token)

    async def watch() -> None:
        async with watching(workshop) as screen:
            await screen.until(lambda: screen.cells("stuck"))
            screen.app.table("stuck").focus()
            await screen.press("e")
            await screen.until(lambda: isinstance(screen.app.screen, Explanation))
            assert "unknown" in str(screen.app.screen.query_one(Static).render())
            await screen.press("escape")
            await screen.dialog("s")
            await screen.pilot.click("#succeeded")
            await screen.until(lambda: workshop.statuses([action]) == ["succeeded"])
            await screen.until(lambda: screen.cells("stuck") == [])
            await screen.press("s")
            assert screen.told()[-1] == "Nothing to settle."

    asyncio.run(watch())


def test_a_lost_connection_is_survived(workshop: Workshop) -> None:
    async def watch() -> None:
        async with watching(workshop) as screen:
            workshop.propose()
            await screen.until(lambda: screen.cells("queues"))
            with workshop.superuser() as connection:
                connection.execute("alter role test_approver nologin")
                connection.commit()
                try:
                    connection.execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity"
                        " where usename = 'test_approver'"
                    )
                    connection.commit()
                    await screen.until(lambda: screen.app.is_lost)
                    assert "no answer, trying again: " in screen.status()
                    assert "this is from " in screen.status()
                    assert screen.cells("queues"), "what was seen stays"
                finally:
                    connection.execute("alter role test_approver login")
            await screen.until(lambda: not screen.app.is_lost)
            assert "database time" in screen.status()

    asyncio.run(watch())


def test_it_can_be_paused(workshop: Workshop) -> None:
    async def watch() -> None:
        async with watching(workshop) as screen:
            await screen.press("p")
            await screen.until(lambda: "paused" in screen.status())
            await screen.pilot.pause(0.3)
            workshop.propose()
            await screen.pilot.pause(0.5)
            assert screen.cells("queues") == []
            await screen.press("p")
            await screen.until(lambda: screen.cells("queues"))

    asyncio.run(watch())


def test_rows_are_bounded_and_the_cursor_stays(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "MOST_ROWS", 3)
    monkeypatch.setattr("synapsor_pg.cli.screen.MOST_ROWS", 3)
    workshop.declare(approval={"required": True})

    async def watch() -> None:
        async with watching(workshop) as screen:
            table = screen.app.table("approvals")
            first = [workshop.propose()[0] for _ in range(3)]
            await screen.until(lambda: len(screen.cells("approvals")) == 3)
            assert table.border_subtitle == "3"
            await screen.press("down", "down")
            workshop.propose(5)
            await screen.until(lambda: table.border_subtitle == "3+")
            assert [row[0] for row in screen.cells("approvals")] == first
            with workshop.client("test_approver") as client:
                client.reject_external_action(first[0], "no")
            await screen.until(lambda: screen.cells("approvals")[0][0] == first[1])
            assert table.cursor_row == 1, "it follows its row"

    asyncio.run(watch())


def test_what_others_wrote_is_only_shown(workshop: Workshop) -> None:
    workshop.declare(approval={"required": True})
    nasty = "\x1b[2J[bold red]x[/]\u202e"
    with workshop.client("test_caller") as client:
        proposed(client, nasty, idempotency_key="k")

    async def watch() -> None:
        async with watching(workshop) as screen:
            await screen.until(lambda: screen.cells("approvals"))
            shown = screen.cells("approvals")[0][2] + await screen.dialog("a")
            assert shown.count("[bold red]x[/]\\u202e") == 2
            assert shown.count("\\u001b[2J") == 2

    asyncio.run(watch())


def test_a_stranger_is_told_why_there_is_nothing(workshop: Workshop) -> None:
    async def watch() -> None:
        app = Top(workshop.database("test_stranger"), interval=0.1)
        async with app.run_test() as pilot:
            screen = Screen(app, pilot)
            await screen.until(lambda: "permission denied" in screen.status())

    asyncio.run(watch())


def test_what_an_older_extension_lacks_is_left_out(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = ("synapsor_to_come", "select * from synapsor.synapsor_to_come limit %(most)s")
    monkeypatch.setitem(snapshots.PARTS, "providers", part)

    async def watch() -> None:
        async with watching(workshop) as screen:
            assert "not in this version" in str(screen.app.table("providers").border_title)
            workshop.propose()
            await screen.until(lambda: screen.cells("queues"))

    asyncio.run(watch())
    assert "providers" not in done(workshop, "test_auditor", "top", "--json").json


def test_one_look_is_one_statement(workshop: Workshop) -> None:
    with contextlib.closing(Feed(workshop.database("test_auditor"))) as feed:
        feed.look()
        sent: list[Any] = []
        connection = feed._connection  # noqa: SLF001
        assert connection is not None
        execute = psycopg.Cursor.execute

        def counting(self: Any, query: Any, *rest: Any, **options: Any) -> Any:
            sent.append(query)
            return execute(self, query, *rest, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(psycopg.Cursor, "execute", counting)
            found = feed.look()
        assert len(sent) == 1
        assert connection.autocommit
        assert set(found.parts) >= {"queues", "workers", "approvals", "stuck", "failed"}


def test_an_extension_that_changes_meanwhile_is_looked_at_anew(workshop: Workshop) -> None:
    view = "synapsor.synapsor_provider_health"
    with contextlib.closing(Feed(workshop.database("test_auditor"))) as feed:
        assert "providers" in feed.look().parts
        with workshop.superuser() as connection:
            connection.execute(f"alter extension synapsor drop view {view}")
            connection.execute(f"drop view {view}")
        with pytest.raises(psycopg.errors.UndefinedTable):
            feed.look()
        assert feed.look().missing == ("providers",)


def test_the_failed_are_looked_for_as_far_back_as_it_is_cheap(workshop: Workshop) -> None:
    with workshop.superuser() as connection:
        row = connection.execute(
            "select synapsor._new_id('act_'), extract(epoch from clock_timestamp())::float8"
        ).fetchone()
    assert row is not None
    new, now = row
    assert floor(now - 1) < new < floor(now + 1)
    with contextlib.closing(Feed(workshop.database("test_auditor"))) as feed:
        feed.look()
        before = feed.window
        for _ in range(3):
            feed.look()
        assert feed.window > before
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(snapshots, "CHEAP", 0)
            patch.setattr(snapshots, "DEAR", 0)
            before = feed.window
            feed.look()
        assert feed.window < before


def test_without_a_terminal_it_prints_once(workshop: Workshop) -> None:
    workshop.propose()
    assert QUEUE in done(workshop, "test_auditor", "top").out
    said = done(workshop, "test_auditor", "top", "--json").json
    assert [queue["queue"] for queue in said["queues"]] == [QUEUE]
    assert said["failed"] == []
    stranger = call(workshop, "test_stranger", "top")
    assert (stranger.code, "permission denied" in stranger.err) == (1, True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.4, "0s"), (61, "1m01s"), (3700, "1h01m"), (90000, "1d01h"), (-5, "-5s")],
)
def test_a_span_is_brief(seconds: float | None, text: str) -> None:
    assert ago(seconds) == text
