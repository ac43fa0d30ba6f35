"""Which settings does a run have, and where did each come from: preset < file < --set < flag."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vctrain import presets
from vctrain.config.layers import Merged, commented_yaml, leaves
from vctrain.config.problems import check
from vctrain.config.schema import Settings
from vctrain.config.yaml_files import nearest, read_mapping
from vctrain.errors import UsageError

FLAGS = {
    "preset": "--preset",
    "seed": "--seed",
    "data.path": "--data",
    "data.root": "--data-root",
    "data.types": "--types",
    "trainer.devices": "--devices",
    "trainer.nodes": "--nodes",
    "trainer.accelerator": "--accelerator",
    "trainer.max_minutes": "--max-minutes",
    "logging.wandb": "--wandb or WANDB_MODE",
    "start.checkpoint": "--checkpoint",
    "start.load": "--load",
    "start.freeze_vision": "--freeze-vision",
    "start.freeze": "--freeze",
    "start.add_sessions": "--add-session",
    "start.refit_readout": "--refit-readout",
}
"""The flag that sets a dotted path; any other is called ``--`` and its path."""
DEFAULT = "default"
SIMULATED = "simulated"
_SCIENTIFIC = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


@dataclass(frozen=True)
class Resolved:
    """The settings of a run, the source of each by dotted path, and the overlays that could be asked for."""

    settings: Settings
    provenance: dict[str, str]
    overlays: tuple[str, ...] = ()

    def with_data(self, path: Path, source: str = SIMULATED) -> Resolved:
        """The same with ``data.path`` set to ``path``."""
        data = self.settings.data.model_copy(update={"path": str(path)})
        settings = self.settings.model_copy(update={"data": data})
        return Resolved(settings, {**self.provenance, "data.path": source}, self.overlays)


def resolve(
    preset: str | None = None,
    files: Sequence[Path] = (),
    sets: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
    *,
    overlays: Sequence[str] = (),
    folder: Path | None = None,
    base: tuple[str, Mapping[str, Any]] | None = None,
) -> Resolved:
    """The settings of ``base`` (its name and settings) < ``preset`` < ``files`` < ``sets`` < ``flags``.

    ``sets`` are texts such as ``optim.lr=1e-3``; ``flags`` maps dotted paths to values, None meaning not given. A
    ``preset:`` key of a file or of ``--set`` is the preset if the flag names none. The ``overlays`` of the preset and
    of the files lie directly above the layer that holds them. ``folder`` replaces the folder of presets. Raises
    UsageError for whatever cannot be used, naming source, dotted path and nearest key.
    """
    contents = [(str(path), path.parent, read_mapping(path)) for path in files]
    from_sets = _from_sets(sets)
    from_flags = {path: value for path, value in (flags or {}).items() if value is not None}
    name = (
        preset
        or from_sets.get("preset")
        or next((c["preset"] for *_, c in reversed(contents) if c.get("preset")), None)
    )
    merged = Merged(Settings().model_dump(mode="json"))
    if base is not None:
        merged.add(base[1], base[0])
    if name is not None:
        path = presets.find(str(name), folder)
        contents.insert(0, (f"preset {name}", path.parent, read_mapping(path)))
    offered: list[str] = []
    for source, near, content in contents:
        named = _overlays_of(content, source)
        offered += named
        content = {key: value for key, value in content.items() if key not in ("overlays", "description")}
        _put(merged, content, source, near, folder)
        for overlay in (wanted for wanted in overlays if wanted in named):
            _put(merged, named[overlay], f"{source}, overlay {overlay}", near, folder)
    for wanted in overlays:
        if wanted not in offered:
            raise UsageError(f"no overlay {wanted!r} in preset {name}", hint=nearest(wanted, offered))
    _put(merged, from_sets, "--set", Path(), folder)
    if preset is not None:
        merged.add({"preset": preset}, FLAGS["preset"])
    for dotted, value in from_flags.items():
        merged.add(_nested(dotted.split("."), value), FLAGS.get(dotted, f"--{dotted}"))
    settings = check(Settings, merged.values, merged.source)
    provenance = {path: merged.sources.get(path, DEFAULT) for path, _ in leaves(settings.model_dump(mode="json"))}
    return Resolved(settings, provenance, tuple(dict.fromkeys(offered)))


def render(settings: Settings, provenance: Mapping[str, str]) -> str:
    """The ``config.yaml`` of a run: all settings, with the source of each as a comment."""
    return commented_yaml(settings.model_dump(mode="json"), provenance)


def read_settings(path: Path) -> Settings:
    """The settings in the ``config.yaml`` of a run directory."""
    return check(Settings, read_mapping(path), lambda dotted: str(path))


def read_provenance(path: Path) -> dict[str, str]:
    """The source of each setting, from the comments of a run directory's ``config.yaml`` as `render` wrote them."""
    commented = [line.rpartition("  # ") for line in path.read_text(encoding="utf-8").splitlines()]
    sources = [source for before, mark, source in commented if mark]
    paths = [dotted for dotted, _ in leaves(read_mapping(path))]
    return dict(zip(paths, sources, strict=True)) if len(paths) == len(sources) else {}


