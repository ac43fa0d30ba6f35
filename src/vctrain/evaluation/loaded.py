"""What does a twin predict for arrays: a checkpoint as a Python object?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter
from torch import Tensor

from vctrain.config.transforms import POINTWISE, Operation
from vctrain.data.clips import SessionClips
from vctrain.data.stimulus import StimChain
from vctrain.errors import ContractError, NumericsError, UsageError
from vctrain.models.legacy.twin import LegacyTwin
from vctrain.runs.checkpoints import Checkpoint, read_checkpoint
from vctrain.training.loaders import MOST_EVAL_FRAMES

Floats = NDArray[np.float32]
_OPERATIONS: TypeAdapter[list[Any]] = TypeAdapter(list[Operation])


def load(path: str | Path, device: str | torch.device = "cpu") -> LoadedTwin:
    """A twin from a checkpoint or run directory (its best), current or migrated, ready to predict.

    Runs no code of the file. Raises ContractError for a missing, damaged or foreign one.
    """
    return LoadedTwin(read_checkpoint(path)).to(device)


class LoadedTwin:
    """A trained twin: what it predicts, for which units of which sessions."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.module = checkpoint.build()
        """The torch module, in evaluation mode."""
        self.device = torch.device("cpu")
        self._entries = {str(entry["name"]): entry for entry in checkpoint.sessions}

    @property
    def sessions(self) -> tuple[str, ...]:
        """Names of the sessions that have a readout."""
        return tuple(self._entries)

    @property
    def units(self) -> dict[str, tuple[int, ...]]:
        """The cids of each session, in the order of the columns of `predict`."""
        return {name: tuple(int(cid) for cid in entry["cids"]) for name, entry in self._entries.items()}

    @property
    def context(self) -> int:
        """Frames before the first that can be predicted."""
        return int(self.checkpoint.content["context"])

    @property
    def rate_hz(self) -> dict[str, float | None]:
        """Frames a second that each session was trained at; None where a migrated checkpoint does not know."""
        return {name: entry["rate_hz"] for name, entry in self._entries.items()}

    def to(self, device: str | torch.device) -> LoadedTwin:
        """Move the twin to ``device``; returns itself."""
        self.device = torch.device(device)
        self.module.to(self.device)
        return self

    def predict(
        self,
        stim: ArrayLike | Tensor | None = None,
        behavior: ArrayLike | Tensor | None = None,
        session: str | None = None,
        *,
        robs: ArrayLike | Tensor | None = None,
    ) -> Floats:
        """Rates ``(F, U)`` float32, spikes a bin, of one stretch of F consecutive frames, oldest first.

        Row i is frame i of the stretch. The first `context` rows are NaN: what came before the stretch is not known.

        Args:
            stim: ``(F, H, W)``; uint8 grey levels, 127 = mean grey, or floats as the session's transforms make them (by
                default ``(x - 127) / 255``). None for a twin that reads no stimulus.
            behavior: ``(F, D)``, in the units that the transforms of the session make; needed exactly where the session
                has behaviour.
            session: whose adapter and readout; may be left out where there is one session.
            robs: ``(F, U)`` spikes a bin, needed by a twin that reads the units' own past.

        Raises UsageError for an unknown session and whatever is missing, superfluous or of another shape; ContractError
        for grey levels where the transforms need a whole trial, NumericsError for rates that are not finite.
        """
        name = self._session(session)
        index = self.sessions.index(name)
        given = self._inputs(name, stim, behavior, robs)
        n = len(next(iter(given.values())))
        context, units = self.context, len(self.units[name])
        if n <= context:
            raise UsageError(
                f"{n} frames, and the twin needs {context} before the first it predicts",
                hint=f"give at least {context + 1}",
            )
        rates = np.full((n, units), np.nan, np.float32)
        for start in range(context, n, MOST_EVAL_FRAMES):
            stop = min(start + MOST_EVAL_FRAMES, n)
            with torch.inference_mode():
                rates[start:stop] = (
                    self.module((self._clips(index, units, given, start, stop),))[0][0].float().cpu().numpy()
                )
        if not np.isfinite(rates[context:]).all():
            raise NumericsError(
                f"session {name}: predicted rates are not finite", hint="look at the input for values that are not"
            )
        return rates

    def _clips(self, index: int, units: int, given: dict[str, Tensor], start: int, stop: int) -> SessionClips:
        first = start - self.context
        history = self.module.history_frames
        counts = given.get("robs")
        return SessionClips(
            session=index,
            stim=given["stim"][None, first:stop] if "stim" in given else None,
            robs=torch.zeros(1, stop - start, units),
            dfs=torch.ones(1, stop - start, 1),
            behavior=given["behavior"][None, first:stop] if "behavior" in given else None,
            history=None if counts is None else counts[None, start - history : stop],
        ).to(self.device)

    def _session(self, session: str | None) -> str:
        if session is None and len(self.sessions) == 1:
            return self.sessions[0]
        if session not in self._entries:
            named = "no session named" if session is None else f"no session {session!r}"
            shown = ", ".join(self.sessions[:6]) + (" ..." if len(self.sessions) > 6 else "")
            raise UsageError(f"{self.checkpoint.path}: {named}", hint=f"one of {shown}")
        return session

    def _inputs(self, name: str, stim: Any, behavior: Any, robs: Any) -> dict[str, Tensor]:
        """What the twin reads, as tensors of one length; what it does not is refused."""
        entry = self._entries[name]
        columns, units = int(entry["behavior_dim"] or 0), len(entry["cids"])
        needs_stim, needs_robs = self.module.reads_stimulus, self.module.history_frames > 0
        wanted = {"stim": needs_stim, "behavior": columns > 0, "robs": needs_robs}
        given = {"stim": stim, "behavior": behavior, "robs": robs}
        for what, needed in wanted.items():
            if needed and given[what] is None:
                raise UsageError(f"session {name}: {what} is missing, and the twin reads it", hint=f"give {what}=")
            if not needed and given[what] is not None:
                raise UsageError(f"session {name}: the twin reads no {what}", hint=f"leave {what} out")
        found = {what: torch.as_tensor(value) for what, value in given.items() if value is not None}
        size = entry["size"]
        shapes: dict[str, tuple[int | None, ...]] = {
            "stim": (None, None) if size is None else (int(size[0]), int(size[1])),
            "behavior": (columns,),
            "robs": (units,),
        }
        lengths = {len(value) if value.ndim else 0 for value in found.values()}
        for what, value in found.items():
            expected = ("F", *("?" if side is None else side for side in shapes[what]))
            fits = value.ndim == len(expected) and all(
                want is None or want == got for want, got in zip(shapes[what], value.shape[1:], strict=True)
            )
            if not fits or len(lengths) > 1:
                raise UsageError(
                    f"session {name}: {what} has shape {tuple(value.shape)}, expected {expected}".replace("'", ""),
                    hint="all arrays begin at the same frame and have F frames",
                )
        if "stim" in found:
            found["stim"] = self._contrast(name, found["stim"])
        return {what: value if what == "stim" else value.float() for what, value in found.items()}

    def _contrast(self, name: str, stim: Tensor) -> Tensor:
        """The movie as twins take it, ``(F, H, W)`` float32."""
        if stim.is_floating_point():
            return stim.float()
        if stim.dtype != torch.uint8:
            raise UsageError(
                f"session {name}: stim is {str(stim.dtype).removeprefix('torch.')}", hint="give uint8 or floats"
            )
        transforms = self._entries[name]["transforms"]
        ops: Sequence[Any] = [] if transforms is None else _OPERATIONS.validate_python(transforms["stim"])
        if not all(isinstance(op, POINTWISE) for op in ops):
            raise ContractError(
                f"session {name}: its transforms look at more than one pixel of one frame at a time",
                hint="give stim as floats, as these transforms make it, or use vctrain predict on the recording",
            )
        if not ops:
            return (stim.float() - 127) / 255
        return StimChain(ops).levels()[stim.int()]

    def __repr__(self) -> str:
        units = sum(map(len, self.units.values()))
        kind = "legacy twin" if isinstance(self.module, LegacyTwin) else "twin"
        lines = [
            f"{kind} of {len(self.sessions)} sessions, {units} units, context {self.context} frames",
            f"from {self.checkpoint.path}",
        ]
        lines += [
            f"  {name}: {len(cids)} units, {self._describe(self._entries[name])}"
            for name, cids in list(self.units.items())[:8]
        ]
        return "\n".join([*lines, *(["  ..."] if len(self.sessions) > 8 else [])])

    def _describe(self, entry: dict[str, Any]) -> str:
        size, rate, behavior = entry["size"], entry["rate_hz"], entry["behavior_dim"]
        seen = "no stimulus" if not self.module.reads_stimulus else "stimulus of unknown size"
        if size is not None and self.module.reads_stimulus:
            seen = f"stimulus {size[0]}x{size[1]}"
        parts = [seen, f"{rate:g} Hz" if rate else "", f"{behavior} behaviour columns" if behavior else "no behaviour"]
        return ", ".join(filter(None, parts))
