"""The command ``synapsor-pg``: a module per group of commands, each of which joins ``app``."""

from synapsor_pg.cli import contracts, decide, doctor, install, look, operate, plan, top, worker
from synapsor_pg.cli.app import app, main

__all__ = [
    "app",
    "contracts",
    "decide",
    "doctor",
    "install",
    "look",
    "main",
    "operate",
    "plan",
    "top",
    "worker",
]
