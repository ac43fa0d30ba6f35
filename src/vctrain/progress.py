"""How far is a training: a live panel on a terminal, otherwise a line a minute and one an epoch?"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from vctrain import console, sparklines

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.progress import Progress, TaskID

LINE_SECONDS = 60.0
"""Away from a terminal, training says how far it is once in so many seconds."""


class TrainingProgress:
    """How far a training is: a live bar on a terminal (stderr), otherwise a line a minute and what `line` says.

    ``clock`` returns seconds and is replaced in tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bar: Progress | None = None
        self._live: Live | None = None
        self._figures = ""
        self._curves: Mapping[str, Sequence[float]] = {}
        self._task: TaskID | None = None
        self._total = 0
        self._label = ""
        self._first: tuple[float, int] | None = None
        self._said = 0.0

    def start(self, total_steps: int, label: str) -> None:
        """Begin a bar of ``total_steps`` steps called ``label``."""
        self.stop()
        self._total, self._label, self._first = total_steps, label, None
        self._said = self._clock()
        if not console.may_be_live():
            return
        from rich import live, progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=20),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[speed]}", style="dim", markup=False),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left", style="dim"),
            progress.TimeRemainingColumn(elapsed_when_finished=False),
            console=console.rich_on(sys.stderr),
        )
        self._task = self._bar.add_task(label, total=total_steps, speed="")
        self._live = live.Live(
            console=self._bar.console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=self._panel,
        )
        console.set_live(self)
        self._live.start()

    def step(self, done: int, text: Mapping[str, str]) -> None:
        """``done`` steps are behind us; ``text`` holds figures by name, such as ``{"loss": "0.31"}``."""
        figures = "  ".join(f"{name} {value}" for name, value in text.items())
        if self._bar is not None and self._task is not None:
            speed = self._bar.tasks[0].speed
            shown = "" if speed is None else f"{speed:.3g} steps/s"
            self._bar.update(self._task, completed=done, speed=shown)
            self._figures = figures
            return
        now = self._clock()
        if self._first is None:
            self._first = (now, done)
        if now - self._said >= LINE_SECONDS:
            self._said = now
            console.note(
                "  ".join(filter(None, [f"{self._label} {done}/{self._total}", figures, self._pace(now, done)]))
            )

    def curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        """How figures went until now, by name: a sparkline each below the bar; nothing away from a terminal."""
        self._curves = curves

    def _panel(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        assert self._bar is not None
        width, height = self._bar.console.size
        blocks = sparklines.has_blocks(getattr(self._bar.console.file, "encoding", None))
        lines = sparklines.panel(self._curves, width, min(height // 3, 12), blocks)
        below = [*filter(None, [self._figures]), *lines]
        return Group(self._bar, *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in below))

    def line(self, text: str) -> None:
        """A line that stays, above the bar: one an epoch."""
        self._said = self._clock()
        console.note(text)

    def stop(self) -> None:
        """Take the bar off the terminal; stopping twice is harmless."""
        console.unset_live(self)
        live, self._live = self._live, None
        if live is not None:
            live.stop()
        self._bar, self._task = None, None

    def print(self, text: str, style: str) -> None:
        """Write a line above the live bar."""
        if self._bar is not None:
            self._bar.console.print(text, style=style or None, markup=False, highlight=False, soft_wrap=True)

    def _pace(self, now: float, done: int) -> str:
        if self._first is None or done <= self._first[1] or now <= self._first[0]:
            return ""
        rate = (done - self._first[1]) / (now - self._first[0])
        left = (self._total - done) / rate
        return f"{rate:.1f} steps/s  {datetime.timedelta(seconds=round(left))} left"
