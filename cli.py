"""The two command lines, `featcache` and `adapters`: which commands there are, and how a process of theirs ends.

A command parses, calls and prints in a file of its own, in `featcache/commands/` or `adapters/commands/`, and imports
what is heavy when it is called, so that `--help` answers at once. Results go to standard output, as tables or with
`--json` as one object; progress, notices and errors go to standard error.

This file imports nothing but Python's own: an interruption is told in a line from the first moment on.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import typer

_sent: list[int] = []
"""Signals that interrupt, as they come."""
INTERRUPTED = 130  # 128 + SIGINT


def featcache_app() -> typer.Typer:
    """The command line `featcache`."""
    from featcache.commands import (
        datasets,
        export,
        extract,
        import_embeddings,
        info,
        list,
        models,
        remove,
        text,
        verify,
    )
    from featcache.commands.shared.command import Command, ContinuedCommand
    from featcache.commands.shared.command_line import command_line

    app = command_line(
        "featcache",
        "Run a frozen CLIP once over a data set and keep what it saw: image and class-text embeddings in Zarr shards.",
        start="featcache extract --model tiny --dataset digits",
    )
    app.command("extract", cls=ContinuedCommand)(extract.extract)
    app.command("import", cls=ContinuedCommand)(import_embeddings.import_embeddings)
    app.command("list", cls=Command)(list.list_caches)
    app.command("info", cls=Command)(info.info)
    app.command("verify", cls=Command)(verify.verify)
    app.command("text", cls=Command)(text.text)
    app.command("export", cls=Command)(export.export)
    app.command("remove", cls=Command)(remove.remove)
    app.command("datasets", cls=Command)(datasets.datasets)
    app.command("models", cls=Command)(models.models)
    return app


def adapters_app() -> typer.Typer:
    """The command line `adapters`."""
    from adapters.commands import audit, bench, fit, list, report, search, suggest
    from adapters.commands.saved import add, compare, eval, export, predict, push, remove, runs, serve
    from featcache.commands.shared.command import Command, CommandOfMethod, ContinuedCommand, ContinuedCommandOfMethod
    from featcache.commands.shared.command_line import command_line

    app = command_line(
        "adapters",
        "Train lightweight heads on cached CLIP features in seconds, and score them honestly.",
        start="adapters fit --shots 4   (after `featcache extract --model tiny --dataset digits`)",
    )
    app.command("audit", cls=Command)(audit.audit)
    app.command("suggest", cls=Command)(suggest.suggest)
    app.command("fit", cls=CommandOfMethod)(fit.fit)
    app.command("search", cls=ContinuedCommandOfMethod)(search.search)
    app.command("bench", cls=ContinuedCommand)(bench.bench)
    app.command("eval", cls=Command)(eval.evaluate)
    app.command("compare", cls=Command)(compare.compare)
    app.command("add", cls=Command)(add.add)
    app.command("report", cls=Command)(report.report)
    app.command("predict", cls=Command)(predict.predict)
    app.command("serve", cls=Command)(serve.serve)
    app.command("export", cls=Command)(export.export)
    app.command("push", cls=Command)(push.push)
    app.command("list", cls=Command)(list.list_methods)
    app.command("runs", cls=Command)(runs.runs)
    app.command("remove", cls=Command)(remove.remove)
    return app


def run_featcache() -> None:
    """Entry point of `featcache`."""
    _run(featcache_app)


def run_adapters() -> None:
    """Entry point of `adapters`."""
    _run(adapters_app)


def _run(make: Callable[[], typer.Typer]) -> None:
    """Run a command line: a user's mistake is one line and status 2, an interruption one line and 130 or 143."""
    # What a cluster sends before it kills is an interruption too, after which locks are given back.
    for signal_sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_sent, _interrupt)
    # Before torch is imported: idle threads must sleep, not spin on the cores that decoding needs. On two cores this
    # makes extraction three times as fast.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Imports make objects by the hundred thousand that live to the end: to search them for garbage again and again, and
    # once more at the exit (below), would be a quarter of the time of a short command.
    gc.set_threshold(100_000)
    app: typer.Typer | None = None
    try:
        app = make()
        status = _status(app)
    except KeyboardInterrupt:
        status = INTERRUPTED
    _hear_no_more()
    if status == INTERRUPTED:  # typer makes a return value of Ctrl-C
        goes_on = "; the same command continues where this one stopped" if app and _continues(app) else ""
        print(f"interrupted{goes_on}", file=sys.stderr)
    if "triton" not in sys.modules:  # comes with encoders; it counts what is left at the exit, and complains
        gc.freeze()
    if status == INTERRUPTED and _sent:
        _end_now(128 + _sent[-1])
    sys.exit(status if isinstance(status, int) else 0)


def _status(app: typer.Typer) -> Any:
    """Run the command that was typed; what it returns."""
    import typer

    from featcache.errors import FeatcacheError

    try:
        return app(standalone_mode=False)
    except typer.TyperException as error:
        told = " ".join(str(getattr(error, "format_message", error.__str__)()).split()).rstrip(".")
        if not told:  # no command was given, and the help is printed
            sys.exit(2)
        words = [str(app.info.name), "" if told.startswith("No such command") else _command(), "--help"]
        _fail(f"{told}; type `{' '.join(filter(None, words))}` for what is expected")
    except FeatcacheError as error:
        _fail(str(error))
    except OSError as error:  # a file or folder given by the user that cannot be read or written
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}; give a path that can be read and written")


def _interrupt(signal_sent: int, frame: FrameType | None) -> None:
    """End with one line: what libraries leave half made, such as an event loop, would complain in many."""
    sys.unraisablehook = lambda unraisable: None
    _sent.append(signal_sent)
    raise KeyboardInterrupt


def _end_now(status: int) -> NoReturn:
    """End, but do not take the interpreter down under threads of libraries, which were never told to stop."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _hear_no_more() -> None:
    """Ignore interruptions: the work is done and told, and only the interpreter ends, which takes its time."""
    for signal_sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_sent, signal.SIG_IGN)


def _continues(app: typer.Typer) -> bool:
    """Whether the command that was typed goes on where it was stopped."""
    from featcache.commands.shared.command import ContinuedCommand

    typed = (command.cls for command in app.registered_commands if command.name == _command())
    return any(cls is not None and issubclass(cls, ContinuedCommand) for cls in typed)


def _command() -> str:
    """The command that was typed; empty if there was none."""
    return next((word for word in sys.argv[1:] if not word.startswith("-")), "")


def _fail(message: str) -> None:
    from featcache.errors import in_a_line, visible

    _hear_no_more()
    print(f"error: {visible(in_a_line(Exception(message)))}", file=sys.stderr)
    sys.exit(2)
