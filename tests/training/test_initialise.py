"""Which kernels of a new twin start from maps, and what is said where they cannot."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from models.made_components import CONVNETS, FRONTENDS
from models.made_twins import config, twin

from vctrain.config.datasets import load_dataset_configs
from vctrain.config.schema import InitConfig
from vctrain.data.loader import EvalLoader, Reads
from vctrain.data.opening import open_sessions
from vctrain.data.rates import training_rates
from vctrain.models.twin import Twin
from vctrain.training.initialise import KernelReport, _lags, _set_kernels, _stem, initialise

RATE_HZ = 120.0
STEM = {"channels": 4, "kernel": [1, 5, 5], "window": "hann", "weight_norm": True}


def made(frontend: dict[str, Any], convnet: dict[str, Any]) -> Any:
    return twin(config(frontend=frontend, convnet=convnet), side=16)


def maps(lags: int, side: int = 5, units: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Time courses and surroundings of units that all see one image through one time course, and noise."""
    torch.manual_seed(0)
    course, image = torch.randn(lags), torch.randn(side, side)
    gains = torch.linspace(1, 2, units)
    courses = gains[:, None] * course + 0.01 * torch.randn(units, lags)
    surroundings = gains[:, None, None, None] * course[:, None, None] * image
    return courses, surroundings + 0.01 * torch.randn(units, lags, side, side)


@pytest.mark.parametrize("unit", [False, True])
def test_the_bank_and_the_stem_start_from_what_the_units_see(unit):
    frontend = {"type": "learnable_temporal", "kernel_size": 7, "num_channels": 2, "window": "hann"}
    norm = {"weight_norm": True, "keep_unit_norm": unit}
    built = made({**frontend, **norm}, {"type": "densenet", "stem": STEM, "blocks": [{"channels": 2}]})
    courses, surroundings = maps(7)
    report = _set_kernels(built, courses, surroundings)
    assert (report.temporal, report.stem, report.reason) == (2, 4, "")
    first = built.frontend.kernel()[0, 0].detach()
    assert abs(float(F.cosine_similarity(first, courses.mean(0), dim=0))) > 0.999
    image = built.convnet.stem.kernel()[0, 0, 0].detach()
    seen = torch.einsum("ulyx,l->yx", surroundings, first)
    assert abs(float(F.cosine_similarity(image.flatten(), seen.flatten(), dim=0))) > 0.999


@pytest.mark.parametrize("name", FRONTENDS)
@pytest.mark.parametrize("stem", [None, STEM, {**STEM, "conv": "depthwise"}, {**STEM, "kernel": [3, 5, 5]}])
def test_every_frontend_is_initialised_or_says_why_not(name, stem):
    built = made(FRONTENDS[name], {"type": "resnet", "stem": stem, "blocks": [{"channels": 2}]})
    before = {key: value.clone() for key, value in built.state_dict().items()}
    usable = _stem(built)
    assert (usable is None) == (stem is not STEM)
    report = _set_kernels(built, *maps(_lags(built, RATE_HZ)))
    changed = {key for key, value in built.state_dict().items() if not torch.equal(value, before[key])}
    bank = FRONTENDS[name]["type"] == "learnable_temporal" and not FRONTENDS[name].get("split_mp")
    expected = {"frontend.kernel.raw"} if bank else set()
    expected |= {"convnet.stem.kernel.raw"} if bank and usable is not None else set()
    assert {key for key in changed if key.endswith("raw")} == expected
    assert (report.temporal > 0, report.stem > 0) == (bank, bank and usable is not None)
    assert bool(report.reason) == (not bank or usable is None)
    assert str(report).startswith("kernels: ")


@pytest.mark.parametrize("name", CONVNETS)
def test_every_convnet_has_a_stem_or_none(name):
    built = made(FRONTENDS["temporal"], CONVNETS[name])
    stem = _stem(built)
    report = _set_kernels(built, *maps(5, side=1 if stem is None else stem.kernel.raw.shape[-1]))
    assert report.temporal == 3
    assert (report.stem > 0) == (CONVNETS[name].get("stem") is not None)


def test_units_without_maps_change_nothing():
    built = made(FRONTENDS["temporal"], CONVNETS["resnet"])
    report = _set_kernels(built, torch.zeros(0, 5), torch.zeros(0, 5, 5, 5))
    assert report.reason == "no unit has a clear map"


def test_what_maps_cannot_place_is_initialised_without_them(tiny_data):
    """A twin of behaviour alone takes rates and the moments of behaviour; units that read everywhere have no place."""
    sessions = open_sessions(load_dataset_configs(tiny_data), 4, 0.0)
    none = {"type": "none"}
    blind = config(
        stimulus=False,
        adapter=none,
        frontend=none,
        convnet=none,
        modulator={"type": "concat"},
        readout={"type": "linear"},
    )
    net = Twin(blind, sessions)
    assert initialise(net, sessions, InitConfig(map_minutes=9)) == []
    encoder = net.modulator.encoder
    assert bool(encoder.mean.ne(0).any())
    assert bool(encoder.scale.ne(1).any())
    loaded = EvalLoader(sessions, "train", context=0, reads=Reads(stim=False))
    rows = torch.cat([part.behavior[(part.dfs > 0).any(-1)] for batch in loaded for part in batch.parts])
    standard = ((rows - encoder.mean) * encoder.scale).detach()
    assert float(standard.mean(0).abs().max()) < 0.1
    assert float(standard.std(0).median()) == pytest.approx(1.0, abs=0.1)
    rates = torch.from_numpy(training_rates(sessions[0])).float()
    assert torch.allclose(F.softplus(net.readouts[0].bias.detach()), rates.clamp_min(1e-4), atol=1e-3)

    seeing = Twin(config(readout={"type": "linear"}), sessions)
    reports = initialise(seeing, sessions, InitConfig(map_minutes=0.2))
    assert [type(report) for report in reports] == [KernelReport]
