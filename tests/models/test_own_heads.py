"""A session may bring its own adapter and readout; the core's grid stays one."""

from __future__ import annotations

import pytest
import torch
from made_twins import clips, config, twin

from vctrain.config.components.adapters import AffineAdapter, NoAdapter
from vctrain.config.components.readouts import GaussianReadout
from vctrain.data.clips import SessionClips
from vctrain.errors import UsageError
from vctrain.models.adapter import SessionAdapter, contrast, normalise
from vctrain.models.readout import GaussianMaskReadout
from vctrain.models.twin import StoredShape, Twin


def shapes(*own: tuple[object, object], side: int = 12) -> list[StoredShape]:
    return [StoredShape(f"S{i}", 2, side, side, 0, *heads) for i, heads in enumerate(own)]


def test_a_session_has_its_own_heads_and_the_others_the_models() -> None:
    own = (AffineAdapter(init_sigma=2.0, transform="affine"), GaussianReadout(bias=False, init_std=2.5))
    built = Twin(config(), shapes((None, None), own))
    first, second = built.adapters
    assert isinstance(first, SessionAdapter)
    assert isinstance(second, SessionAdapter)
    assert {name for name, _ in second.named_parameters()} != {name for name, _ in first.named_parameters()}
    plain, changed = built.readouts
    assert isinstance(changed, GaussianMaskReadout)
    assert changed.bias is None
    assert plain.bias is not None
    assert changed.std.eq(2.5).all()
    rates = built([clips(0, 1, built.context + 3, 3, 2), clips(1, 1, built.context + 3, 3, 2)])
    assert [tuple(rate.shape) for rate in rates] == [(1, 3, 2), (1, 3, 2)]


MODELS = {"type": "adapter", "grid_size": 12}


def test_one_grid_for_all() -> None:
    with pytest.raises(UsageError, match=r"session S1: adapter\.grid_size is 9, that of other sessions 12"):
        Twin(
            config(adapter={"type": "adapter", "grid_size": 12}),
            shapes((None, None), (AffineAdapter(grid_size=9), None)),
        )
    with pytest.raises(UsageError, match="adapter none needs square stimuli of one size"):
        Twin(config(adapter={"type": "adapter", "grid_size": 9}), shapes((None, None), (NoAdapter(), None)))
    assert Twin(config(), shapes((None, None), (NoAdapter(), None))).grid == 12


def test_contrast_is_the_table_the_movie_or_the_norm() -> None:
    part = clips(0, 2, 5, 3, 2)
    assert contrast(part).equal(normalise(part.stim))
    table = torch.linspace(-3, 9, 256).square()
    tabled = SessionClips(0, part.stim, part.robs, part.dfs, levels=table)
    assert contrast(tabled).equal(table[part.stim.long()])
    computed = SessionClips(0, torch.randn(2, 5, 12, 12), part.robs, part.dfs)
    assert contrast(computed) is computed.stim


def test_a_table_of_the_norm_changes_no_prediction() -> None:
    built = twin(config(), units=(2,))
    part = clips(0, 2, built.context + 4, 4, 2)
    table = SessionClips(0, part.stim, part.robs, part.dfs, levels=(torch.arange(256).float() - 127) / 255)
    with torch.no_grad():
        assert built([part])[0].equal(built([table])[0])
