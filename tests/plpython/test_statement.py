"""Statements: every clause of the documents, and every text that is none, with its place."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synapsor_plpython import definition, statement, workflow

STARTS = "CREATE, APPROVE, REJECT, CANCEL, RETRY, SETTLE, EXPLAIN, SHOW, DESCRIBE or DROP"
TYPES = (
    "VARCHAR, TEXT, INT64, INTEGER, BIGINT, NUMERIC, DOUBLE, BOOLEAN, JSON, TIMESTAMP, DATE or UUID"
)

# reference/external-actions.md, 2.2
REFUND = """CREATE EXTERNAL ACTION billing.issue_refund
    VERSION '1' DESCRIPTION 'Refund one charge'
    ARG charge_id VARCHAR(64) REQUIRED
    ARG amount_cents INT64 REQUIRED MIN 1 MAX 500000
    HIDDEN tenant_id FROM SESSION tenant_id
    HIDDEN principal FROM SESSION principal
    HIDDEN customer FROM SESSION current_customer_id
    PROVIDER stripe OPERATION 'refunds.create'
    QUEUE billing_external_actions
    IDEMPOTENCY KEY '{tenant_id}:refund:{charge_id}:{amount_cents}' IDEMPOTENT FOR '24 hours'
    APPROVAL REQUIRED ROLE 'billing_reviewer' QUORUM 2 EXPIRES AFTER '24 hours'
        UNLESS '$.args.amount_cents <= 2500'
    POLICIES ( billing.refund_limit.v1 )
    RETRY MAX ATTEMPTS 3 INITIAL '100 ms' MAX '1 s'
    REDACT ( customer );
