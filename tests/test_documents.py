"""The two documents of the pipeline, sentence by sentence, each with the tests that prove it.

A table to be read: what the document says (a few words of each line, in its order) and where it is
proved (a file and the test's own description of itself). The tests below it keep it from rotting:
every description is still there, and, where the documents are at hand, no line of them is missing.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from support.cluster import REPOSITORY

ENTITLEMENT = "tests/database/15_entitlement.sql"
GUEST = "tests/database/18_guest.sql"
CONTRACT = "tests/database/20_contract.sql"
INVOCATION = "tests/database/40_invocation.sql"
POLICY = "tests/database/45_policy.sql"
MACHINE = "tests/database/47_state_machine.sql"
APPROVAL = "tests/database/60_approval.sql"
EXECUTION = "tests/database/65_execution.sql"
DOCUMENTS = "tests/database/67_documents.sql"
CONFIRM = "tests/database/80_confirm.sql"
WORKFLOW = "tests/database/22_workflow.sql"
STATEMENTS = "tests/database/96_statement.sql"
STATEMENT_TEXT = "tests/plpython/test_statement.py"
RUN_LIMITS = "tests/concurrency/test_workflow_limits.py"
MACROS = "tests/test_psql_macros.py"
EVENT = "tests/database/92_domain_event.sql"
EXPLAIN = "tests/database/95_explain.sql"
DEFINITION = "tests/plpython/test_definition.py"
DATA_POLICY = "tests/plpython/test_policy.py"
SEQUENCES = "tests/concurrency/test_event_sequences.py"
DEMO = "tests/demo/test_demo.py"


class Says(NamedTuple):
    """What a line of a document says, and the (file, description) pairs that prove it."""

    words: str
    proofs: tuple[tuple[str, str], ...]


def says(words: str, *proofs: tuple[str, str]) -> Says:
    """Make a row of the table."""
    return Says(words, proofs)


# What several lines say.
STAGES = (DOCUMENTS, "the stages come in the order of the documents")
PERSISTED = (DOCUMENTS, "what is blocked was recorded before it was asked")
REFUSED_IS_KEPT = (
    INVOCATION,
    "a refused attempt is evidence: a row with everything that was wrong",
)
ENTITLED = (ENTITLEMENT, "a tenant that is not entitled leaves no row")
ROLES = (INVOCATION, "required roles bind %s: %s")
PERMISSIONS = (ENTITLEMENT, "%s with all permissions")
NO_PERMISSION = (ENTITLEMENT, "nor does one for want of a permission")
BLOCKED = (EXECUTION, "a policy that blocks halts the invocation")
BLOCKED_BEFORE = (DOCUMENTS, "and goes no further")
WARNED = (DOCUMENTS, "a warning lets it go on")
WARNING_KEPT = (DOCUMENTS, "and is persisted")
PASSED = (EXECUTION, "what the policy lets pass is performed")
EVIDENCE = (DOCUMENTS, "each outcome is kept with how it was decided")
UNREGISTERED = (EXECUTION, "a transition that is not registered fails before the handler")
NOT_RUN = (EXECUTION, "which did not run")
EXACT = (MACHINE, "the exact (from, to, action) is allowed")
TARGET = (DOCUMENTS, "the target state is computed from the parameters, and judged")
HANDLED = (EXECUTION, "its handler moved the row, once")
CLASSIFIED = (EXECUTION, "a handler that is %s: %s")
UNTOUCHED = (EXECUTION, "and none of them touched the invoice")
RESULT = (EXECUTION, "with the data its handler returned")
MUST_EMIT = (CONTRACT, "changes emit events")
RECORDED = (EXECUTION, "the handler's event and the transition are on record")
STEPS = (
    EXECUTION,
    "each step is an external action: five attempts at most, one if not idempotent",
)
ATTEMPTS = (
    DOCUMENTS,
    "five attempts at most, one where it is not idempotent, none at all where the input is null",
)
BACK_OFF = (DOCUMENTS, "by default 3 attempts, after 100 ms, then twice as long, 1 s at most")
FINAL = (DOCUMENTS, "the caller sees the final status, and when")
WHOLE_PATH = (DEMO, "test_the_demo_tells")

# -- seeds/mutation-pipeline.txt ------------------------------------------------------------------

MUTATION_PIPELINE = [
    says("The single canonical path", STAGES, WHOLE_PATH),
    says("Every change to domain state", STAGES, (EVENT, "nobody appends by himself")),
    says("The stages are normative", STAGES),
    # 1. Resolve and gate
    says(
        "looks up the ActionDefinition",
        (INVOCATION, "an unknown action cannot be proposed"),
        (INVOCATION, "nor invoked"),
    ),
    says("Module entitlement — is", ENTITLED),
    says("enabled for this tenant?", ENTITLED, (ENTITLEMENT, "%s of an entitled tenant")),
    says("Skipped for", PERMISSIONS, NO_PERMISSION, ROLES),
    # 2. Persist the invocation
    says("before any work happens", STAGES, PERSISTED, REFUSED_IS_KEPT),
    # 3. Evaluate policies
    says("A single block halts", BLOCKED, BLOCKED_BEFORE, (POLICY, "and any block halts")),
    # 4. Resolve action kind
    says(
        '"atomic" (default) or "saga"', (CONTRACT, "atomic actions are declared with their handler")
    ),
    says("Atomic → run", (EXECUTION, "as atomic")),
    says("inside one DB transaction", UNTOUCHED, (EXECUTION, "no half of it is queued")),
    # 5. State-machine validation
    says("looks up the entity's current state", EXACT, UNREGISTERED, NOT_RUN, TARGET),
    # 6. Handler
    says("single place vertical business logic", HANDLED),
    says("Parses parameters with its own schema", CLASSIFIED),
    says("Reads/writes domain state on", HANDLED),
    says("ctx.db.", (GUEST, "it runs as its owner, with context and parameters")),
    says("{ success, data?, error? }", RESULT, CLASSIFIED),
    says("Zod-shaped error", CLASSIFIED),
    # 7. Append events
    says("must emit at least one AssetEvent", MUST_EMIT, CLASSIFIED, STAGES, RECORDED),
    # 8. Execute adapter steps
    says("For each AdapterStep declared", STEPS),
    says("Idempotency is opt-in", ATTEMPTS, (CONFIRM, "one attempt, whatever retry says")),
    says(
        "Idempotent operations get exponential",
        BACK_OFF,
        (CONFIRM, "attempt %s is retried within %s"),
    ),
    # 9. Complete
    says("updated to status: completed", FINAL, (EXECUTION, "and the time it took")),
    # Failure classifications
    says("distinguishes failure kinds", CLASSIFIED),
    says("pending | ", STAGES),
    says("running | ", (EXECUTION, "a parent with open steps is running")),
    says("blocked_by_policy | ", BLOCKED),
    says(
        "waiting_for_approval | ",
        (EXECUTION, "a policy may demand approval"),
        (EXECUTION, "nothing is performed meanwhile"),
    ),
    says("validation_failed | ", CLASSIFIED, REFUSED_IS_KEPT),
    says(
        "failed | ",
        CLASSIFIED,
        (EXECUTION, "a failed step shows on its parent"),
        (DOCUMENTS, "an evaluator that throws fails the invocation"),
    ),
    says("completed | ", FINAL),
]

# -- seeds/pipeline-stages.txt --------------------------------------------------------------------

PIPELINE_STAGES = [
    # Stage 0
    says(
        "no implicit default action",
        (INVOCATION, "an unknown action cannot be proposed"),
        (INVOCATION, "nor invoked"),
        (CONTRACT, "none is left: retired"),
    ),
    says("actionId: ActionId", (DEFINITION, "test_each_rule_refuses_with_the_path_of_its_key")),
    says("namespace: string", ENTITLED),
    says(
        "version: number",
        (
            CONTRACT,
            "the first declaration of an action is its version 1, by the principal of the session",
        ),
    ),
    says("schema: SchemaValidator", (INVOCATION, "types are not converted")),
    says(
        "handler?: ActionHandler<TDb>;",
        (CONTRACT, "atomic actions are declared with their handler"),
    ),
    says("requiredRoles?", ROLES, (INVOCATION, "any of the roles is enough")),
    says("requiredPermissions?: string", PERMISSIONS, NO_PERMISSION),
    says("policies?:", (CONTRACT, "a policy id ends in .vN")),
    says("emitsEvents: string", CLASSIFIED),
    says("idempotent: boolean", ATTEMPTS),
    says("mutatesDomain: boolean", MUST_EMIT),
    says(
        "stateMachine?: Action",
        (DEFINITION, "test_a_state_machine_is_bound_by_six_texts"),
    ),
    says("adapterSteps?: AdapterStep", STEPS),
    says('kind?: "atomic"', (CONTRACT, "sagas are declared with their plan")),
    # Stage 1
    says("Module entitlementAlways", ENTITLED, (ENTITLEMENT, "%s of an entitled tenant")),
    says("Member permission", ROLES, PERMISSIONS, NO_PERMISSION),
    says("skip the permission check", ROLES),
    # Stage 2
    says(
        "fresh correlationId",
        STAGES,
        PERSISTED,
        (DOCUMENTS, "whose row stays, with the parameters as they were given"),
        (DOCUMENTS, "without a correlation id it is the first of its thread"),
        (DOCUMENTS, "the caller's correlation id is kept"),
    ),
    says("sortable Crockford ULIDs", (INVOCATION, "ids are prefixed Crockford ULIDs")),
    says("act_01HYZ", (INVOCATION, "ids are prefixed Crockford ULIDs")),
    says("evt_01HYZ", (EVENT, "ids are evt_ and a ULID")),
    says("pol_01HYZ", (DOCUMENTS, "under ids of pol_ and a ULID")),
    # Stage 3
    says("supports three kinds", EVIDENCE),
    says(
        "code — a registered PolicyEvaluator", (POLICY, "the evidence names evaluator and version")
    ),
    says(
        "data — a declarative condition tree",
        (DATA_POLICY, "test_groups"),
        (DATA_POLICY, "test_no_other_path_is_allowed"),
    ),
    says(
        "hybrid — data first",
        (DOCUMENTS, "a hybrid policy asks its code"),
        (DATA_POLICY, "test_hybrid"),
    ),
    says(
        "dispatchEvidence object",
        EVIDENCE,
        (DATA_POLICY, "test_evidence_lists_every_leaf_that_was_needed"),
        (POLICY, "the evidence names trigger, what the data said, policy and evaluator"),
    ),
    says("Any block", BLOCKED, (POLICY, "a block beats an earlier warning")),
    says(
        "Else any warn",
        WARNED,
        WARNING_KEPT,
        (POLICY, "across policies the first warning is surfaced"),
    ),
    says("Else pass", PASSED),
    # Stage 4
    says("await executeActionHandler", HANDLED),
    # Stage 5
    says("declares a stateMachine binding", UNREGISTERED),
    says("Loads the entity by", (EXECUTION, "a missing entity fails")),
    says(
        "Reads its current state",
        (EXECUTION, "approval is judged by the state machine of that moment"),
    ),
    says("Computes target state", TARGET),
    says("Calls validateTransition", EXACT, (MACHINE, "the latest version judges")),
    says("A mismatch throws", UNREGISTERED, NOT_RUN),
    # Stage 6
    says("ctx: ActionContext<TDb>,", (EXECUTION, "the handler is told who asked")),
    says("params: unknown,", (GUEST, "it runs as its owner, with context and parameters")),
    says(") => Promise<ActionResult>;", RESULT),
    says("Parses params with its declared schema", CLASSIFIED),
    says("Performs domain reads + writes", HANDLED, UNTOUCHED),
    says("Returns { success: boolean", RESULT, CLASSIFIED),
    says("A ZodError thrown", CLASSIFIED),
    # Stage 7
    says(
        "in the same transaction as the domain writes",
        STAGES,
        RECORDED,
        MUST_EMIT,
        (EXECUTION, "nor left an event"),
        (SEQUENCES, "test_thousands_of_invocations_on_one_subject"),
    ),
    # Stage 8
    says("For each adapterStep:", STEPS),
    says("adapterType: string;", STEPS),
    says("operation: string;", STEPS),
    says("retryPolicy?: AdapterStepRetryPolicy", ATTEMPTS, (DOCUMENTS, "the second is the last")),
    says("getInput:", ATTEMPTS, (EXECUTION, "a step whose `when` is false is skipped")),
    says(
        "The runtime resolves the adapter",
        (EXECUTION, "a step that does not fit its contract fails the action"),
    ),
    says("Non-idempotent → maxAttempts: 1", ATTEMPTS, STEPS),
    says("Idempotent → up to 5", ATTEMPTS, BACK_OFF),
    # Stage 9
    says(
        "updated to completed or failed",
        FINAL,
        (EXECUTION, "a failed step shows on its parent"),
        (EXPLAIN, "then it is complete"),
    ),
]

# -- workflow contracts and statements: reference/external-actions.md 1.2, 1.3 and 2 --------------

REFERENCE = [
    says(
        "validates each durable step against the workflow contract",
        (WORKFLOW, "a capability that the contract names is recorded"),
        (WORKFLOW, "refused: "),
        (WORKFLOW, "a run keeps the version it was started with"),
    ),
    says(
        "SESSION REQUIRE a, b, c",
        (WORKFLOW, "a run starts with the session values that its contract requires"),
        (WORKFLOW, "every addition needs the session values: "),
    ),
    says(
        "ALLOWED EXTERNAL ACTIONS ( … )",
        (WORKFLOW, "another action is refused by "),
        (WORKFLOW, "a contract that names capabilities and no action allows none"),
    ),
    says("entry_capability", (WORKFLOW, "the entry capability comes first")),
    says("EVIDENCE REQUIRED", (WORKFLOW, "but not be completed")),
    says(
        "CHECKPOINT EVERY STEP",
        (
            WORKFLOW,
            "each finished step and each action leaves one below it, once, whatever keys are taken",
        ),
    ),
    says(
        "ON RISK medium REQUIRE APPROVAL ROLE",
        (WORKFLOW, "a step of that risk, or a higher one, waits for approval"),
        (WORKFLOW, "an action after it waits, though its contract needs no approval"),
        (WORKFLOW, "an atomic action waits too"),
    ),
    says(
        "RETENTION RUNS 90 DAYS, EVIDENCE 90 DAYS",
        (WORKFLOW, "evidence goes after its days, a run's invocations stay"),
        (WORKFLOW, "after its days the run goes whole, with its invocations"),
    ),
    says(
        "max_steps, max_tool_calls, max_input_tokens, max_output_tokens",
        (WORKFLOW, "a fourth does not"),
        (RUN_LIMITS, "test_racing_steps_never_exceed_a_limit"),
    ),
    says(
        "clause order is free",
        (STATEMENT_TEXT, "test_clauses_come_in_any_order"),
        (STATEMENT_TEXT, "test_workflows_are_understood_in_both_dialects"),
    ),
    says(
        "Our statement for declaring an external action",
        (STATEMENTS, "CREATE EXTERNAL ACTION declares the contract and returns it"),
        (STATEMENT_TEXT, "test_every_clause_of_an_external_action_is_understood"),
    ),
    says("A second dialect", (STATEMENTS, "in the other dialect too")),
    says(
        "APPROVE EXTERNAL ACTION",
        (STATEMENTS, "APPROVE approves"),
        (MACROS, "test_approving_is_one_line"),
    ),
    says("EXPLAIN AGENT RUN", (STATEMENTS, "EXPLAIN AGENT RUN yields a string per line")),
    says(
        "SHOW, DESCRIBE",
        (STATEMENTS, "SHOW "),
        (STATEMENTS, "DROP retires a version"),
        (STATEMENT_TEXT, "test_what_is_no_statement_is_told_with_its_place"),
        (STATEMENT_TEXT, "test_any_text_is_a_statement_or_an_error_with_a_place"),
    ),
]

# -- what cannot apply here, and why --------------------------------------------------------------

NAVIGATION = "a headline, a link or a summary of what follows"
TYPESCRIPT = "syntax or a file of another implementation"
BREAKER = "circuit breakers come with the limits of providers; not in this version"
SAGA = "sagas come with plans; declared and stored, invoking one is refused"
TELEMETRY = "nothing is pushed: the views, notifications and explain_action tell"
DEFAULT = "ours is external: what names neither a handler nor a plan can be nothing else"
PARSED = "ours checks ARGs before policies too; what is refused is recorded all the same"
STEP_ID = "our adapter step is an external action, so its id begins with act_: see 67_documents.sql"

NOT_OURS = {
    "Mutation pipeline": NAVIGATION,
    "The pipeline": NAVIGATION,
    "Stage by stage": NAVIGATION,
    "1. Resolve and gate": NAVIGATION,
    "2. Persist the invocation": NAVIGATION,
    "3. Evaluate policies": NAVIGATION,
    "4. Resolve action kind": NAVIGATION,
    "actionDef.namespace": NAVIGATION,
    "5. State-machine validation": NAVIGATION,
    "6. Handler": NAVIGATION,
    "7. Append events": NAVIGATION,
    "8. Execute adapter steps": NAVIGATION,
    "9. Complete": NAVIGATION,
    "Failure classifications": NAVIGATION,
    "| Status | Meaning |": NAVIGATION,
    "|---|---|": NAVIGATION,
    "See also": NAVIGATION,
    "Stage details": NAVIGATION,
    "Policy checkpoints": NAVIGATION,
    "Events as evidence": NAVIGATION,
    "Saga → dispatch": SAGA,
    "SagaImplementation": SAGA,
    "A circuit breaker": BREAKER,
    "monitoror": BREAKER,
    "FabricFabricPlatform": NAVIGATION,
    "Platform reference": NAVIGATION,
    "Pipeline stages": NAVIGATION,
    "A stage-by-stage walkthrough": NAVIGATION,
    "This is the deep version": NAVIGATION,
    "Stage 0": NAVIGATION,
    "Stage 1": NAVIGATION,
    "Stage 2": NAVIGATION,
    "Stage 3": NAVIGATION,
    "Stage 4": NAVIGATION,
    "Stage 5": NAVIGATION,
    "Stage 6": NAVIGATION,
    "Stage 7": NAVIGATION,
    "Stage 8": NAVIGATION,
    "Stage 9": NAVIGATION,
    "The ActionDefinition carries": NAVIGATION,
    "The handler:": NAVIGATION,
    "CheckApplies toSource": NAVIGATION,
    "On this page": NAVIGATION,
    "Validation —": NAVIGATION,
    "Events —": NAVIGATION,
    "Projections —": NAVIGATION,
    "interface ": TYPESCRIPT,
    "type ActionHandler": TYPESCRIPT,
    "} else {": TYPESCRIPT,
    "}": TYPESCRIPT,
    "adp_01HYZ": STEP_ID,
    "Telemetry is emitted": TELEMETRY,
    "telemetry emits": TELEMETRY,
    "(default)": DEFAULT,
    "there is no pre-parse": PARSED,
    'actionDef.kind === "saga"': SAGA,
    "runSagaActionWorkflow": SAGA,
    "Saga actions are orchestrations": SAGA,
}

TABLE = [
    ("mutation-pipeline.txt", MUTATION_PIPELINE),
    ("pipeline-stages.txt", PIPELINE_STAGES),
]
# Of the reference only what became of these sections: it tells of much that is not ours.
ROWS = [row for _, rows in TABLE for row in rows] + REFERENCE
SEEDS = REPOSITORY.parent / "shared" / "seeds"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.words)
def test_every_sentence_has_its_proof(row: Says) -> None:
    """The files still have tests that describe themselves so."""
    assert row.proofs
    for file, description in row.proofs:
        quoted = description.replace("'", "''")
        wanted = f"def {description}(" if file.endswith(".py") else f"'{quoted}'"
        assert wanted in (REPOSITORY / file).read_text("utf-8"), (file, description)


@pytest.mark.parametrize(("name", "rows"), TABLE, ids=lambda part: part if part is str else None)
def test_no_sentence_is_missing(name: str, rows: list[Says]) -> None:
    """Every line of the document is in the table, and the table invents none."""
    if not (SEEDS / name).exists():
        pytest.skip("the documents are not part of this repository")
    lines = [line for line in (SEEDS / name).read_text("utf-8").splitlines() if line.strip()]
    words = [row.words for row in rows]
    known = (*words, *(part for part in NOT_OURS if len(part) > 1))
    left = [line for line in lines if not any(part in line for part in known)]
    assert [line for line in left if line.strip() not in NOT_OURS] == []
    assert [part for part in words if not any(part in line for line in lines)] == []
