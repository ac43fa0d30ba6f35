"""Which gain and offset of each unit fit the training frames best, so that evaluation may apply them?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap

from vctrain.data.session import Session
from vctrain.errors import ContractError
from vctrain.evaluation.rates import rates_of
from vctrain.metrics.rescaling import Affine, Block, fit_affine
from vctrain.models.build import AnyTwin

_ROWS = 32_768
_KINDS = {"rhat": "<f4", "robs": "<f4", "dfs": "|b1"}


def rescaling(twin: AnyTwin, sessions: Sequence[Session], device: torch.device) -> dict[str, Affine]:
    """Gain and offset of each unit by session, fitted to all scored training frames.

    Never to the frames that are evaluated (unless these are trained on): two numbers a unit would flatter it there.
    Rates wait in temporary files, 9 bytes an entry; memory does not grow with frames. ContractError for a session
    without training frames.
    """
    return {session.name: _of_session(twin, session, device) for session in sessions}


def _of_session(twin: AnyTwin, session: Session, device: torch.device) -> Affine:
    n = session.n_scored("train")
    if n == 0:
        raise ContractError(
            f"session {session.name}: no training frame to fit gain and offset to", hint="leave out --rescale"
        )
    with tempfile.TemporaryDirectory(prefix="vctrain-rates-") as folder:
        arrays = {
            name: open_memmap(Path(folder) / f"{name}.npy", "w+", np.dtype(kind), (n, session.n_units))
            for name, kind in _KINDS.items()
        }
        for rows in rates_of(twin, session, "train", device):
            for name, array in arrays.items():
                array[rows.first : rows.first + len(rows.frames)] = getattr(rows, name)
        return fit_affine(lambda: _blocks(arrays, n))


def _blocks(arrays: Mapping[str, Any], n: int) -> Iterator[Block]:
    for start in range(0, n, _ROWS):
        rows = slice(start, start + _ROWS)
        yield arrays["rhat"][rows], arrays["robs"][rows], arrays["dfs"][rows]
