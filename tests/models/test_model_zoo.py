"""Does docs/model-zoo.md say what the models and presets that come with vctrain are?"""

from __future__ import annotations

import re

import torch
from models import zoo_table
from models.narrow import named_model
from models.zoo_table import FAMILIES, PAGE, SHAPE, filled, rates
from torch._subclasses.fake_tensor import FakeTensorMode

from vctrain import presets
from vctrain.evaluation.model_facts import clip_flops
from vctrain.models.twin import Twin

TEXT = PAGE.read_text(encoding="utf-8")


def test_every_model_and_preset_is_in_a_table_once() -> None:
    named = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert sorted(named) == sorted([*presets.names(), *presets.model_names()])
    assert sorted(name for names in FAMILIES.values() for name in names) == presets.model_names()


def test_tables_are_what_the_models_are_when_built() -> None:
    assert filled(TEXT) == TEXT, "the page is out of date: python tests/models/zoo_table.py"


def test_a_changed_figure_would_be_noticed() -> None:
    frames, size, _ = zoo_table.measured("twin")
    assert filled(TEXT.replace(f"{size:,}", "1")) == TEXT
    assert f"| {frames} frames, 358 ms at 120 Hz | {size:,} |" in TEXT


def test_operations_without_computing_are_those_of_a_twin_that_computes() -> None:
    model = named_model("learned_resnet_concat_convgru_gaussian", by=16)
    torch.manual_seed(0)
    real = clip_flops(Twin(model, [SHAPE]).eval(), SHAPE, 2)
    with FakeTensorMode():
        shapes_alone = clip_flops(Twin(model, [SHAPE]).eval(), SHAPE, 2)
    assert shapes_alone == real
    assert min(real[part] for part in ("adapter", "frontend", "convnet", "modulator", "recurrent", "readout")) > 0
    assert real[""] == sum(count for part, count in real.items() if part)


def test_what_the_page_says_of_families() -> None:
    """Equal vision in the first family; the smallest and the largest of the newest."""
    first = [zoo_table.model(name) for name in FAMILIES["autumn"][:5]]
    assert len({(model.frontend.model_dump_json(), model.convnet.model_dump_json()) for model in first}) == 1
    assert [model.modulator.type for model in first] == ["none", "film", "stn", "pc", "convgru"]
    sizes = {name: zoo_table.measured(name)[1] for name in presets.model_names()}
    assert min(FAMILIES["newest"], key=lambda name: sizes[name]) == "learned_resnet_film_none_gaussian"
    assert max(sizes, key=lambda name: sizes[name]) == "learned_resnet_wide3_none_convgru_gaussian"


def test_what_continues_which_old_config() -> None:
    old = zoo_table.continued()
    assert sorted(old) == sorted(set(presets.model_names()) - set(FAMILIES["streaming"]))
    assert {name: was for name, was in old.items() if was != name} == {
        "modulator_only_concat_convgru": "modulator_only_convgru"
    }
    assert "; continues `modulator_only_convgru` |" in TEXT


def test_rates_are_those_of_the_descriptions() -> None:
    assert rates("learned_res_small_30") == rates("retina_small") == [30]
    assert rates("learned_resnet_none_convgru_gaussian") == [120, 240]
    assert rates("twin") == rates("core_res") == [120]
