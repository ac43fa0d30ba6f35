"""What do the names of an old checkpoint's tensors say: their current name, which are dead, and what the code was?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from vctrain.config.legacy import LegacyModelConfig
from vctrain.config.legacy_blocks import STEPS
from vctrain.config.legacy_nets import LegacyDenseNet, LegacyResNet, LegacyVanilla, LegacyX3D
from vctrain.config.legacy_parts import LegacyConvFrontend, LegacyDynamicAdaptation
from vctrain.models.legacy.blocks import BlockSettings

_SINGLE = {"adapter": "adapters.0", "readout": "readouts.0", "baseline": "baselines.0"}


def current_name(name: str) -> str:
    """The twin's name of a tensor whose name has lost the prefixes of Lightning and of ``torch.compile``.

    The single-session model has one ``adapter``, ``readout`` and ``baseline``; all other names stay.
    """
    head, dot, rest = name.partition(".")
    return f"{_SINGLE[head]}{dot}{rest}" if head in _SINGLE else name


def _blocks(config: LegacyModelConfig) -> Iterator[tuple[str, BlockSettings]]:
    """The blocks of frontend and convnet by the prefix of their tensors' names."""
    if isinstance(config.frontend, LegacyConvFrontend):
        yield "frontend", config.frontend.params
    net = config.convnet
    if not isinstance(net, LegacyResNet | LegacyDenseNet | LegacyVanilla):
        return
    first, head = 0, config.semantics == "head"
    if net.params.stem_config is not None and head:
        yield "convnet.stem", net.params.stem_config
    elif net.params.stem_config is not None and isinstance(net, LegacyResNet):
        yield "convnet.layers.0", net.params.stem_config
        first = 1
    middle = ".main_block" if isinstance(net, LegacyResNet) else ""
    for index, block in enumerate(net.params.blocks, start=first):
        yield f"convnet.layers.{index}{middle}", block


def dead_tensors(config: LegacyModelConfig, names: Iterable[str]) -> dict[str, str]:
    """Those of ``names`` (without prefixes) that never influence the output, and why; a twin has no place for them."""
    given = {current_name(name): name for name in names}
    return {original: why for name, original in given.items() if (why := _why_dead(config, name, given))}


_COMPUTED = "a constant, computed anew"


def _why_dead(config: LegacyModelConfig, name: str, names: Iterable[str]) -> str | None:
    stem, _, leaf = name.rpartition(".")
    if stem.endswith("parametrizations.weight") and leaf == "original" and f"{stem}.0.v" in names:
        return "weight norm replaced this kernel by its direction v and length g"
    if re.fullmatch(r"readouts\.\d+\.bias", name) and f"{stem}.fc.bias" in names:
        return "the same tensor as fc.bias, registered twice"
    if re.fullmatch(r"readouts\.\d+\.(ex|inh)_units", name):
        return "the numbers of all units in order, never read"
    if name.endswith((".pool.blur", ".base_grid")) or name == "frontend.basis":
        return _COMPUTED
    frontend = config.frontend
    if isinstance(frontend, LegacyDynamicAdaptation) and not frontend.params.learnable_params:
        if re.fullmatch(r"frontend\.(gamma|tau_[yz]_ms|n_[yz])", name):
            return "frozen, and contained in the stored filters"
    elif isinstance(frontend, LegacyDynamicAdaptation) and re.fullmatch(r"frontend\.K[yz]_filter", name):
        return _COMPUTED
    for prefix, block in _blocks(config):
        steps = block.order or STEPS
        for step in STEPS:
            if step not in steps and name.startswith(f"{prefix}.components.{step}."):
                return f"the block's order has no {step}"
    return None


def settled(config: LegacyModelConfig, names: Iterable[str]) -> LegacyModelConfig:
    """``config`` with what it leaves open and the ``names`` (without prefixes) of a checkpoint's tensors tell.

    Code between two generations mixed their features; a norm's gain, and how an x3d unit is made, show in names.
    """
    have = {current_name(name) for name in names}
    changes: dict[str, object] = {}
    norms = [prefix for prefix, block in _blocks(config) if block.norm_type == "rms"]
    if norms and config.rms_affine is None:
        affine = any(f"{prefix}.components.norm.gamma" in have for prefix in norms)
        if affine != (config.semantics == "head"):
            changes["rms_affine"] = affine
    if isinstance(config.convnet, LegacyX3D):
        mixed = any(".pre_temporal.components.conv.pointwise." in name for name in have)
        block = any(".proj.components." in name for name in have)
        params = config.convnet.params.model_copy(update={"pointwise": mixed, "bare_shortcut": not block})
        changes["convnet"] = config.convnet.model_copy(update={"params": params})
    return config.model_copy(update=changes)
