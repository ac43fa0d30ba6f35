"""What a checkpoint holds, and how it is found, read and written."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

import vctrain
from vctrain.config.components.heads import SessionHeads
from vctrain.config.legacy import LegacyModelConfig, read_model_config
from vctrain.config.legacy_parts import LegacyAdapter
from vctrain.config.model import ModelConfig
from vctrain.config.schema import Settings
from vctrain.config.stored import check_stored
from vctrain.data.torchfile.reading import read_torch_file
from vctrain.errors import ContractError, UsageError, VctrainError
from vctrain.models.build import AnyTwin, build_twin
from vctrain.models.shapes import StoredShape
from vctrain.runs.bounds import Bounded
from vctrain.runs.files import write_new

FORMAT = 2
"""Version of the ``vctrain`` entry of a checkpoint."""
UNKNOWN_SIDE = 51
"""Rows and columns of a stimulus of which nothing is known."""
_PREFIX = "twin."
"""Of the twin's tensors in a training checkpoint, and so in all."""


def content(
    settings: Settings,
    sessions: list[dict[str, Any]],
    context: int,
    model: ModelConfig | LegacyModelConfig | None = None,
) -> dict[str, Any]:
    """The self-description stored under ``vctrain``: plain types only, so the file loads with
    ``weights_only=True``.

    ``model`` is that of the settings unless it is given.
    """
    return {
        "format": FORMAT,
        "model": (model or settings.model).model_dump(mode="json"),
        "settings": settings.model_dump(mode="json", exclude=None if model is None else {"model"}),
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
    model: ModelConfig | LegacyModelConfig
    sessions: tuple[dict[str, Any], ...]
    settings: Settings
    content: dict[str, Any]
    epoch: int | None = None
    step: int | None = None
    resumable: bool = False
    """Whether it holds the state of a training."""

    def build(self) -> AnyTwin:
        """The twin with its weights; every stored tensor is used and none is missing, else `ContractError`."""
        try:
            with Bounded(self.weights.values(), str(self.path)):
                twin = build_twin(self.model, [shape_of(session, self.model) for session in self.sessions])
        except UsageError as error:
            # settings of a file are not the user's mistake
            raise ContractError(f"{self.path}: {error.message}", hint=error.hint) from error
        load_exactly(twin, self.weights, str(self.path), _writer(self.content))
        return twin.eval()


def load_exactly(twin: torch.nn.Module, weights: Mapping[str, Tensor], where: str, writer: str) -> None:
    """Put ``weights`` into ``twin``; `ContractError` unless names and shapes are the same on both sides."""
    wrong = misfits(twin.state_dict(), weights)
    if wrong:
        raise ContractError(
            f"{where}: {len(wrong)} tensors do not fit the stored model config: {'; '.join(wrong[:4])}",
            hint=f"the file was written by another version or edited; use the vctrain version named in it ({writer})",
        )
    twin.load_state_dict(dict(weights))


def misfits(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """What is missing, unknown or of another shape in ``given``, each in a few words."""
    return sorted(
        [f"missing {name}" for name in own.keys() - given.keys()]
        + [f"unknown {name}" for name in given.keys() - own.keys()]
        + [
            f"{name} is {tuple(given[name].shape)}, expected {tuple(own[name].shape)}"
            for name in own.keys() & given.keys()
            if own[name].shape != given[name].shape
        ]
    )


def shape_of(session: Mapping[str, Any], model: ModelConfig | LegacyModelConfig) -> StoredShape:
    """The sizes of a stored session.

    A migrated checkpoint may not know its stimulus size; the size after its adapter then stands for it, or where there
    is none `UNKNOWN_SIDE`, which only the placing of masks at the start of a training looks at. A twin that reads no
    stimulus has a grid of one pixel.
    """
    heads = SessionHeads.model_validate({key: session[key] for key in ("adapter", "readout")})
    size = session["size"]
    if size is None and isinstance(model, LegacyModelConfig):
        adapter = model.adapter_of(session["name"])
        side = adapter.params.grid_size if isinstance(adapter, LegacyAdapter) else UNKNOWN_SIDE
        size = (side, side)
    elif size is None and not model.reads_stimulus:
        size = (1, 1)
    return StoredShape(
        name=session["name"],
        n_units=len(session["cids"]),
        height=int(size[0]),
        width=int(size[1]),
        behavior_dim=int(session["behavior_dim"] or 0),
        own_adapter=heads.adapter,
        own_readout=heads.readout,
    )


def find_checkpoint(target: str | Path) -> Path:
    """A checkpoint file as given, or the best one of a run directory (the last one before any validation).

    Raises ContractError where there is none.
    """
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
    """Read a checkpoint written by vctrain: a training's ``.ckpt``, or a ``.pt`` of ``export`` or ``migrate-ckpt``.

    Never runs code from it. Raises `ContractError` for a missing, damaged or foreign file.
    """
    path = find_checkpoint(target)
    raw = read_torch_file(path, "a checkpoint").content
    if not isinstance(raw, dict) or not isinstance(raw.get("vctrain"), dict):
        of_old = isinstance(raw, dict) and "state_dict" in raw
        raise ContractError(
            f"{path}: not a vctrain checkpoint (no 'vctrain' entry)",
            hint="if an earlier system wrote it, use vctrain migrate-ckpt first"
            if of_old
            else "give a .ckpt of a vctrain run directory",
        )
    stored: dict[str, Any] = raw["vctrain"]
    state: Any = raw.get("state_dict")
    if stored.get("format") != FORMAT:
        raise ContractError(
            f"{path}: checkpoint format {stored.get('format')}, this version reads {FORMAT}",
            hint="upgrade vctrain, or use the version that wrote it",
        )
    try:
        check_stored(stored)
        weights = {name.removeprefix(_PREFIX): _tensor(name, value) for name, value in state.items()}
        model = read_model_config(stored["model"])
        settings = Settings.model_validate(_without_legacy_model(stored["settings"], model))
        sessions = tuple(dict(session) for session in stored["sessions"])
    except (AttributeError, KeyError, TypeError, ValueError, VctrainError) as error:  # pydantic's is a ValueError
        raise ContractError(
            f"{path}: its self-description cannot be used ({_reason(error)})",
            hint=f"it was written by vctrain {_writer(stored)}; use that version, or another checkpoint of the run",
        ) from error
    return Checkpoint(
        path,
        weights,
        model,
        sessions,
        settings,
        stored,
        epoch=_counter(raw.get("epoch")),
        step=_counter(raw.get("global_step")),
        resumable="optimizer_states" in raw,
    )


def _without_legacy_model(settings: Mapping[str, Any], model: ModelConfig | LegacyModelConfig) -> dict[str, Any]:
    """Settings describe current models; that of a migrated checkpoint stands beside them."""
    return {key: value for key, value in settings.items() if key != "model" or isinstance(model, ModelConfig)}


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:160]
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _writer(stored: Mapping[str, Any]) -> str:
    versions = stored.get("versions")
    found = versions.get("vctrain") if isinstance(versions, dict) else None
    return found if isinstance(found, str) and found.isprintable() else "unknown"


def _counter(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor) or not name.isprintable():
        raise TypeError(f"{ascii(name)[:80]} is no tensor")
    return value


def write_portable(
    path: Path,
    weights: Mapping[str, Tensor],
    stored: Mapping[str, Any],
    *,
    beside: Mapping[str, Any] | None = None,
    accept: Callable[[Checkpoint], Any] = Checkpoint.build,
) -> None:
    """Write a ``.pt``: weights and self-description without the state of a training, and what is ``beside`` them.

    The written file is read again and given to ``accept``; what that raises (by default if no twin can be built) leaves
    no file behind. Never replaces a file: UsageError if there is one at ``path``.
    """
    state = {
        _PREFIX + name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in weights.items()
    }

    def write(part: Path) -> None:
        # opened here, so that a full disk or a missing permission is an OSError
        with part.open("xb") as file:
            torch.save({"state_dict": state, "vctrain": dict(stored), **(beside or {})}, file)
        accept(read_checkpoint(part))

    write_new(path, write)
