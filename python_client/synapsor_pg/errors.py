"""The database's refusals as exceptions: one class per SQLSTATE of class SY, mapped by code only.

The list is the view ``synapsor.synapsor_error_codes``; a test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import psycopg


class SynapsorError(Exception):
    """A refusal by the extension: the fact, why, and what to do about it."""

    sqlstate: ClassVar[str] = ""
    condition: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        detail: str | None = None,
        hint: str | None = None,
        sqlstate: str | None = None,
    ) -> None:
        """Keep the four parts apart; ``str()`` shows those that exist."""
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.code = sqlstate or self.sqlstate

    def __str__(self) -> str:
        """Return what psql would show."""
        lines = [f"{self.code}: {self.message}"]
        if self.detail:
            lines.append(f"DETAIL: {self.detail}")
        if self.hint:
            lines.append(f"HINT: {self.hint}")
        return "\n".join(lines)


class UndefinedActionError(SynapsorError):
    """No such action contract, or every version of it is retired."""

    sqlstate = "SY001"
    condition = "undefined_action"


class InvalidDefinitionError(SynapsorError):
    """A definition that cannot be accepted."""

    sqlstate = "SY002"
    condition = "invalid_definition"


class ValidationFailedError(SynapsorError):
    """The arguments do not fit the contract; the detail lists every violation."""

    sqlstate = "SY003"
    condition = "validation_failed"


class HiddenOverrideError(SynapsorError):
    """The caller tried to set a value that only the session may set."""

    sqlstate = "SY004"
    condition = "hidden_override"


class SessionValueMissingError(SynapsorError):
    """The trusted session lacks a value that the contract binds."""

    sqlstate = "SY005"
    condition = "session_value_missing"


class SessionInvalidError(SynapsorError):
    """The session cannot be trusted: token, key, scope or context."""

    sqlstate = "SY006"
    condition = "session_invalid"


class NotPermittedError(SynapsorError):
    """Neither the principal nor its roles may do that."""

    sqlstate = "SY007"
    condition = "not_permitted"


class IdempotencyConflictError(SynapsorError):
    """The idempotency key is taken by another payload."""

    sqlstate = "SY008"
    condition = "idempotency_conflict"


class BlockedByPolicyError(SynapsorError):
    """A policy said no."""

    sqlstate = "SY009"
    condition = "blocked_by_policy"


class InvalidTransitionError(SynapsorError):
    """The state machine does not know this transition."""

    sqlstate = "SY010"
    condition = "invalid_transition"


class NotFoundError(SynapsorError):
    """It does not exist, or it is another tenant's."""

    sqlstate = "SY011"
    condition = "not_found"


class NotEntitledError(SynapsorError):
    """The tenant is not entitled to that module."""

    sqlstate = "SY012"
    condition = "not_entitled"


class HandlerFailedError(SynapsorError):
    """A handler in the database failed."""

    sqlstate = "SY013"
    condition = "handler_failed"


class NotInThatStateError(SynapsorError):
    """The state of the thing does not allow that verb."""

    sqlstate = "SY014"
    condition = "not_in_that_state"


class NotAwaitingApprovalError(SynapsorError):
    """The action is rejected, expired, cancelled or failed: nothing to approve."""

    sqlstate = "SY021"
    condition = "not_awaiting_approval"


class ApproverAlreadyCountedError(SynapsorError):
    """The same reviewer cannot count twice."""

    sqlstate = "SY022"
    condition = "approver_already_counted"


class SeparationOfDutiesError(SynapsorError):
    """The proposer may not approve."""

    sqlstate = "SY023"
    condition = "separation_of_duties"


class ApprovalStaleError(SynapsorError):
    """What would be sent is not what was approved, or not what was sent before."""

    sqlstate = "SY024"
    condition = "approval_stale"


class NotClaimedError(SynapsorError):
    """The action has no active claim."""

    sqlstate = "SY030"
    condition = "not_claimed"


class ClaimExpiredError(SynapsorError):
    """The lease ended before the call."""

    sqlstate = "SY031"
    condition = "claim_expired"


class ClaimedByAnotherWorkerError(SynapsorError):
    """Another worker principal holds the claim."""

    sqlstate = "SY032"
    condition = "claimed_by_another_worker"


class ConflictingConfirmationError(SynapsorError):
    """A different outcome is already stored."""

    sqlstate = "SY033"
    condition = "conflicting_confirmation"


class StaleClaimTokenError(SynapsorError):
    """The action was claimed again since, or its token is required."""

    sqlstate = "SY034"
    condition = "stale_claim_token"


class RunNotOpenError(SynapsorError):
    """The run is finished."""

    sqlstate = "SY040"
    condition = "run_not_open"


class StepNotAllowedError(SynapsorError):
    """The workflow contract does not allow that step."""

    sqlstate = "SY041"
    condition = "step_not_allowed"


class RunLimitExceededError(SynapsorError):
    """A limit of the workflow contract is used up."""

    sqlstate = "SY042"
    condition = "run_limit_exceeded"


class StatementSyntaxError(SynapsorError):
    """The statement cannot be parsed; the detail says where."""

    sqlstate = "SY050"
    condition = "statement_syntax"


class LimitExceededError(SynapsorError):
    """A budget or size limit is exceeded."""

    sqlstate = "SY051"
    condition = "limit_exceeded"


BY_SQLSTATE: dict[str, type[SynapsorError]] = {
    error.sqlstate: error for error in SynapsorError.__subclasses__()
}
"""SQLSTATE to exception class."""


def from_database(error: psycopg.Error) -> SynapsorError | None:
    """Return the exception for a database error of class SY, None for any other."""
    code = error.sqlstate
    if code is None or not code.startswith("SY"):
        return None
    return BY_SQLSTATE.get(code, SynapsorError)(
        error.diag.message_primary or str(error),
        detail=error.diag.message_detail,
        hint=error.diag.message_hint,
        sqlstate=code,
    )
