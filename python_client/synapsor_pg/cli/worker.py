"""The daemon that performs actions."""

# ruff: noqa: PLR0913 - options are parameters

from __future__ import annotations

import importlib
import logging
import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from synapsor_pg import logs
from synapsor_pg.cli.app import app
from synapsor_pg.cli.shared import Dsn, UsageError, told
from synapsor_pg.config import ConfigError, Queue, WorkerConfig
from synapsor_pg.endpoints import Endpoints
from synapsor_pg.handlers import registry
from synapsor_pg.providers import ConfigurationError
from synapsor_pg.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapsor_pg.observer import WorkerObserver


@app.command()
def worker(
    queues: Annotated[
        list[str] | None, typer.Option("--queue", help="A queue to serve; repeatable.")
    ] = None,
    *,
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file with all settings, in place of the other options."),
    ] = None,
    handlers: Annotated[
        list[str] | None,
        typer.Option(
            "--handlers",
            help="A module that registers handlers; repeatable. Default: all installed providers.",
        ),
    ] = None,
    dsn: Dsn = "",
    batch: Annotated[int, typer.Option(min=1, help="Actions per claim.")] = 10,
    concurrency: Annotated[int, typer.Option(min=1, help="Handler threads.")] = 10,
    lease: Annotated[
        float | None, typer.Option(help="Seconds a claim is leased; default: the contract's.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="This worker's name; default: host:pid.")
    ] = None,
    poll: Annotated[float, typer.Option(help="Seconds between looks at an idle queue.")] = 1.0,
    drain: Annotated[float, typer.Option(help="Seconds a stop waits for handlers.")] = 30.0,
    listen: Annotated[bool, typer.Option(help="Wake up by LISTEN too.")] = True,
    listen_dsn: Annotated[
        str | None, typer.Option(help="Where to LISTEN when --dsn names a pooler.")
    ] = None,
    until_idle: Annotated[bool, typer.Option(help="End when nothing is due.")] = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Perform queued actions: claim, call the provider, confirm. SIGTERM drains and ends it.

    SIGHUP reads --config again: queues, weights, concurrency, time-outs and the log's level.
    """
    with told(role="synapsor_worker"):
        if config is not None:
            settings = _load(config)
            settings = replace(settings, dsn=settings.dsn or dsn)
        elif queues:
            settings = WorkerConfig(
                dsn=dsn,
                queues=tuple(Queue(name) for name in dict.fromkeys(queues)),
                batch=batch,
                concurrency=concurrency,
                lease=lease,
                label=label,
                poll=poll,
                drain=drain,
                listen=listen,
                listen_dsn=listen_dsn,
                handlers=tuple(handlers or ()),
                log_level=log_level.lower(),
            )
        else:
            raise UsageError("name a --queue, or a --config file")
        logs.set_up(settings.log_level, settings.log_format)
        load_handlers(list(settings.handlers))
        with ExitStack() as stack:
            observers, page = _watching(settings, stack)
            daemon = Worker.from_config(settings, observers=observers)
            if settings.metrics_address is not None:
                stack.enter_context(_endpoints(settings.metrics_address, daemon, page).serving())
            reload = None if config is None else partial(_reload, daemon, config)
            daemon.run(until_idle=until_idle, on_reload=reload)


def _watching(
    settings: WorkerConfig, stack: ExitStack
) -> tuple[list[WorkerObserver], Callable[[], tuple[str, bytes]] | None]:
    """Return the observers that the settings ask for, and what gives the page of metrics."""
    observers: list[WorkerObserver] = []
    page = None
    if settings.metrics_address is not None:
        try:
            from synapsor_pg import metrics  # noqa: PLC0415
        except ImportError:
            raise UsageError(
                "[metrics] needs the extra: pip install 'synapsor-pg[metrics]'"
            ) from None
        observer, page = metrics.of_worker(settings.dsn)
        observers.append(observer)
    if settings.tracing:
        try:
            from synapsor_pg import tracing  # noqa: PLC0415

            provider = tracing.export_by_environment()
        except ImportError:
            raise UsageError(
                "[tracing] needs the extra: pip install 'synapsor-pg[tracing]'"
            ) from None
        stack.callback(provider.shutdown)
        observers.append(tracing.WorkerTraces(provider))
    return observers, page


def _endpoints(
    address: tuple[str, int], daemon: Worker, page: Callable[[], tuple[str, bytes]] | None
) -> Endpoints:
    try:
        return Endpoints(address, daemon.status, page)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {address[0]}:{address[1]}: {error.strerror or error}"
        ) from None


def _load(config: Path) -> WorkerConfig:
    try:
        return WorkerConfig.load(config)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def _reload(daemon: Worker, config: Path) -> None:
    """Take over what can change while it runs; a file with mistakes changes nothing."""
    try:
        settings = WorkerConfig.load(config)
    except ConfigError as error:
        logging.getLogger("synapsor_pg").error("not reloaded: %s", error)  # noqa: TRY400
        return
    logging.getLogger().setLevel(settings.log_level.upper())
    daemon.apply(settings)


def load_handlers(modules: list[str] | None) -> None:
    """Import the modules with handlers, or what installed packages offer."""
    log = logging.getLogger("synapsor_pg")
    if modules:
        sys.path.insert(0, "")  # they may live in the current folder
        for module in modules:
            try:
                importlib.import_module(module)
            except (ImportError, ConfigurationError) as error:
                typer.echo(f"cannot load --handlers {module}: {error}", err=True)
                raise typer.Exit(2) from error
    else:
        for provider in entry_points(group="synapsor_pg.providers"):
            try:
                provider.load()
            except ImportError as error:
                log.info("provider %s is not available: %s", provider.name, error)
            except ConfigurationError as error:
                typer.echo(f"cannot load provider {provider.name}: {error}", err=True)
                raise typer.Exit(2) from error
    if not len(registry):
        typer.echo("there are no handlers; name a module with --handlers", err=True)
        raise typer.Exit(2)
    log.info("handlers: %s", ", ".join(f"{of[0]}/{of[1]}" for of in registry))
