"""Pictures of a twin show what it has learned, of every kind of model, and leave out what it does not have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from made_sessions import MODEL
from models.made_twins import config, twin

from vctrain.config.legacy import read_legacy_config
from vctrain.config.model import ModelConfig
from vctrain.config.resolve import resolve
from vctrain.evaluation.pictures.course import course
from vctrain.evaluation.pictures.draw import figures_of
from vctrain.evaluation.report.learned import fields, filters
from vctrain.evaluation.report.parts import Filters, Kernels, filters_of, kernels_of, parts_of
from vctrain.models.build import build_twin
from vctrain.models.shapes import StoredShape
from vctrain.presets import model_names

ROWS = [{"step": str(10 * n), "epoch": str(n - 1), "val_bps_overall": str(0.1 * n)} for n in (1, 2, 3)]


def test_filters_are_those_of_the_first_convolution_at_their_strongest_tap() -> None:
    stem = {"channels": 4, "kernel": [3, 5, 5], "norm": "rms", "weight_norm": True}
    built = twin(config(convnet={**MODEL["convnet"], "stem": stem}))
    wanted = torch.zeros(4, 3, 3, 5, 5)
    for number, tap in enumerate((0, 2, 1, 2)):
        wanted[number, 1, tap, number, 3] = -2.0
        wanted[number, 0, (tap + 1) % 3, 0, 0] = 1.0
    built.convnet.stem.kernel.set_effective(wanted)
    found = filters_of(built)
    assert found is not None
    assert found.taps == 3
    expected = np.zeros((4, 3, 5, 5))
    expected[range(4), 1, range(4), 3] = -2.0
    assert found.values == pytest.approx(expected, abs=1e-6)


def test_images_stand_side_by_side_in_order_each_filter_on_its_own_scale() -> None:
    values = np.zeros((2, 3, 4, 5))
    values[0, 2, 1, 4], values[1, 0, 3, 0] = 10.0, -0.5
    (axes,) = filters(Filters(values, 1)).axes
    shown = np.asarray(axes.images[0].get_array())
    assert shown.shape == (3 * 5 + 1, 2 * 6 + 1)
    # filter 0 in the first column, its input 2 in the third row; filter 1 in the second
    places = {(int(y), int(x)): shown[y, x] for y, x in np.argwhere(np.nan_to_num(shown) != 0)}
    assert places == {(2 * 5 + 1 + 1, 1 + 4): 1.0, (1 + 3, 6 + 1): -1.0}
    alone = filters(Filters(np.ones((60, 1, 4, 4)), 2)).axes[0]
    assert alone.get_title(loc="left") == "First spatial kernels: 48 of 60 filters, strongest tap in time"


@pytest.mark.parametrize("name", model_names())
def test_every_model_has_the_pictures_of_its_parts(name: str) -> None:
    model = resolve(None, [], [f"model={name}"], {}).settings.model
    assert isinstance(model, ModelConfig)
    built = twin(model, units=(3,), side=48, behavior=4)
    figures = figures_of(built, 120.0)
    temporal = isinstance(kernels_of(built), Kernels)
    places = built.reads_stimulus and bool(parts_of(built, built.names)[0].masks)
    parts = {"temporal": temporal, "spatial": built.reads_stimulus, "readouts": places}
    assert list(figures) == [part for part, there in parts.items() if there]
    assert temporal or model.frontend.type != "learnable_temporal"


def test_old_models_have_them_too() -> None:
    block = {"conv_params": {"kernel_size": [3, 3, 3], "padding": 1}, "norm_type": "rms", "act_type": "silu"}
    net = {
        "adapter": {"type": "adapter", "params": {"grid_size": 9}},
        "frontend": {"type": "learnable_temporal", "params": {"kernel_size": 3, "num_channels": 2}},
        "convnet": {"type": "resnet", "params": {"channels": [4], "block_configs": [block]}},
    }
    old = read_legacy_config(net, semantics="old", lags=tuple(range(8)))
    built = build_twin(old, [StoredShape("S0", 3, 13, 13, 0)])
    assert list(figures_of(built, 120.0)) == ["temporal", "spatial", "readouts"]
    found = filters_of(built)
    assert found is not None
    assert (found.values.shape, found.taps) == ((4, 2, 3, 3), 3)


@pytest.mark.parametrize("count", [2, 30])
def test_each_session_has_its_line_and_its_bar(count: int) -> None:
    names = [f"S{n % 3}_2024-01-{n + 1:02d}" for n in range(count)]
    rows: list[dict[str, Any]] = [
        {**row, **{f"val_bps/{name}": str(n / 100) for n, name in enumerate(names)}} for row in ROWS
    ]
    rows[1][f"val_bps/{names[0]}"] = ""
    over, last = course(rows, {name: name[:2] for name in names}).axes
    assert len(over.lines) == count + 1
    assert over.lines[-1].get_xdata().tolist() == [1, 2, 3]
    assert over.lines[-1].get_ydata() == pytest.approx([0.1, 0.2, 0.3])
    assert np.isnan(over.lines[0].get_ydata()).tolist() == [False, True, False]
    assert [bar.get_width() for bar in last.patches] == [n / 100 for n in reversed(range(count))]
    labels = [text.get_text() for text in over.get_legend().get_texts()]
    assert labels == [*(names if count == 2 else ["S0", "S1", "S2"]), "overall"]


def test_many_sessions_have_their_readouts_all() -> None:
    built = twin(config(), units=(2,) * 20)
    figure = fields(parts_of(built, built.names), 48)
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.axison] == list(built.names)
