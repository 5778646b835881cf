"""The live view: what `synapsor-pg top` shows in a terminal."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, DataTable, Footer, Input, Static

from synapsor_pg.cli.shared import UsageError, client_of, plain
from synapsor_pg.cli.snapshot import MOST_ROWS, Feed, Row, Snapshot
from synapsor_pg.cli.tables import TABLES, cells, is_alarming, key_of
from synapsor_pg.errors import SynapsorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapsor_pg.client import Client
    from synapsor_pg.models import ExternalAction

SLOWEST = 30.0
TITLES = {
    "queues": "Queues",
    "workers": "Workers",
    "providers": "Providers",
    "approvals": "Approvals waiting: a approve, r reject",
    "stuck": "Stuck: s settle",
    "failed": "Failed lately: t retry",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked to confirm."""

    verb: str
    row: Row
    needs_note: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the person said."""

    note: str | None
    choice: str


class Dialog(ModalScreen[Answer | None]):
    """Shows what a decision is about, takes a note, and a yes."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back")]

    def __init__(self, question: Question) -> None:
        """Ask that question."""
        super().__init__()
        self.question = question

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(id="dialog"):
            with VerticalScroll(id="subject"):
                yield Static(Text(_described(self.question.row)), markup=False)
            prompt = "Why? (needed)" if self.question.needs_note else "Why?"
            yield Input(placeholder=prompt, id="note", max_length=2000)
            with Horizontal(id="buttons"):
                for choice in self.question.choices or (self.question.verb,):
                    yield Button(choice.capitalize(), id=choice, variant="warning")
                yield Button("Back", id="back", variant="primary")

    def on_mount(self) -> None:
        """Name the decision; nothing is done by an accidental Enter."""
        title = f"{self.question.verb.capitalize()} {self.question.row['action_id']}"
        self.query_one("#dialog").border_title = title
        self.query_one("#note").focus()

    def on_input_submitted(self) -> None:
        """Enter leads to the buttons."""
        self.query_one("#back").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Take the answer."""
        if event.button.id == "back":
            self.dismiss(None)
            return
        note = self.query_one("#note", Input).value.strip()
        if self.question.needs_note and not note:
            self.notify("Say why.", severity="warning")
            self.query_one("#note").focus()
            return
        self.dismiss(Answer(note or None, event.button.id or ""))

    def action_leave(self) -> None:
        """Go back without a decision."""
        self.dismiss(None)


class Explanation(ModalScreen[None]):
    """A text to read."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,e", "app.pop_screen", "Back", show=True)
    ]

    def __init__(self, title: str, text: str) -> None:
        """Show that text."""
        super().__init__()
        self.told = title, text

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with VerticalScroll(id="explanation") as box:
            box.border_title = self.told[0]
            yield Static(Text(plain(self.told[1])), markup=False)


def _described(row: Row) -> str:
    """Return all that a decision is about; nothing is cut."""
    names = {
        "action": "action",
        "tenant_id": "tenant",
        "proposed_by": "proposed by",
        "required_role": "role",
        "reviewers": "approved by",
        "risk": "risk",
        "reason": "reason",
        "status": "status",
        "cause": "cause",
        "error_code": "error",
        "error_message": "message",
        "attempts": "attempts",
        "arguments": "arguments",
        "digest": "digest",
    }
    lines = []
    for key, name in names.items():
        value = row.get(key)
        if value is None or value == []:
            continue
        text = value
        if isinstance(value, (dict, list)):
            text = json.dumps(value, indent=2, ensure_ascii=False)
        lines.append(f"{name:12} {text}")
    return plain("\n".join(lines))


