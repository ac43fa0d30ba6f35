"""What do the tables of docs/model-zoo.md say: every model and preset that comes with vctrain, measured?

``python tests/models/zoo_table.py`` writes them into the page; `test_model_zoo.py` compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from torch._subclasses.fake_tensor import FakeTensorMode

from vctrain import presets
from vctrain.commands.model_table import operations
from vctrain.config.model import ModelConfig
from vctrain.config.resolve import resolve
from vctrain.config.yaml_files import read_mapping
from vctrain.evaluation.model_facts import clip_flops
from vctrain.models.shapes import StoredShape
from vctrain.models.twin import Twin

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "model-zoo.md"
SHAPE = StoredShape("S", 24, 50, 50, 42)
"""What everything is measured on: 24 units, 50 x 50 pixels, the standard 42 columns of behaviour."""
USUAL_HZ = 120
"""Where neither a model nor a preset that names it says another."""
SHORT, LONG = 2, 6
"""Scored frames of two clips; the difference of their costs is that of frames alone."""
FAMILIES = {
    "streaming": ["twin", "twin_small", "retina_small"],
    "autumn": [
        "learned_res_small",
        "learned_res_small_film",
        "learned_res_small_stn",
        "learned_res_small_pc",
        "learned_res_small_gru",
        "learned_res_small_none_gru",
        "learned_res_small_30",
        "learned_res_small_gru_30",
        "learned_dense_small_gru",
    ],
    "newest": [
        "learned_resnet_none_none_gaussian",
        "learned_resnet_none_convgru_gaussian",
        "learned_resnet_concat_convgru_gaussian",
        "learned_resnet_film_none_gaussian",
        "learned_resnet_wide3_none_convgru_gaussian",
        "learned_dense_none_convgru_gaussian",
        "learned_dense_concat_convgru_gaussian",
        "learned_dense_film_none_gaussian",
        "learned_dense_concat_convgru_gaussian_history",
    ],
    "cones": ["core_res", "core_res_modulator", "cones_res_small_gru_optimized"],
    "others": ["resnet", "resnet_modulator", "tcn", "tcn_modulator", "x3d", "x3d_modulator"],
    "behaviour": ["modulator_only_convgru", "modulator_only_concat_convgru"],
}
"""Which models stand together in a table of the page."""
PARTS = ("frontend", "convnet", "modulator", "recurrent", "readout", "history")
_BLOCK = "<!-- {name}: made by tests/models/zoo_table.py -->\n"
_END = "<!-- end -->"


def tables() -> dict[str, str]:
    """Every table of the page, by the name of its block."""
    made = {family: "\n".join(_model_rows(names)) + "\n" for family, names in FAMILIES.items()}
    return {**made, "presets": "\n".join(_preset_rows()) + "\n"}


def filled(text: str) -> str:
    """The page with every block holding its table; ValueError for a block that is not there once."""
    for name, table in tables().items():
        opening = _BLOCK.format(name=name)
        if text.count(opening) != 1:
            raise ValueError(f"{PAGE.name} does not have the block {name} once")
        before, _, rest = text.partition(opening)
        text = f"{before}{opening}{table}{_END}{rest.partition(_END)[2]}"
    return text


@cache
def model(name: str) -> ModelConfig:
    """The model that comes with vctrain under ``name``."""
    content = read_mapping(presets.find_model(name))
    return ModelConfig.model_validate({key: value for key, value in content.items() if key != "description"})


@cache
def measured(name: str) -> tuple[int, int, int]:
    """Context in frames, parameters of the core and operations a scored frame of a twin that is built."""
    with FakeTensorMode():
        # nothing is computed: only shapes flow, so that the widest model takes a second
        twin = Twin(model(name), [SHAPE]).eval()
        short, long = clip_flops(twin, SHAPE, SHORT)[""], clip_flops(twin, SHAPE, LONG)[""]
    size = sum(parameter.numel() for module in twin.core for parameter in module.parameters())
    return twin.context, size, (long - short) // (LONG - SHORT)


def rates(name: str) -> list[int]:
    """Frames a second a model is meant for: as its description says, else those of the presets that name it."""
    own = _hertz(presets.description(presets.find_model(name)))
    if own:
        return own
    naming = [preset for preset in presets.names() if preset_model(preset) == name]
    return sorted(
        {rate for preset in naming for rate in _hertz(presets.description(presets.find(preset))) or [USUAL_HZ]}
    ) or [USUAL_HZ]


@cache
def preset_model(preset: str) -> str:
    """The name of the model that a preset names."""
    return str(read_mapping(presets.find(preset))["model"])


def continued() -> dict[str, str]:
    """The config of an earlier system that a model continues, as docs/models.md has it."""
    found = {}
    for line in (DOCS / "models.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[2].isdigit():
            old = re.findall(r"`(\w+)`", cells[0])
            found |= dict(zip(re.findall(r"`(\w+)`", cells[1]) or old, old, strict=True))
    return found


def _model_rows(names: list[str]) -> Iterator[str]:
    yield "| model | what it is | parts | context | parameters | operations |"
    yield "|---|---|---|---|---:|---:|"
    old = continued()
    for name in names:
        frames, size, cost = measured(name)
        parts = [(part, getattr(model(name), part).type) for part in PARTS]
        core = ", ".join(f"{part} `{kind}`" for part, kind in parts if kind != "none")
        other = f"; continues `{old[name]}`" if old.get(name, name) != name else ""
        times = " or ".join(f"{1000 * frames / rate:.0f} ms at {rate} Hz" for rate in rates(name))
        cells = (
            f"`{name}`",
            presets.description(presets.find_model(name)) + other,
            core,
            f"{frames} frames, {times}",
            f"{size:,}",
            operations(cost).strip(),
        )
        yield "| " + " | ".join(cells) + " |"


def _preset_rows() -> Iterator[str]:
    yield "| preset | for | model | steps | learning rate | continues |"
    yield "|---|---|---|---|---|---|"
    for name in presets.names():
        resolved = resolve(name)
        settings = resolved.settings
        data, trainer, optim = settings.data, settings.trainer, settings.optim
        legacy = re.findall(r"# Legacy name: (\w+)", presets.find(name).read_text(encoding="utf-8"))
        frames = data.batch_clips * data.clip_frames * trainer.accumulate
        scale = "" if settings.start.freeze else f", core {optim.lr * optim.core_lr_scale:g}"
        cells = (
            f"`{name}`",
            presets.description(presets.find(name)),
            f"`{preset_model(name)}`{_quick(name, resolved.overlays)}",
            f"{trainer.max_epochs} x {trainer.steps_per_epoch} of {frames:,} frames",
            f"{optim.lr:g}{scale}, {optim.schedule}",
            f"`{legacy[0]}`" if legacy else "",
        )
        yield "| " + " | ".join(cells) + " |"


def _quick(name: str, overlays: tuple[str, ...]) -> str:
    if "quick" not in overlays:
        return ""
    trainer = resolve(name, overlays=["quick"]).settings.trainer
    chosen = read_mapping(presets.find(name))["overlays"]["quick"].get("model", preset_model(name))
    return f"; quick: `{chosen}`, {trainer.max_epochs} x {trainer.steps_per_epoch} steps"


def _hertz(text: str) -> list[int]:
    return [int(rate) for rate in re.findall(r"(\d+) Hz", text)]


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
