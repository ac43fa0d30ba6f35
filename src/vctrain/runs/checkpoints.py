"""What a checkpoint holds, and how it is found and read."""

from __future__ import annotations

import pickle
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import vctrain
from vctrain.config.components.heads import SessionHeads
from vctrain.config.model import ModelConfig
from vctrain.config.schema import Settings
from vctrain.errors import ContractError
from vctrain.models.twin import StoredShape, Twin

FORMAT = 1
"""Version of the ``vctrain`` entry of a checkpoint."""


def content(settings: Settings, sessions: list[dict[str, Any]], context: int) -> dict[str, Any]:
    """The self-description stored under ``vctrain``: plain types only, so the file loads with
    ``weights_only=True``."""
    return {
        "format": FORMAT,
        "model": settings.model.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "sessions": sessions,
        "context": context,
        "versions": {
            "vctrain": vctrain.__version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    }


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read from disk: weights without prefix, model config, sessions in module order, settings."""

    path: Path
    weights: dict[str, Tensor]
    model: ModelConfig
    sessions: tuple[dict[str, Any], ...]
    settings: Settings
    content: dict[str, Any]

    def build(self) -> Twin:
        """The twin with its weights; every stored tensor is used and none is missing, else `ContractError`."""
        twin = Twin(self.model, [_shape(session) for session in self.sessions])
        own = twin.state_dict()
        wrong = sorted(
            [f"missing {k}" for k in own.keys() - self.weights.keys()]
            + [f"unknown {k}" for k in self.weights.keys() - own.keys()]
            + [
                f"{k} is {tuple(self.weights[k].shape)}, expected {tuple(own[k].shape)}"
                for k in own.keys() & self.weights.keys()
                if own[k].shape != self.weights[k].shape
            ]
        )
        if wrong:
            raise ContractError(
                f"{self.path}: {len(wrong)} tensors do not fit the stored model config: {'; '.join(wrong[:4])}",
                hint="the file was written by another version or edited; use the vctrain version named in it "
                f"({self.content.get('versions', {}).get('vctrain', 'unknown')})",
            )
        twin.load_state_dict(self.weights)
        return twin.eval()


def _shape(session: dict[str, Any]) -> StoredShape:
    heads = SessionHeads.model_validate({key: session[key] for key in ("adapter", "readout")})
    return StoredShape(
        name=session["name"],
        n_units=len(session["cids"]),
        height=int(session["size"][0]),
        width=int(session["size"][1]),
        behavior_dim=int(session["behavior_dim"]),
        own_adapter=heads.adapter,
        own_readout=heads.readout,
    )


def find_checkpoint(target: str | Path) -> Path:
    """A checkpoint file as given, or the best one of a run directory (the last one before any validation)."""
    path = Path(target)
    if path.is_dir():
        for name in ("best.ckpt", "last.ckpt"):
            if (path / "checkpoints" / name).is_file():
                return path / "checkpoints" / name
        raise ContractError(
            f"{path}: no checkpoints/best.ckpt or checkpoints/last.ckpt there",
            hint="give a run directory in which a checkpoint was written, or a checkpoint file",
        )
    if not path.is_file():
        raise ContractError(f"{path}: no such checkpoint or run directory", hint="check the path")
    return path


def read_checkpoint(target: str | Path) -> Checkpoint:
    """Read a checkpoint written by vctrain; never runs code from it.

    Raises `ContractError` for a missing, damaged or foreign file.
    """
    path = find_checkpoint(target)
    try:
        raw = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ContractError(
            f"{path}: cannot be read as a checkpoint ({first[:160]})",
            hint="it may be truncated or not a vctrain checkpoint; take another one of the run",
        ) from error
    if not isinstance(raw, dict) or not isinstance(raw.get("vctrain"), dict) or "state_dict" not in raw:
        raise ContractError(
            f"{path}: not a vctrain checkpoint (no 'vctrain' entry)", hint="give a .ckpt of a vctrain run directory"
        )
    stored = raw["vctrain"]
    if stored.get("format") != FORMAT:
        raise ContractError(
            f"{path}: checkpoint format {stored.get('format')}, this version reads {FORMAT}",
            hint="upgrade vctrain, or use the version that wrote it",
        )
    weights = {key.removeprefix("twin."): value for key, value in raw["state_dict"].items()}
    try:
        model = ModelConfig.model_validate(stored["model"])
        settings = Settings.model_validate(stored["settings"])
        sessions = tuple(dict(session) for session in stored["sessions"])
    except (KeyError, TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        writer = (stored.get("versions") or {}).get("vctrain", "unknown")
        raise ContractError(
            f"{path}: its self-description cannot be used ({str(error).splitlines()[0][:160]})",
            hint=f"it was written by vctrain {writer}; use that version, or another checkpoint of the run",
        ) from error
    return Checkpoint(path, weights, model, sessions, settings, stored)
