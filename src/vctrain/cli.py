"""Which verbs are there, and how does a command end: one line and an exit code for every failure?

Verbs are loaded by name when they are called, so ``vctrain --help`` imports neither torch nor a command.
"""

from __future__ import annotations

import difflib
import errno
import functools
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import FrameType, TracebackType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from vctrain import __version__, console, ending
from vctrain.errors import (
    FaultError,
    PreemptedError,
    UsageError,
    VctrainError,
    is_out_of_memory,
)
from vctrain.runs.files import FULL

VERBS: Mapping[str, tuple[str, str]] = {
    "train": ("vctrain.commands.train:train", "Train a twin of a preset on recordings or simulated sessions."),
    "resume": ("vctrain.commands.resume:resume", "Go on with a run that was stopped, preempted or killed."),
    "finetune": ("vctrain.commands.finetune:finetune", "Train on from a checkpoint, with parts of it frozen."),
    "modulator-only": ("vctrain.commands.modulator_only:modulator_only", "Train a twin of behaviour alone."),
    "doctor": ("vctrain.commands.doctor:doctor", "Would a run work here, and how long would it take?"),
    "eval-bps": ("vctrain.commands.eval_bps:eval_bps", "Exact bits per spike of checkpoints or runs."),
    "predict": ("vctrain.commands.predict:predict", "Write predicted rates, frame by frame."),
    "analyze": ("vctrain.commands.analyze:app", "What a twin's units respond to, and what behaviour adds."),
    "inspect": ("vctrain.commands.inspect:inspect", "Show what is in a recording, session, config, checkpoint or run."),
    "migrate-ckpt": (
        "vctrain.commands.migrate_ckpt:migrate_ckpt",
        "Turn checkpoints of earlier systems into current ones.",
    ),
    "export": ("vctrain.commands.export:export", "Write a checkpoint without its training state."),
    "import-nwb": ("vctrain.commands.import_nwb:import_nwb", "Write sessions from an NWB file."),
    "status": ("vctrain.commands.status:status", "How runs are doing: state, progress, time left, best score, cost."),
    "table": ("vctrain.commands.table:table", "Compare runs: what differs, best score, cost."),
    "sweep": ("vctrain.commands.sweep:sweep", "Write the configs and scripts of many runs; starts nothing."),
    "rerun": ("vctrain.commands.rerun:rerun", "Train a run again from its config.yaml: the same digits."),
    "sync": ("vctrain.commands.sync:sync", "Show runs in Weights & Biases or TensorBoard, from their records."),
    "simulate": ("vctrain.commands.simulate:simulate", "Write simulated sessions whose best score is known."),
    "presets": ("vctrain.commands.presets:app", "List, show or copy presets."),
}
"""Verb: where its function or Typer app is, and what it does."""
INTERRUPTED = 130
TERMINATED = 143
BROKEN_PIPE = 141
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_ENVIRONMENT = (
    *FULL,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EIO,
    errno.EMFILE,
    errno.ESTALE,
)

# What typer's own complaints about arguments have in common; typer brings its own click in some versions.
_ArgumentError: Any = typer.BadParameter.__mro__[2]

_HELP = """Train digital twins of visual cortex: one network that predicts the spikes of many recording sessions.

\b
Start:
  vctrain train --preset gaborium                   on simulated sessions
  vctrain train --preset gaborium --data sessions.yaml
  vctrain eval-bps runs/RUN
  vctrain presets list
"""


