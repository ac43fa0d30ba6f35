"""Where in a run directory are its pictures, and what waits to be drawn?

``plots/step=000012-kernels.png`` is a picture of the twin after optimizer step 12. What waits is a second name of the
checkpoint of its step, ``plots/.step=000012.ckpt``: whoever draws it needs nothing of the training, which may be many
steps further by then, or gone.
"""

from __future__ import annotations

import re
from pathlib import Path

from vctrain.runs.checkpoint_files import link_or_copy

FOLDER = "plots"
_WAITING = re.compile(r"\.step=(\d+)\.ckpt")
_DRAWN = re.compile(r"step=(\d+)-[a-z]+\.png")


def is_due(epoch: int, every: int) -> bool:
    """Whether there are pictures after ``epoch`` (0-based); never with ``every`` 0.

    >>> [epoch for epoch in range(6) if is_due(epoch, 2)]
    [1, 3, 5]
    """
    return every > 0 and (epoch + 1) % every == 0


def picture_file(step: int, name: str) -> str:
    """The picture ``name`` (lower-case letters) of a step, relative to the run directory."""
    return f"{FOLDER}/step={step:06d}-{name}.png"


def let_wait(run_dir: Path, step: int, checkpoint: Path) -> None:
    """Have ``checkpoint``, that of ``step``, drawn; OSError where the disk does not take it."""
    folder = run_dir / FOLDER
    folder.mkdir(exist_ok=True)
    # appears whole: who draws looks at any time
    fresh = folder / f".step={step:06d}.part"
    link_or_copy(checkpoint, fresh)
    fresh.replace(folder / f".step={step:06d}.ckpt")
    # a rename does nothing between two names of one file
    fresh.unlink(missing_ok=True)


def waiting(run_dir: Path) -> list[tuple[int, Path]]:
    """What waits to be drawn: steps, in order, and their checkpoints."""
    return _of_steps(run_dir, _WAITING)


def forget_waiting(run_dir: Path) -> None:
    """Nothing waits any more; OSError where that cannot be."""
    for part in (run_dir / FOLDER).glob(".step=*.part"):
        part.unlink(missing_ok=True)
    for _, path in waiting(run_dir):
        path.unlink(missing_ok=True)


def forget_after(run_dir: Path, step: int, *, validated: bool) -> None:
    """Remove pictures, drawn and waiting, of steps that a run takes again: those after ``step``, and those of ``step``
    unless it is ``validated``."""
    for found, path in (*_of_steps(run_dir, _WAITING), *_of_steps(run_dir, _DRAWN)):
        if found >= step + validated:
            path.unlink(missing_ok=True)


def _of_steps(run_dir: Path, name: re.Pattern[str]) -> list[tuple[int, Path]]:
    folder = run_dir / FOLDER
    if not folder.is_dir():
        return []
    return sorted((int(match[1]), path) for path in folder.iterdir() if (match := name.fullmatch(path.name)))
