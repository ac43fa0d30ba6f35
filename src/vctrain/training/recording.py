"""Who writes into a run directory, and how do its beginning and its end get into it?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vctrain import console
from vctrain.config.schema import Settings
from vctrain.data.report import report_line, session_report
from vctrain.errors import PreemptedError
from vctrain.runs import directory
from vctrain.runs.lock import locked
from vctrain.runs.supervisor import is_supervised
from vctrain.training.engine import world
from vctrain.training.plan import notes_on
from vctrain.training.prepare import Prepared
from vctrain.training.touched import touched


def keeps_records() -> bool:
    """Whether this process owns the run directory: the one that was called, or rank 0 of those started together."""
    return world()[0] == 0 and not is_supervised()


@contextmanager
def owned(run_dir: Path) -> Iterator[ExitStack]:
    """Hold the run directory's lock, and write into run.json how what happens meanwhile ended.

    What is put on the stack that it gives is called after that: until then signals must not interrupt. Processes that
    do not keep the records pass through.
    """
    with ExitStack() as afterwards:
        if not keeps_records():
            with _interrupts_as_such():
                yield afterwards
            return
        with locked(run_dir):
            try:
                with _interrupts_as_such():
                    yield afterwards
            except BaseException as error:
                _record_failure(run_dir, error)
                raise


@contextmanager
def _interrupts_as_such() -> Iterator[None]:
    """Lightning turns an interrupt into SystemExit; the reason is its context."""
    try:
        yield
    except SystemExit as leaving:
        if isinstance(leaving.__context__, KeyboardInterrupt):
            raise type(leaving.__context__) from leaving
        raise


def _record_failure(run_dir: Path, error: BaseException) -> None:
    states: tuple[tuple[type[BaseException], str], ...] = (
        (PreemptedError, "preempted"),
        (KeyboardInterrupt, "interrupted"),
        (BaseException, "failed"),
    )
    state = next(state for kind, state in states if isinstance(error, kind))
    said = console.one_line(f"{type(error).__name__}: {error}")[:500]
    try:
        directory.update_run(run_dir, state=state, error=None if state == "preempted" else said)
        directory.append_event(run_dir, state, error=said)
    except OSError as failure:
        # the disk may be what failed; the error itself must still be told
        console.warn(f"{run_dir}/run.json could not be updated: {failure.strerror}")


def note_sessions(settings: Settings, prepared: Prepared, run_dir: Path) -> None:
    """Say, and write down, what was opened."""
    for session in prepared.sessions:
        for line in session.notes:
            console.note(line)
        report = session_report(session)
        console.note(report_line(report))
        directory.append_event(run_dir, "opened", **report)
    said = notes_on(settings, prepared.sessions, prepared.sampler)
    for line in (*said, *touched(settings, prepared.twin, prepared.sampler)):
        console.note(line)