"""
REFUND_DEFINITION = {
    "action": "billing.issue_refund",
    "kind": "external",
    "label": "1",
    "description": "Refund one charge",
    "args": {
        "charge_id": {"type": "string", "max_length": 64, "required": True},
        "amount_cents": {"type": "integer", "required": True, "minimum": 1, "maximum": 500000},
    },
    "hidden": {
        "tenant_id": {"from": "tenant_id"},
        "principal": {"from": "principal"},
        "customer": {"from": "current_customer_id"},
    },
    "provider": "stripe",
    "operation": "refunds.create",
    "queue": "billing_external_actions",
    "idempotency": {
        "key": "{tenant_id}:refund:{charge_id}:{amount_cents}",
        "idempotent": True,
        "window": "24 hours",
    },
    "approval": {
        "required": True,
        "role": "billing_reviewer",
        "approvals": 2,
        "expires_after": "24 hours",
        "unless": "$.args.amount_cents <= 2500",
    },
    "policies": ["billing.refund_limit.v1"],
    "retry": {"max_attempts": 3, "initial": "100 ms", "max": "1 s"},
    "redact": ["customer"],
}
# The same section, 2.1, and the second dialect of 2.5.
WORKFLOWS: list[tuple[str, dict[str, Any]]] = [
    (
        """CREATE AGENT WORKFLOW voice.customer_call_flow -- a whole contract
        SESSION REQUIRE tenant_id, principal, call_id, customer_id
        ALLOWED CAPABILITIES (
          voice.answer_account_question, -- lists take lines
          voice.summarize_call
        )
        ALLOWED EXTERNAL ACTIONS (
          crm.update_contact,
          resend.send_followup_email
        )
        CHECKPOINT EVERY STEP
        ON RISK medium REQUIRE APPROVAL ROLE 'support_lead'
        RETENTION RUNS 730 DAYS;""",
        {
            "workflow": "voice.customer_call_flow",
            "session_requirements": ["tenant_id", "principal", "call_id", "customer_id"],
            "allowed_capabilities": ["voice.answer_account_question", "voice.summarize_call"],
            "allowed_actions": ["crm.update_contact", "resend.send_followup_email"],
            "checkpoint_every_step": True,
            "risk_policy": {"medium": {"approval_role": "support_lead"}},
            "retention": {"runs_days": 730},
        },
    ),
    (
        """create agent workflow chat.thread_turn_flow
        retention runs 90 days, evidence 80 days evidence required version '2026-05-27'
        auto branch on proposal description 'It''s a turn' entry capability chat.prepare
        max steps 1 max tool calls 2 max input tokens 3 max output tokens 4
        on risk high require approval role director on risk low require approval role 'lead'""",
        {
            "workflow": "chat.thread_turn_flow",
            "retention": {"runs_days": 90, "evidence_days": 80},
            "evidence_required": True,
            "label": "2026-05-27",
            "auto_branch_on_proposal": True,
            "description": "It's a turn",
            "entry_capability": "chat.prepare",
            "max_steps": 1,
            "max_tool_calls": 2,
            "max_input_tokens": 3,
            "max_output_tokens": 4,
            "risk_policy": {
                "high": {"approval_role": "director"},
                "low": {"approval_role": "lead"},
            },
        },
    ),
    (
        """CREATE AGENT WORKFLOW dev.pr_review_flow
        USING CONTEXT dev.repository
        ALLOW CAPABILITY dev.analyze_issue
        ALLOW CAPABILITY dev.propose_code_change
        ALLOW EXTERNAL ACTION github.open_pull_request
        REQUIRE EVIDENCE
        APPROVAL REQUIRED ROLE maintainer
        CHECKPOINT PROPOSAL ONLY
        END;""",
        {
            "workflow": "dev.pr_review_flow",
            "allowed_capabilities": ["dev.analyze_issue", "dev.propose_code_change"],
            "allowed_actions": ["github.open_pull_request"],
            "evidence_required": True,
            "risk_policy": {"any": {"approval_role": "maintainer"}},
            "checkpoint_every_step": False,
        },
    ),
    (
        "CREATE AGENT WORKFLOW w ALLOWED EXTERNAL ACTIONS () CHECKPOINT NONE",
        {"workflow": "w", "allowed_actions": [], "checkpoint_every_step": False},
    ),
]


def refusal(text: str) -> dict[str, str]:
    """Return the error of a text that is no statement."""
    error: dict[str, str] = json.loads(statement.parse_json(text))["error"]
    return error


def test_every_clause_of_an_external_action_is_understood() -> None:
    asked = statement.parse(REFUND)
    assert asked == {
        "verb": "declare_action",
        "arguments": {"definition": REFUND_DEFINITION},
        "notices": [],
    }
    assert definition.check_action(asked["arguments"]["definition"])[1] == []


@given(st.randoms(use_true_random=False))
def test_clauses_come_in_any_order(random: Any) -> None:
    head, *clauses = REFUND.strip().rstrip(";").split("\n    ")
    clauses = ["\n".join(clauses).replace("\n    UNLESS", " UNLESS")][0].split("\n")
    random.shuffle(clauses)
    text = "\n".join([head, *clauses])
    found = statement.parse(text)["arguments"]["definition"]
    assert found == REFUND_DEFINITION


def test_the_clauses_beyond_the_documents_are_keys_of_the_contract() -> None:
    asked = statement.parse(
        """CREATE EXTERNAL ACTION a.b ARG n NUMERIC MIN -1.5 MAX 2e3 ARG "as of" DATE
        ARG kind TEXT PATTERN '^[a-z]+$' ENUM ('x', 'it''s') ARG at TIMESTAMP ARG who UUID
        ARG ok BOOLEAN ARG more JSON ARG i INTEGER ARG j BIGINT ARG d DOUBLE PRECISION
        HIDDEN tenant_id HIDDEN trace FROM SESSION 'trace id' OPTIONAL
        ACCOUNT 'eu' LEASE '60 s' PRIORITY -5 ORDERING KEY '{kind}' DELIVER WITHIN '2 hours'
        RECONCILE OPERATION 'find' AFTER '30 s' MAX ATTEMPTS 5 REQUIRE RUN REQUIRE CLAIM TOKEN
        ROLES (clerk, 'head clerk') APPROVAL REQUIRED SEPARATE DUTIES
        RETRY MULTIPLIER 1.5 JITTER none
        LIMIT SUM n MAX 10 PER DAY BY (kind) ON EXCEED approve LIMIT COUNT MAX 3 PER HOUR"""
    )["arguments"]["definition"]
    assert asked == {
        "action": "a.b",
        "kind": "external",
        "args": {
            "n": {"type": "number", "minimum": Decimal("-1.5"), "maximum": Decimal("2e3")},
            "as of": {"type": "string", "format": "date"},
            "kind": {"type": "string", "pattern": "^[a-z]+$", "enum": ["x", "it's"]},
            "at": {"type": "string", "format": "date-time"},
            "who": {"type": "string", "format": "uuid"},
            "ok": {"type": "boolean"},
            "more": {"type": "object"},
            "i": {"type": "integer"},
            "j": {"type": "integer"},
            "d": {"type": "number"},
        },
        "hidden": {
            "tenant_id": {"from": "tenant_id"},
            "trace": {"from": "trace id", "required": False},
        },
        "account": "eu",
        "lease": "60 s",
        "priority": -5,
        "ordering_key": "{kind}",
        "deliver_within": "2 hours",
        "reconcile": {"operation": "find", "after": "30 s", "max_attempts": 5},
        "require_run": True,
        "require_claim_token": True,
        "required_roles": ["clerk", "head clerk"],
        "approval": {"required": True, "separate_duties": True},
        "retry": {"multiplier": Decimal("1.5"), "jitter": "none"},
        "limits": [
            {"sum": "n", "max": 10, "per": "day", "by": ["kind"], "on_exceed": "approve"},
            {"max": 3, "per": "hour"},
        ],
    }
    del asked["args"]["as of"]
    del asked["args"]["kind"]["enum"]
    assert definition.check_action(asked)[1] == []


@pytest.mark.parametrize(("text", "expected"), WORKFLOWS)
def test_workflows_are_understood_in_both_dialects(text: str, expected: dict[str, Any]) -> None:
    asked = statement.parse(text)
    assert (asked["verb"], asked["arguments"]["definition"]) == ("declare_workflow", expected)
    assert workflow.check_workflow(expected)[1] == []
    assert bool(asked["notices"]) == ("USING CONTEXT" in text)


@pytest.mark.parametrize(
    ("text", "verb", "arguments"),
    [
        (
            "APPROVE EXTERNAL ACTION 'act_1' NOTE 'fine' DIGEST 'abc'",
            "approve_external_action",
            {"action_id": "act_1", "note": "fine", "expected_digest": "abc"},
        ),
        (
            "reject external action 'act_1';",
            "reject_external_action",
            {"action_id": "act_1", "note": None},
        ),
        (
            "CANCEL EXTERNAL ACTION 'act_1' NOTE 'no'",
            "cancel_external_action",
            {"action_id": "act_1", "reason": "no"},
        ),
        (
            "RETRY EXTERNAL ACTION 'act_1' NOTE 'again'",
            "retry_external_action",
            {"action_id": "act_1", "note": "again"},
        ),
        (
            "SETTLE EXTERNAL ACTION 'act_1' AS SUCCEEDED NOTE 'seen'",
            "settle_external_action",
            {"action_id": "act_1", "status": "succeeded", "note": "seen"},
        ),
        (
            "settle external action 'act_1' as queued",
            "settle_external_action",
            {"action_id": "act_1", "status": "queued", "note": None},
        ),
        (
            "EXPLAIN AGENT RUN 'run_1'",
            "explain_agent_run",
            {"run_id": "run_1", "format": "text"},
        ),
        (
            "EXPLAIN AGENT RUN 'run_1' FORMAT MERMAID",
            "explain_agent_run",
            {"run_id": "run_1", "format": "mermaid"},
        ),
        (
            "EXPLAIN EXTERNAL ACTION 'act_1' FORMAT 'json'",
            "explain_action",
            {"action_id": "act_1", "format": "json"},
        ),
        ("SHOW EXTERNAL ACTIONS", "show", {"what": "external"}),
        ("SHOW CONTRACTS", "show", {"what": "contracts"}),
        ("show workflows;", "show", {"what": "workflows"}),
        ("SHOW RUNS", "show", {"what": "runs"}),
        ("SHOW PENDING /* /* nested */ */ APPROVALS -- end", "show", {"what": "pending"}),
        ("SHOW QUEUES", "show", {"what": "queues"}),
        (
            "DESCRIBE EXTERNAL ACTION billing.issue_refund VERSION 2",
            "describe_action",
            {"name": "billing.issue_refund", "version": "2"},
        ),
        ("DESCRIBE WORKFLOW flow", "describe_workflow", {"name": "flow", "version": None}),
        (
            "DROP EXTERNAL ACTION billing.issue_refund",
            "retire_action",
            {"name": "billing.issue_refund", "version": None},
        ),
    ],
)
def test_the_other_statements_are_understood(
    text: str, verb: str, arguments: dict[str, Any]
) -> None:
    asked = {"verb": verb, "arguments": arguments, "notices": []}
    assert statement.parse(text) == asked
    assert json.loads(statement.parse_json(text)) == asked


@pytest.mark.parametrize(
    ("text", "message", "place", "found", "expected"),
    [
        ("", "the statement ends too early", (1, 1), "the end of the text", STARTS),
        ("  \n\t", "the statement ends too early", (2, 2), "the end of the text", STARTS),
        (";", 'the statement is not understood at ";"', (1, 1), '";"', STARTS),
        ("-- nothing", "the statement ends too early", (1, 11), "the end of the text", STARTS),
        ("GRANT all", "the statement is not understood at GRANT", (1, 1), "GRANT", STARTS),
        ("'SHOW'", "the statement is not understood at a string", (1, 1), "a string", STARTS),
        ('"SHOW" RUNS', "the statement is not understood at SHOW", (1, 1), "SHOW", STARTS),
        (
            "SHOW TABLES",
            "the statement is not understood at TABLES",
            (1, 6),
            "TABLES",
            "EXTERNAL, WORKFLOWS, RUNS, PENDING, QUEUES or CONTRACTS",
        ),
        (
            "SHOW RUNS; SHOW QUEUES",
            "there is more than one statement",
            (1, 12),
            "SHOW",
            "the end of the statement",
        ),
        (
            "SHOW RUNS;;",
            "there is more than one statement",
            (1, 11),
            '";"',
            "the end of the statement",
        ),
        (
            "SHOW RUNS please",
            "the statement is not understood at please",
            (1, 11),
            "please",
            '";" or the end of the statement',
        ),
        (
            "APPROVE EXTERNAL ACTION\n  act_1",
            "the statement is not understood at act_1",
            (2, 3),
            "act_1",
            "a string in quotes",
        ),
        (
            "APPROVE EXTERNAL ACTION 'act_1' NOTE",
            "the statement ends too early",
            (1, 37),
            "the end of the text",
            "a string in quotes",
        ),
        (
            "APPROVE EXTERNAL ACTION 'act_1' NOTE 'it''s",
            "a string does not end",
            (1, 38),
            "a string without an end",
            "a string in quotes",
        ),
        (
            "APPROVE EXTERNAL ACTION 'act_1' NOTE 'a' NOTE 'b'",
            "the clause NOTE is given twice",
            (1, 42),
            "NOTE",
            'DIGEST, ";" or the end of the statement',
        ),
        (
            "SHOW /* /* */ RUNS",
            "a comment does not end",
            (1, 6),
            "a comment without an end",
            "EXTERNAL, WORKFLOWS, RUNS, PENDING, QUEUES or CONTRACTS",
        ),
        (
            'DESCRIBE WORKFLOW "flow',
            "a name in quotes does not end",
            (1, 19),
            "a name in quotes without an end",
            "a name or a string in quotes",
        ),
        (
            "SETTLE EXTERNAL ACTION 'a' AS UNKNOWN",
            "the statement is not understood at UNKNOWN",
            (1, 31),
            "UNKNOWN",
            "SUCCEEDED, FAILED or QUEUED",
        ),
        (
            "CREATE EXTERNAL ACTION a.b ARG x INT65",
            "the statement is not understood at INT65",
            (1, 34),
            "INT65",
            TYPES,
        ),
        (
            "CREATE EXTERNAL ACTION a.b ARG x VARCHAR(64 REQUIRED",
            "the statement is not understood at REQUIRED",
            (1, 45),
            "REQUIRED",
            '")"',
        ),
        (
            f"CREATE EXTERNAL ACTION a.b PRIORITY {'1' * 101}",
            "the statement is not understood at a number of too many digits",
            (1, 37),
            "a number of too many digits",
            "an integer",
        ),
        (
            "CREATE EXTERNAL ACTION a.b ARG x TEXT\r\nARG y TEXT ARG x TEXT",
            "x is given twice",
            (2, 16),
            "x",
            "another name",
        ),
        (
            "CREATE AGENT WORKFLOW w ALLOWED CAPABILITIES (a, )",
            'the statement is not understood at ")"',
            (1, 50),
            '")"',
            "a name or a string in quotes",
        ),
        (
            "CREATE AGENT WORKFLOW w" + " ON RISK low REQUIRE APPROVAL ROLE a" * 2,
            "low is given twice",
            (1, 69),
            "low",
            "another name",
        ),
        (
            "ÄPPROVE 😀",
            "the statement is not understood at ÄPPROVE",
            (1, 1),
            "ÄPPROVE",
            STARTS,
        ),
        (
            "DROP EXTERNAL ACTION '😀' 😀",
            'the statement is not understood at "😀"',
            (1, 26),
            '"😀"',
            'VERSION, ";" or the end of the statement',
        ),
    ],
)
def test_what_is_no_statement_is_told_with_its_place(
    text: str, message: str, place: tuple[int, int], found: str, expected: str
) -> None:
    error = refusal(text)
    detail, _line, caret = error["detail"].split("\n")
    assert error["message"] == message
    assert detail == f"Line {place[0]}, column {place[1]}: found {found}, expected {expected}."
    assert caret.strip() == "^"
    assert error["hint"] == statement.HINT


def test_the_caret_stands_below_what_was_found() -> None:
    text = "CREATE EXTERNAL ACTION a.b\n\tPRIORITY high\nLEASE '1 s'"
    _, line, caret = refusal(text)["detail"].split("\n")
    assert line == "LINE 2:  PRIORITY high"
    assert line[caret.index("^") :] == "high"


def test_a_long_line_is_shown_around_the_place() -> None:
    text = f"CREATE EXTERNAL ACTION a.b DESCRIPTION '{'x' * 5000}' nonsense {'y' * 5000}"
    _, line, caret = refusal(text)["detail"].split("\n")
    assert len(line) < 130
    assert line[caret.index("^") :].startswith("nonsense")


def test_keywords_are_no_reserved_words() -> None:
    asked = statement.parse("CREATE AGENT WORKFLOW workflow SESSION REQUIRE session, require END")
    assert asked["arguments"]["definition"] == {
        "workflow": "workflow",
        "session_requirements": ["session", "require"],
    }


def test_no_statement_at_all_is_an_empty_one() -> None:
    assert json.loads(statement.parse_json(None)) == {"error": refusal("")}


@pytest.mark.parametrize(
    "text",
    [
        "/*" * 500_000,
        "/**/" * 250_000,
        "'" * 999_999,
        "'" * 1_000_000,
        "(" * 1_000_000,
        ";" * 1_000_000,
        "a." * 500_000,
        "a-" * 500_000,
        "-" * 1_000_000,
        "9" * 1_000_000,
        " " * 1_000_000,
        "\n" * 1_000_000,
        "😀" * 1_000_000,
        "SHOW RUNS " + "x" * 1_000_000,
        "CREATE AGENT WORKFLOW w ALLOWED CAPABILITIES (" + "a," * 400_000,
        "CREATE AGENT WORKFLOW w " + "ALLOW CAPABILITY a " * 50_000 + "!",
        "CREATE AGENT WORKFLOW w VERSION '1' " + "VERSION '1' " * 80_000,
        "CREATE EXTERNAL ACTION a.b POLICIES (a) POLICIES (" + "a," * 400_000,
    ],
)
def test_a_megabyte_of_anything_takes_linear_time(text: str) -> None:
    began = time.process_time()
    error = refusal(text)
    assert error["detail"].startswith("Line ")
    assert time.process_time() - began < 10


def test_a_statement_has_a_largest_size() -> None:
    assert refusal("x" * (statement.MAX_LENGTH + 1))["message"] == (
        "a statement has at most 1000000 characters"
    )


PIECES = st.sampled_from(
    [
        *REFUND.split(),
        *(word for text, _ in WORKFLOWS for word in text.split()),
        *("APPROVE", "REJECT", "SETTLE", "AS", "NOTE", "'act_1'", "EXPLAIN", "RUN", "SHOW", "RUNS"),
        *(";", "DROP", "1", "-2.5", "''", '"', "'", "(", ")", ",", "/*", "*/", "--", "\n", "END"),
        *("1e999", "\x00", "é", "😀"),
    ]
)


@given(st.lists(PIECES, max_size=40).map(" ".join) | st.text())
def test_any_text_is_a_statement_or_an_error_with_a_place(text: str) -> None:
    asked = json.loads(statement.parse_json(text))
    if "error" in asked:
        lines = asked["error"]["detail"].split("\n")
        place, _, rest = lines[0].removeprefix("Line ").partition(": found ")
        line, column = (int(word) for word in place.split(", column "))
        rows = text.split("\n")
        assert 1 <= line <= len(rows)
        assert 1 <= column <= len(rows[line - 1]) + 1
        assert ", expected " in rest
        assert len(lines) == 3
        assert lines[1][lines[2].index("^") :][:1] == rows[line - 1][column - 1 : column].translate(
            dict.fromkeys([*range(32), *range(127, 160)], " ")
        )
    else:
        assert set(asked) == {"verb", "arguments", "notices"}