class Top(App[None]):
    """The live view."""

    TITLE = "synapsor-pg top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #status { height: 1; padding: 0 1; background: $panel; }
    #status.lost { background: $error; color: $text; }
    .row { height: 1fr; }
    DataTable { border: round $panel-lighten-2; height: 1fr; width: 1fr;
        scrollbar-size: 0 1; }
    DataTable:focus { border: round $accent; }
    #queues { width: 3fr; }
    #workers { width: 2fr; }
    #providers { width: 3fr; }
    #approvals { height: 2fr; }
    Dialog, Explanation { align: center middle; }
    #dialog { width: 90%; max-width: 120; height: auto; max-height: 90%;
        border: round $warning; background: $surface; padding: 0 2; }
    #subject { height: auto; max-height: 40vh; margin-bottom: 1; }
    #buttons { height: auto; margin-top: 1; }
    Button { margin-right: 2; }
    #explanation { width: 95%; height: 90%; border: round $accent; background: $surface;
        padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "decide('approve')", "Approve"),
        Binding("r", "decide('reject')", "Reject"),
        Binding("t", "decide('retry')", "Retry"),
        Binding("s", "decide('settle')", "Settle"),
        Binding("e", "explain", "Explain"),
        Binding("p", "pause", "Pause"),
        Binding("q", "quit", "Quit"),
    ]
    SUBJECTS: ClassVar[dict[str, str]] = {
        "approve": "approvals",
        "reject": "approvals",
        "retry": "failed",
        "settle": "stuck",
    }

    def __init__(self, dsn: str, *, interval: float = 1.0) -> None:
        """Watch that database."""
        super().__init__()
        self.dsn = dsn
        self.interval = interval
        self.snapshot: Snapshot | None = None
        self.rows: dict[str, dict[str, Row]] = {name: {} for name in TABLES}
        self.is_lost = False
        self._is_paused = threading.Event()
        self._ended = threading.Event()
        self._hurry = threading.Event()

    # layout

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield Static("connecting …", id="status", markup=False)
        with Horizontal(classes="row"):
            for name in ("queues", "workers", "providers"):
                yield DataTable(id=name, cursor_type="row", zebra_stripes=True)
        for name in ("approvals", "stuck", "failed"):
            yield DataTable(id=name, cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        for name, columns in TABLES.items():
            table = self.table(name)
            table.border_title = TITLES[name]
            for column in columns:
                table.add_column(column, key=column)
        self.table("approvals").focus()
        # a daemon: a look that hangs does not keep the program from ending
        threading.Thread(target=self._watch, name="top", daemon=True).start()

    def on_unmount(self) -> None:
        """Stop looking."""
        self._ended.set()
        self._hurry.set()

    def table(self, name: str) -> DataTable[Text]:
        """Return a table of the main screen."""
        return self.screen_stack[0].query_one(f"#{name}", DataTable)

    # looking

    def _watch(self) -> None:
        feed = Feed(self.dsn)
        failures = 0
        while not self._ended.is_set():
            took = 0.0
            if not self._is_paused.is_set():
                try:
                    snapshot = feed.look()
                    took, failures = snapshot.took, 0
                    self._tell(self.show, snapshot)
                except (psycopg.Error, UsageError) as error:
                    failures += 1
                    self._tell(self.show_lost, str(error).strip().splitlines()[0])
            # a look that is dear is taken seldom; so is one that fails
            pause = max(self.interval, 5 * took) * min(2.0**failures, 8.0)
            self._hurry.wait(min(pause, SLOWEST))
            self._hurry.clear()
        feed.close()

    def _tell(self, what: Callable[..., None], *told: Any) -> None:
        if self._ended.is_set():
            return
        try:
            self.call_from_thread(what, *told)
        except RuntimeError:  # the application has just ended
            self._ended.set()

    def show(self, snapshot: Snapshot) -> None:
        """Show what there is."""
        self.snapshot, self.is_lost = snapshot, False
        for name in TABLES:
            self._fill(name, snapshot.parts.get(name, []))
        for name in snapshot.missing:
            self.table(name).border_title = f"{TITLES[name]}: not in this version"
        said = f"{snapshot.at} database time, {snapshot.took * 1000:.0f} ms"
        self._say(said + (", paused" if self._is_paused.is_set() else ""))

    def show_lost(self, reason: str) -> None:
        """Say that what is shown is of the past."""
        self.is_lost = True
        past = f"; this is from {self.snapshot.at}" if self.snapshot else ""
        self._say(plain(f"no answer, trying again: {reason}{past}"))

    def _say(self, text: str) -> None:
        status = self.screen_stack[0].query_one("#status", Static)
        status.update(Text(text))
        status.set_class(self.is_lost, "lost")

    def _fill(self, name: str, rows: list[Row]) -> None:
        """Bring a table to what there is; the cursor stays on its row."""
        table, known = self.table(name), self.rows[name]
        more = len(rows) > MOST_ROWS
        wanted = {key_of(name, row): row for row in rows[:MOST_ROWS]}
        count = f"{MOST_ROWS}+" if more else str(len(wanted))
        table.border_subtitle = count
        if list(wanted) == list(known):
            for key, row in wanted.items():
                for column, cell in zip(TABLES[name], self._cells(name, row), strict=True):
                    if table.get_cell(key, column) != cell:
                        table.update_cell(key, column, cell, update_width=True)
        else:
            chosen = self._chosen(name)
            table.clear()
            for key, row in wanted.items():
                table.add_row(*self._cells(name, row), key=key)
            if chosen in wanted:
                table.move_cursor(row=list(wanted).index(chosen), animate=False)
        self.rows[name] = wanted

    def _cells(self, name: str, row: Row) -> list[Text]:
        style = "bold red" if is_alarming(name, row) else ""
        return [Text(cell, style=style, no_wrap=True) for cell in cells(name, row)]

    def _chosen(self, name: str) -> str | None:
        keys = list(self.rows[name])
        at = self.table(name).cursor_row
        return keys[at] if 0 <= at < len(keys) else None

    # deciding

    def action_decide(self, verb: str) -> None:
        """Ask, and do it."""
        name = self.SUBJECTS[verb]
        chosen = self._chosen(name)
        if chosen is None:
            self.notify(f"Nothing to {verb}.", severity="warning")
            return
        row = self.rows[name][chosen]
        if verb == "settle" and row["status"] != "unknown":
            self.notify("Only an unknown outcome is settled.", severity="warning")
            return
        choices = ("succeeded", "failed", "queued") if verb == "settle" else ()
        question = Question(verb, row, needs_note=verb == "reject", choices=choices)

        def answered(answer: Answer | None) -> None:
            if answer is not None:
                self.run_worker(lambda: self._decide(question, answer), thread=True)

        self.push_screen(Dialog(question), answered)

    def _decide(self, question: Question, answer: Answer) -> None:
        """Do what was confirmed, on a connection of its own."""
        row = question.row
        verbs: dict[str, Callable[[Client], ExternalAction]] = {
            "approve": lambda client: client.approve_external_action(
                row["action_id"], note=answer.note, expected_digest=row["digest"]
            ),
            "reject": lambda client: client.reject_external_action(row["action_id"], answer.note),
            "retry": lambda client: client.retry_external_action(row["action_id"], answer.note),
            "settle": lambda client: client.settle_external_action(
                row["action_id"], answer.choice, note=answer.note
            ),
        }
        try:
            with client_of(self.dsn, tells=False) as client:
                action = verbs[question.verb](client)
            changed = "" if action.changed else " already"
            self._notify(f"{action.action_id} is {action.status}{changed}")
        except (SynapsorError, psycopg.Error, UsageError) as error:
            self._notify(str(error).strip(), severity="error")
        self._hurry.set()

    def _notify(self, text: str, *, severity: Any = "information") -> None:
        self.call_from_thread(self.notify, plain(text), severity=severity, timeout=10, markup=False)

    def action_explain(self) -> None:
        """Explain the chosen action."""
        focused = self.focused
        name = (focused.id or "") if isinstance(focused, DataTable) else ""
        chosen = self._chosen(name) if name in TABLES else None
        row = self.rows[name][chosen] if chosen is not None else {}
        action_id = row.get("action_id")
        if action_id is None:
            self.notify("Choose an action.", severity="warning")
            return

        def explain() -> None:
            try:
                with client_of(self.dsn, tells=False) as client:
                    text = client.explain_action(action_id)
            except (SynapsorError, psycopg.Error, UsageError) as error:
                self._notify(str(error).strip(), severity="error")
                return
            self.call_from_thread(self.push_screen, Explanation(action_id, text))

        self.run_worker(explain, thread=True)

    def action_pause(self) -> None:
        """Hold what is shown, or go on."""
        if self._is_paused.is_set():
            self._is_paused.clear()
            self._hurry.set()
        else:
            self._is_paused.set()
            self._say("paused: p goes on")
