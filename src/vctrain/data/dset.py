"""What is in a `.dset` file, read without copying it and without running anything it holds?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vctrain.data.inert import Inert
from vctrain.data.torchfile.reading import read_torch_file
from vctrain.errors import ContractError

_MAKE = "save it again with torch.save({'covariates': {name: tensor}, 'metadata': {...}}, path)"


@dataclass(frozen=True)
class Dset:
    """One recording: covariates by name, first axis = frames, mapped from the file."""

    path: Path
    covariates: dict[str, torch.Tensor]
    metadata: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def open_dset(path: str | Path) -> Dset:
    """The recording at `path`, memory-mapped.

    Foreign objects in the metadata (numpy scalars, paths, dates) are left unread and named in `notes`. Raises
    ContractError, naming the file, for one that is missing, truncated, not a `.dset`, holds a covariate that is
    not a tensor, or asks for code to run.
    """
    path = Path(path)
    if not path.is_file():
        raise ContractError(f"{path} is not there", hint="check the path, or --data-root")
    stored = read_torch_file(path, "a .dset", mapped=True)
    content = stored.content
    # helpers that a pickle calls on the way (_reconstruct, dtype) say nothing to a reader
    helpers = ("_", "dtype", "encode")
    foreign = sorted(name for name in stored.foreign if not name.rpartition(".")[2].startswith(helpers))
    if not isinstance(content, Mapping) or not isinstance(content.get("covariates"), Mapping):
        raise ContractError(f"{path} holds no covariates", hint=_MAKE)
    covariates: dict[str, torch.Tensor] = {}
    for name, value in content["covariates"].items():
        if not isinstance(name, str):
            raise ContractError(f"{path} names a covariate {name!r}, which is not text", hint=_MAKE)
        covariates[name] = _tensor(path, name, value)
    metadata = content.get("metadata", {})
    notes = [f"{path}: foreign objects in its metadata are left unread ({', '.join(foreign)})"] if foreign else []
    if not isinstance(metadata, dict):
        notes.append(f"{path}: metadata is {type(metadata).__name__}, not a mapping; left unread")
        metadata = {}
    return Dset(path, covariates, {str(key): value for key, value in metadata.items()}, notes)


def _tensor(path: Path, name: str, value: object) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        kind = value.what if isinstance(value, Inert) else f"{type(value).__module__}.{type(value).__qualname__}"
        raise ContractError(
            f"{path}: covariate {name} is {kind.removeprefix('builtins.')}, not a tensor",
            hint="store torch.as_tensor(...) of it",
        )
    if value.layout is not torch.strided or value.is_quantized or value.device.type != "cpu" or value.dtype.is_complex:
        raise ContractError(
            f"{path}: covariate {name} is a {value.layout} {value.dtype} tensor on {value.device}",
            hint="store a plain dense tensor on the cpu",
        )
    return value.detach()