class LazyGroup(TyperGroup):
    """The verbs; help and completion know them from `VERBS`, and only a verb that is called is imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The verbs in the order of `VERBS`."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in that carries the verb's line of help."""
        return (
            TyperCommand(name=cmd_name, help=VERBS[cmd_name][1], rich_markup_mode=None) if cmd_name in VERBS else None
        )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that is called, imported now; UsageError with the nearest verb if there is none."""
        name = args[0]
        if name in VERBS:
            return name, _load(name), args[1:]
        if name.startswith("-"):
            return super().resolve_command(ctx, args)
        close = difflib.get_close_matches(name, VERBS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"verbs: {', '.join(VERBS)}"
        raise UsageError(f"no verb {name!r}", hint=hint)


def _load(verb: str) -> Any:
    module, attribute = VERBS[verb][0].split(":")
    loaded = getattr(importlib.import_module(module), attribute)
    if not isinstance(loaded, typer.Typer):
        function, loaded = loaded, typer.Typer(add_completion=False, rich_markup_mode=None)
        loaded.command(verb, context_settings=_CONTEXT)(function)
    return typer.main.get_command(loaded)


app = typer.Typer(cls=LazyGroup, help=_HELP, rich_markup_mode=None, context_settings=_CONTEXT)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.result(f"vctrain {__version__}")
        raise typer.Exit


@app.callback(context_settings=_CONTEXT)
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    pass


_root.__doc__ = _HELP


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command line (``sys.argv``) and exit: 0 done, the code of a `VctrainError`, 1 a bug, 130 interrupted, 143
    terminated."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    console.configure(json="--json" in options, quiet="--quiet" in options, debug="--debug" in options)
    sys.excepthook = functools.partial(_on_bug, arguments)
    # From its first step on a run listens itself, saves and ends with 75; before that there is nothing to save.
    ending.forget()
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, _on_signal)
    # a shell starts what runs in its background with SIGINT ignored
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_signal)
    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments or ["--help"], prog_name="vctrain", standalone_mode=False)
        _nothing_left_to_stop()
        sys.stdout.flush()
    except VctrainError as error:
        _end(error, arguments)
    except _ArgumentError as error:
        _end(_as_usage_error(error, arguments), arguments)
    except (KeyboardInterrupt, typer.Abort):
        _end_interrupted(arguments)
    except BrokenPipeError:
        _leave_closed_pipe()
    except SystemExit as leaving:
        # Lightning leaves with 1 when it was interrupted, and typer when a pipe was closed: the reason is the context.
        if isinstance(leaving.__context__, KeyboardInterrupt):
            _end_interrupted(arguments)
        if isinstance(leaving.__context__, BrokenPipeError):
            _leave_closed_pipe()
        raise
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        said = f": {console.one_line(str(error))[:200]}" if str(error) else ""
        hint = "lower data.batch_clips or data.clip_frames"
        _end(FaultError(f"out of memory{said}", hint=hint), arguments)
    except OSError as error:
        if error.errno not in _ENVIRONMENT:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _end(FaultError(f"{where}{error.strerror}", hint="check free space and permissions"), arguments)
    if code == INTERRUPTED:
        _end_interrupted(arguments)
    sys.exit(code if arguments and isinstance(code, int) else 0 if arguments else UsageError.code)


def _on_signal(number: int, frame: FrameType | None) -> None:
    # typer turns what is raised into an end of its own
    ending.tell(number, frame)


def _nothing_left_to_stop() -> None:
    """Requests to save and stop are let pass once the command has ended: Python puts back what kills the process before
    it is gone, and a batch system would take a run that is done, or saved, for one that was killed (138). The alarm of
    a signal that waits for an import would kill it in the same way (142)."""
    ending.put_off_no_longer()
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def _end_interrupted(arguments: Sequence[str]) -> NoReturn:
    if ending.forget() not in (None, signal.SIGINT):
        _fail(TERMINATED, "terminated", "", arguments)
    _fail(INTERRUPTED, "interrupted", "", arguments)


def _leave_closed_pipe() -> NoReturn:
    # Python flushes stdout at exit and would complain about the pipe again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(BROKEN_PIPE)


def _end(error: VctrainError, arguments: Sequence[str]) -> NoReturn:
    if console.debug_mode():
        traceback.print_exception(error)
    _fail(error.code, error.message, error.hint, arguments, error.run)


def _fail(code: int, message: str, hint: str, arguments: Sequence[str], run: str | None = None) -> NoReturn:
    _nothing_left_to_stop()
    if code == PreemptedError.code:
        console.stopped(message, hint)
    else:
        console.error(message, hint)
    _emit_failure(code, message, hint, arguments, run)
    sys.exit(code)


def _emit_failure(code: int, message: str, hint: str, arguments: Sequence[str], run: str | None = None) -> None:
    if console.json_mode():
        said = {"code": code, "message": console.one_line(message), "hint": console.one_line(hint)}
        failure: dict[str, object] = {"ok": False, "command": command_of(arguments), "error": said}
        console.emit_json(failure if run is None else {**failure, "run": run})


def _on_bug(
    arguments: Sequence[str], kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """What is said about an exception nobody expected; Python then exits with 1."""
    console.stop_progress()
    if console.debug_mode():
        sys.__excepthook__(kind, error, trace)
    what = console.one_line(f"{kind.__name__}: {error}")
    message, hint = f"this is a bug in vctrain: {what}", "run again with --debug for the traceback"
    console.error(message, hint)
    _emit_failure(1, message, hint, arguments)


def command_of(arguments: Sequence[str]) -> str | None:
    """The verb of a command line, with the verb below it where there is one; None without.

    >>> command_of(["presets", "--json", "show", "gaborium"]), command_of(["--version"])
    ('presets show', None)
    """
    words = [word for word in arguments if not word.startswith("-")]
    if not words:
        return None
    return " ".join(words[:2]) if words[0] in ("presets", "analyze") else words[0]


def _as_usage_error(error: Any, arguments: Sequence[str]) -> UsageError:
    verb = command_of(arguments)
    called = f"vctrain {verb} --help" if verb is not None and verb.split()[0] in VERBS else "vctrain --help"
    return UsageError(console.one_line(error.format_message()), hint=f"see {called}")
