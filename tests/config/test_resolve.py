"""Are settings resolved in the order preset < file < --set < flag, with one clear line for every mistake?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from vctrain import presets
from vctrain.config.components.modulators import Concat, Film
from vctrain.config.problems import check, setting_paths
from vctrain.config.resolve import DEFAULT, SIMULATED, read_settings, render, resolve
from vctrain.config.schema import Settings
from vctrain.config.yaml_files import read_mapping
from vctrain.errors import UsageError

PRESET = """\
description: A recipe
  on two lines
model: small
data: {batch_clips: 8}
optim: {lr: 1e-3, weight_decay: 0.5}
overlays:
  quick: {trainer: {max_epochs: 2}, optim: {lr: 2e-3}}
"""
SMALL = """\
description: a model
frontend: {type: learnable_temporal, kernel_size: 9}
convnet: {type: resnet, blocks: [{channels: 4}, {channels: 8}]}
modulator: {type: film, dims: [3, 5]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "recipe.yaml").write_text(PRESET)
    (tmp_path / "models" / "small.yaml").write_text(SMALL)
    (tmp_path / "models" / "plain.yaml").write_text("modulator: {type: film, dims: [7]}\n")
    return tmp_path


def written(folder: Path, text: str, name: str = "my.yaml") -> Path:
    path = folder / "files" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_each_layer_holds_over_the_one_below(folder):
    file = written(folder, "optim: {lr: 3e-3}\ndata: {clip_frames: 30}\nseed: 5\n")
    lowest = resolve("recipe", folder=folder)
    assert (lowest.settings.optim.lr, lowest.settings.preset) == (1e-3, "recipe")
    assert resolve("recipe", overlays=["quick"], folder=folder).settings.optim.lr == 2e-3
    assert resolve("recipe", [file], overlays=["quick"], folder=folder).settings.optim.lr == 3e-3
    assert resolve("recipe", [file], ["optim.lr=4e-3", "seed=6"], folder=folder).settings.optim.lr == 4e-3
    top = resolve("recipe", [file], ["optim.lr=4e-3", "seed=6"], {"seed": 7, "data.path": None}, folder=folder)
    assert top.settings.seed == 7
    assert top.settings.data.clip_frames == 30
    assert top.provenance["seed"] == "--seed"
    assert top.provenance["optim.lr"] == "--set"
    assert top.provenance["data.clip_frames"] == str(file)
    assert top.provenance["optim.weight_decay"] == "preset recipe"
    assert top.provenance["model.frontend.kernel_size"] == "preset recipe, model small"
    assert top.provenance["optim.betas"] == DEFAULT
    assert top.provenance["preset"] == "--preset"
    assert top.overlays == ("quick",)


def test_two_files_and_two_sets_the_later_holds(folder):
    files = [written(folder, f"seed: {n}\n", f"{n}.yaml") for n in (1, 2)]
    assert resolve(None, files).settings.seed == 2
    assert resolve(None, files, ["seed=3", "seed=4"]).settings.seed == 4


def test_a_preset_named_in_a_file_is_the_preset_unless_the_flag_names_one(folder):
    (folder / "other.yaml").write_text("seed: 9\n")
    file = written(folder, "preset: recipe\n")
    assert resolve(None, [file], folder=folder).settings.optim.weight_decay == 0.5
    assert resolve("other", [file], folder=folder).settings.preset == "other"
    assert resolve("other", [file], folder=folder).settings.seed == 9


def test_a_copied_preset_is_a_config_file_with_its_overlays(folder):
    file = written(folder, PRESET, "mine.yaml")
    resolved = resolve(None, [file], overlays=["quick"], folder=folder)
    assert resolved.settings.trainer.max_epochs == 2
    assert resolved.provenance["trainer.max_epochs"] == f"{file}, overlay quick"


