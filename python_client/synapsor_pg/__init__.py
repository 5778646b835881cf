"""Client and worker of the synapsor PostgreSQL extension."""

from synapsor_pg.client import Client
from synapsor_pg.errors import SynapsorError
from synapsor_pg.handlers import (
    ClaimLostError,
    Delivery,
    Outcome,
    Registry,
    RejectedError,
    RetryableError,
    UnknownOutcomeError,
    failed,
    handler,
    registry,
    succeeded,
    unknown,
)
from synapsor_pg.models import (
    Claim,
    Confirmation,
    ConfirmationResult,
    Contract,
    DeliveryStart,
    ExternalAction,
    Invocation,
    PendingApproval,
    Run,
    Step,
    Suspension,
    WorkerPresence,
)
from synapsor_pg.worker import Worker

__all__ = [
    "Claim",
    "ClaimLostError",
    "Client",
    "Confirmation",
    "ConfirmationResult",
    "Contract",
    "Delivery",
    "DeliveryStart",
    "ExternalAction",
    "Invocation",
    "Outcome",
    "PendingApproval",
    "Registry",
    "RejectedError",
    "RetryableError",
    "Run",
    "Step",
    "Suspension",
    "SynapsorError",
    "UnknownOutcomeError",
    "Worker",
    "WorkerPresence",
    "failed",
    "handler",
    "registry",
    "succeeded",
    "unknown",
]
