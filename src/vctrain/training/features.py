"""What does a frozen vision make of the movie? Computed once for the same content, and kept for every later run.

What leaves the convnet at a frame depends on that frame and the few before it, wherever it lies in a clip; so it is
kept frame by frame. Modulator and recurrent stage may learn, or remember: they run on what is kept.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vctrain
from vctrain import console, models
from vctrain.config.legacy import LegacyModelConfig
from vctrain.config.locate import cache_root
from vctrain.config.schema import Settings
from vctrain.data.features import Shape, StoredFeatures, keep, kept, sweep
from vctrain.data.intervals import Intervals
from vctrain.data.locking import alone
from vctrain.data.session import Session
from vctrain.data.stimulus_cache import content_digest
from vctrain.errors import FaultError, NumericsError, UsageError
from vctrain.models.build import AnyTwin
from vctrain.models.legacy.twin import LegacyTwin
from vctrain.training.engine import autocast, device_of
from vctrain.training.freezing import digest_of
from vctrain.training.loading import VISION

_VERSION = 1
"""Raised whenever the same content gives other numbers."""
PIECE_FRAMES = 256
"""Frames computed in one pass."""
FLAG = "--cache-features"


@dataclass(frozen=True)
class Planned:
    """The features of one session."""

    session: int
    folder: Path
    frames: Intervals
    shape: Shape
    there: bool
    """Whether they were kept before."""

    @property
    def n_bytes(self) -> int:
        """On disk, but for a few hundred that say what they are."""
        return 4 * int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class FeaturePlan:
    """Which features a run reads, and where they are."""

    sessions: tuple[Planned, ...]
    root: Path
    accelerator: str
    precision: str

    def n_bytes(self, there: bool | None = None) -> int:
        """Of all features; or of those that are there, or are not."""
        return sum(planned.n_bytes for planned in self.sessions if there in (None, planned.there))

    def report(self) -> dict[str, Any]:
        """In plain types."""
        return {
            "folder": str(self.root),
            "bytes": self.n_bytes(),
            "reused": self.n_bytes(there=True),
            "written": self.n_bytes(there=False),
        }

    def __str__(self) -> str:
        missing, there = self.n_bytes(there=False), self.n_bytes(there=True)
        parts = [f"{there:,} bytes are reused"] if there else []
        parts += [f"{missing:,} bytes are to be written, {_free(self.root):,} are free"] if missing else []
        return f"features of {len(self.sessions)} sessions need {self.n_bytes():,} bytes in {self.root}: " + ", ".join(
            parts
        )

    def check_space(self) -> None:
        """Raises FaultError if the disk has less space than is to be written."""
        missing, free = self.n_bytes(there=False), _free(self.root)
        if missing > free:
            raise FaultError(
                f"{FLAG}: {missing:,} bytes of features are to be written to {self.root}, and {free:,} are free",
                hint=f"free space there, set VCTRAIN_CACHE to a folder with more, or leave out {FLAG}",
            )


def plan_features(settings: Settings, twin: AnyTwin, sessions: Sequence[Session], accelerator: str) -> FeaturePlan:
    """What is to be kept of ``sessions``, and what of it is there.

    Raises UsageError if a part of what would be kept learns, or does not depend on frames alone.
    """
    check_frozen(twin)
    root = cache_root() / "features"
    found = []
    for session in sessions:
        segments = np.concatenate([session.segments("train"), session.segments("val")])
        segments = segments[np.argsort(segments[:, 0])]
        frames = Intervals(np.stack([segments[:, 0] + twin.vision_history, segments[:, 1]], 1))
        shape = (frames.total, *twin.seen_shape(session.index))
        folder = root / _key(settings, twin, session, frames, accelerator)
        found.append(Planned(session.index, folder, frames, shape, kept(folder, shape) is not None))
    return FeaturePlan(tuple(found), root, accelerator, settings.trainer.precision)


def check_frozen(twin: AnyTwin) -> None:
    """Raises UsageError unless what leaves the convnet stays what it is for the whole run."""
    if not twin.reads_stimulus:
        raise UsageError(f"{FLAG}: the model reads no stimulus, so it has no features of it", hint="leave it out")
    if isinstance(twin, LegacyTwin) and twin.reads_slots:
        stage = "modulator" if twin.recurrent is None else "recurrent stage"
        raise UsageError(
            f"{FLAG}: the {stage} of this legacy model reads the convnet at every lag of a window, not frame by frame",
            hint="leave it out",
        )
    learning = [
        name
        for name, adapter in zip(twin.names, twin.adapters, strict=True)
        if any(parameter.requires_grad for parameter in adapter.parameters())
    ]
    if learning:
        more = f" and {len(learning) - 3} more" if len(learning) > 3 else ""
        raise UsageError(
            f"{FLAG}: the adapter would learn of session {', '.join(learning[:3])}{more}",
            hint="add --freeze-vision, and --freeze adapters for sessions that the checkpoint does not know",
        )
    for part in VISION[1:]:
        stage = getattr(twin, part)
        if stage is not None and any(parameter.requires_grad for parameter in stage.parameters()):
            raise UsageError(f"{FLAG}: the {part} would learn", hint="add --freeze-vision or --freeze core")


def fill(
    plan: FeaturePlan, twin: AnyTwin, sessions: Sequence[Session], rank: int, world_size: int
) -> dict[int, StoredFeatures]:
    """The features of all sessions, by index; what is not there is computed and kept.

    Every process calls this: each computes sessions of its own first, and finds those of the others complete. Raises
    FaultError if they cannot be written, NumericsError if they are not finite.
    """
    console.note(str(plan))
    by_index = {session.index: session for session in sessions}
    # each process begins with its own share
    order = sorted(plan.sessions, key=lambda planned: (planned.session - rank) % world_size)
    try:
        for planned in order:
            if kept(planned.folder, planned.shape) is None:
                _make(plan, planned, twin, by_index[planned.session])
    except OSError as error:
        raise FaultError(
            f"{FLAG}: cannot write features to {plan.root}: {error.strerror or error}",
            hint=f"free space there, set VCTRAIN_CACHE to a folder you may write to, or leave out {FLAG}",
        ) from error
    return {planned.session: _stored(planned, twin.seen_before) for planned in plan.sessions}


def _stored(planned: Planned, before: int) -> StoredFeatures:
    found = kept(planned.folder, planned.shape)
    if found is None:
        raise FaultError(f"{planned.folder} vanished while it was read", hint="start again")
    return StoredFeatures(planned.frames, *found, before)


def _make(plan: FeaturePlan, planned: Planned, twin: AnyTwin, session: Session) -> None:
    plan.root.mkdir(parents=True, exist_ok=True)
    with alone(planned.folder.with_name(f".{planned.folder.name}.lock")) as nobody_else:
        if kept(planned.folder, planned.shape) is not None:
            return
        if nobody_else:
            sweep(planned.folder)
        begin = time.monotonic()
        about = {
            "session": session.name,
            "recordings": [str(recording.path) for recording in session.recordings],
            "vctrain": vctrain.__version__,
        }
        keep(planned.folder, planned.shape, _computed(plan, planned, twin, session), about)
        console.note(
            f"features of {session.name}: {planned.n_bytes:,} bytes of {planned.frames.total:,} frames written in "
            f"{time.monotonic() - begin:.1f} s"
        )


def _computed(plan: FeaturePlan, planned: Planned, twin: AnyTwin, session: Session) -> Iterator[torch.Tensor]:
    """The features of one session in order, ``(n, h, w, C)`` on the CPU."""
    device = device_of(plan.accelerator)
    twin.to(device)
    try:
        for start, stop in planned.frames.chunks(PIECE_FRAMES):
            part = session.gather([start], context=twin.vision_history, frames=stop - start).to(device)
            with torch.no_grad(), autocast(device, plan.precision):
                seen = twin.see(part)[0]
            if not bool(seen.isfinite().all()):
                raise NumericsError(
                    f"{FLAG}: features of session {session.name}, frames {start} to {stop}, are not finite",
                    hint="use --set trainer.precision=32-true, or another checkpoint",
                )
            yield seen.cpu()
    finally:
        twin.to("cpu")


def _free(root: Path) -> int:
    """Bytes free where `root` is or will be."""
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    return shutil.disk_usage(there).free


def _key(settings: Settings, twin: AnyTwin, session: Session, frames: Intervals, accelerator: str) -> str:
    """What the features depend on, in 32 digits: weights and settings of the vision, the movie and what is done to it,
    frames, precision and versions. Names and places of sessions and files are not among it."""
    described = {
        "version": [_VERSION, vctrain.__version__, str(torch.__version__), _code()],
        "computed": [accelerator, settings.trainer.precision],
        "model": _vision_config(twin, session),
        "history": twin.vision_history,
        "weights": _weights(twin, session.index),
        "movie": [
            [op.model_dump(mode="json") for op in session.chain.ops],
            sorted(session.chain.maxima.items()),
            [[content_digest(recording), recording.factor] for recording in session.recordings],
        ],
        "frames": hashlib.sha256(np.ascontiguousarray(frames.table, "<i8").tobytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


def _vision_config(twin: AnyTwin, session: Session) -> Any:
    if isinstance(twin.config, LegacyModelConfig):
        return twin.config.model_dump(mode="json")
    own = (session.own_adapter or twin.config.adapter, twin.config.frontend, twin.config.convnet)
    return [twin.grid, *(part.model_dump(mode="json") for part in own)]


def _weights(twin: AnyTwin, session: int) -> str:
    """A digest of the tensors of frontend, convnet and the adapter of a session, whatever the session's place."""
    own = f"adapters.{session}."
    return digest_of(
        {
            name.replace(own, "adapter.", 1): value
            for name, value in twin.state_dict().items()
            if name.startswith((own, "frontend.", "convnet."))
        }
    )


@cache
def _code() -> str:
    """A digest of the modules that compute features."""
    digest = hashlib.sha256()
    for source in sorted(Path(str(models.__file__)).parent.rglob("*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()