def test_a_named_model_replaces_the_one_below_whole(folder):
    model = resolve("recipe", [], ["model=plain"], folder=folder).settings.model
    assert model.modulator == Film(dims=(7,))
    assert model.frontend == Settings().model.frontend
    for sets in (["model=plain", "model.modulator.dropout=0.4"], ["model.modulator.dropout=0.4", "model=plain"]):
        changed = resolve("recipe", [], sets, folder=folder).settings.model
        assert changed.modulator == Film(dims=(7,), dropout=0.4)
    file = written(folder, "model: {base: small, modulator: {type: none}}\n")
    changed = resolve(None, [file], folder=folder).settings.model
    assert (changed.modulator.type, len(changed.convnet.blocks)) == ("none", 2)


def test_a_model_may_be_a_file_beside_the_one_that_names_it(folder):
    written(folder, "modulator: {type: concat, dims: [2]}\n", "net.yaml")
    file = written(folder, "model: net.yaml\n")
    assert resolve(None, [file]).settings.model.modulator.dims == (2,)


def test_settings_inside_a_union_and_a_list_can_be_set(folder):
    sets = ["model.frontend.kernel_size=12", "model.convnet.blocks.1.channels=5", "model.modulator.type=none"]
    resolved = resolve("recipe", [], sets, folder=folder)
    assert resolved.settings.model.frontend.kernel_size == 12
    assert [block.channels for block in resolved.settings.model.convnet.blocks] == [4, 5]
    assert resolved.settings.model.modulator.model_dump() == {"type": "none"}
    assert {path for path, source in resolved.provenance.items() if source == "--set"} == {
        "model.frontend.kernel_size",
        "model.convnet.blocks.1.channels",
        "model.modulator.type",
    }


def test_a_type_and_a_setting_of_it_may_come_in_any_order(folder):
    for sets in (["model.modulator.type=concat", "model.modulator.dims=[9]"],) * 2:
        sets.reverse()
        modulator = resolve("recipe", [], sets, folder=folder).settings.model.modulator
        assert modulator == Concat(dims=(9,))


@pytest.mark.parametrize(
    ("sets", "message", "hint"),
    [
        ("optim.lrr=1", "unknown key optim.lrr in --set", "did you mean optim.lr?"),
        ("lr=1", "unknown key lr in --set", "did you mean optim.lr?"),
        (
            "model.frontend.kernal_size=1",
            "unknown key model.frontend.kernal_size in --set",
            "model.frontend.kernel_size?",
        ),
        ("model.convnet.blocks.0.chanels=1", "unknown key model.convnet.blocks.0.chanels", "blocks.0.channels?"),
        ("model.convnet.stem.chanels=1", "unknown key model.convnet.stem.chanels", "stem.channels?"),
        ("model.adapter.grid=1", "unknown key model.adapter.grid in --set", "model.adapter.grid_size?"),
        ("model.recurrent.hidden=1", "unknown key model.recurrent.hidden", "belongs to type convgru or convlstm"),
        ("model.frontend.type=learnable", "no frontend 'learnable'", "learnable_temporal"),
        ("model=smal", "no model 'smal'", "did you mean small?"),
        ("trainer.accelerator=gpus", "trainer.accelerator in --set: 'gpus' is not a choice", "did you mean gpu?"),
        ("optim.lr=0", "optim.lr in --set should be greater than 0 (got 0)", "optim.lr"),
        ("optim.lr=fast", "optim.lr in --set should be a valid number", "optim.lr"),
        ("optim=3", "optim in --set: 3 is not a mapping", "optim"),
        ("seed.x=3", "seed in --set is one value", "seed=VALUE"),
        ("data.types=gaborium", "'gaborium' is not a list", "[gaborium]"),
        ("optim.lr", "--set optim.lr: expected a.b=VALUE", "optim.lr=1e-3"),
        ("optim..lr=1", "expected a.b=VALUE", ""),
        ("=1", "expected a.b=VALUE", ""),
        ("optim.lr={", "not YAML", ""),
        ("overlays.quick.seed=1", "unknown key overlays", ""),
    ],
)
def test_mistakes_in_set_are_one_line_with_the_nearest_key(folder, sets, message, hint):
    with pytest.raises(UsageError) as caught:
        resolve("recipe", [], [sets], folder=folder)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim: {lrr: 1}\n", "unknown key optim.lrr in"),
        ("optim:\n  lr: 1\n  lr: 2\n", "line 3"),
        ("optim:\n\tlr: 1\n", "line 2"),
        ("optim: {lr: 1\nseed: 2\n", "valid YAML"),
        ("- 1\n", "does not hold a mapping"),
        ("optim:\n", "optim in"),
        ("overlays: [quick]\n", "overlays in"),
        ("model: {base: 3}\n", "model.base in"),
        ("model: gone.yaml\n", "gone.yaml"),
    ],
)
def test_mistakes_in_a_file_name_the_file(folder, text, message):
    file = written(folder, text)
    with pytest.raises(UsageError, match=r"my\.yaml|gone\.yaml") as caught:
        resolve("recipe", [file], folder=folder)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_a_flag_is_named_as_it_was_typed(folder):
    with pytest.raises(UsageError, match=r"^--devices should be greater than 0 \(got 0\)"):
        resolve("recipe", [], [], {"trainer.devices": 0}, folder=folder)