def _from_sets(sets: Sequence[str]) -> dict[str, Any]:
    """``--set`` arguments as one nested mapping; of two for one path the later holds."""
    layer: dict[str, Any] = {}
    for text in sets:
        dotted, equals, written = text.partition("=")
        keys = dotted.strip().split(".")
        if not equals or not all(keys):
            raise UsageError(f"--set {text}: expected a.b=VALUE", hint="such as --set optim.lr=1e-3")
        try:
            value = yaml.safe_load(written)
        except yaml.YAMLError as error:
            problem = getattr(error, "problem", None) or "not YAML"
            raise UsageError(f"--set {text}: the value is not YAML: {problem}", hint="quote it in the shell") from error
        if isinstance(value, str) and _SCIENTIFIC.fullmatch(value):
            # YAML 1.1 takes 1e-3 for text.
            value = float(value)
        _merge_plain(layer, _nested(keys, value))
    return layer


def _nested(keys: Sequence[str], value: object) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return value if isinstance(value, dict) else {}


def _merge_plain(below: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        old = below.get(key)
        if key == "model" and isinstance(old, str) and isinstance(value, Mapping):
            old = below[key] = {"base": old}
        if key == "model" and isinstance(old, dict) and isinstance(value, str):
            value = {"base": value}
        if isinstance(old, dict) and isinstance(value, Mapping):
            _merge_plain(old, value)
        else:
            below[key] = value


def _overlays_of(content: Mapping[str, Any], source: str) -> dict[str, dict[str, Any]]:
    named = content.get("overlays") or {}
    if not isinstance(named, dict) or not all(isinstance(layer, dict) for layer in named.values()):
        raise UsageError(
            f"overlays in {source}: expected {{name: {{settings}}}}", hint="see vctrain presets show gaborium"
        )
    return {str(name): layer for name, layer in named.items()}


def _put(merged: Merged, layer: Mapping[str, Any], source: str, near: Path, folder: Path | None) -> None:
    """Add ``layer``; its ``model: name`` or ``model: {base: name, ...}`` first replaces the model by the named one.

    A name ending in .yaml is a file beside ``near``.
    """
    model = layer.get("model")
    if isinstance(model, str):
        model = {"base": model}
    if isinstance(model, Mapping) and "base" in model:
        name = model["base"]
        if not isinstance(name, str):
            known = ", ".join(presets.model_names(folder)) or "none"
            raise UsageError(f"model.base in {source}: {name!r} is not a name", hint=f"models: {known}")
        content = read_mapping(near / name if name.endswith((".yaml", ".yml")) else presets.find_model(name, folder))
        content.pop("description", None)
        merged.replace("model", Settings().model.model_dump(mode="json"))
        merged.add({"model": content}, f"{source}, model {name}")
        layer = {**layer, "model": {key: value for key, value in model.items() if key != "base"}}
    merged.add(layer, source)
