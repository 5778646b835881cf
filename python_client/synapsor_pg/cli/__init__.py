"""The command ``synapsor-pg``: a module per group of commands, each of which joins ``app``."""

from synapsor_pg.cli import decide, look, operate, worker
from synapsor_pg.cli.app import app, main

__all__ = ["app", "decide", "look", "main", "operate", "worker"]