def test_unknown_presets_and_overlays_name_the_nearest(folder):
    with pytest.raises(UsageError) as caught:
        resolve("recipes", folder=folder)
    assert caught.value.hint == "did you mean recipe?"
    with pytest.raises(UsageError) as caught:
        resolve("recipe", overlays=["quik"], folder=folder)
    assert caught.value.hint == "did you mean quick?"


def _content_with(path: list[str], value: object) -> dict[str, object]:
    """The default settings with one more key."""
    content = Settings().model_dump(mode="json")
    here = content
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    return content


def _is_mapping(section: str) -> bool:
    """Whether the default settings have this section: settings of other types and optional parts are not there."""
    here: object = Settings().model_dump(mode="json")
    for key in section.split("."):
        here = here.get(key) if isinstance(here, dict) else None
    return isinstance(here, dict)


_SECTIONS = sorted(filter(_is_mapping, {path.rpartition(".")[0] for path in setting_paths(Settings)}))


@given(st.sampled_from(_SECTIONS), st.from_regex(r"[a-z]{3,8}_zz", fullmatch=True), st.integers() | st.text(max_size=3))
def test_an_unknown_key_at_any_depth_is_named_by_its_clean_path(section, key, value):
    path = [*section.split("."), key]
    with pytest.raises(UsageError) as caught:
        check(Settings, _content_with(path, value), lambda dotted: "my.yaml")
    assert caught.value.message == f"unknown key {section}.{key} in my.yaml"
    assert caught.value.hint


@examples(max_examples=40)
@given(
    lr=st.floats(1e-9, 1e3),
    seed=st.integers(0, 10**12),
    path=st.text(max_size=20),
    types=st.none() | st.lists(st.text(max_size=5), max_size=3),
    blocks=st.lists(st.integers(1, 64), max_size=3),
)
def test_a_run_reads_back_exactly_the_settings_it_wrote(tmp_path_factory, lr, seed, path, types, blocks):
    flags = {
        "optim.lr": lr,
        "seed": seed,
        "data.path": path,
        "data.types": types,
        "model.convnet.blocks": [{"channels": channels} for channels in blocks],
    }
    resolved = resolve(None, [], [], flags)
    file = tmp_path_factory.mktemp("run") / "config.yaml"
    file.write_text(render(resolved.settings, resolved.provenance), encoding="utf-8")
    assert read_settings(file) == resolved.settings
    assert resolve(None, [file]).settings == resolved.settings
    assert "# --seed" in file.read_text(encoding="utf-8")


def test_simulated_data_are_marked(folder):
    resolved = resolve("recipe", folder=folder).with_data(Path("cache/dataset.yaml"))
    assert resolved.settings.data.path == "cache/dataset.yaml"
    assert resolved.provenance["data.path"] == SIMULATED


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_that_comes_along_resolves_with_its_overlays(name):
    resolved = resolve(name)
    for overlay in resolved.overlays:
        assert resolve(name, overlays=[overlay]).settings != resolved.settings
    whole = read_mapping(presets.find(name))
    assert presets.description(presets.find(name)) == " ".join(whole["description"].split()) != ""
    for model in presets.model_names():
        resolve(name, [], [f"model={model}"])
