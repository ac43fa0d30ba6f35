"""The unit of old convnets: padding, convolution, norm, activation, dropout and pool, in a given order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch.nn.functional as F
from torch import nn

from vctrain.config.legacy_blocks import STEPS, LearnedPool, LegacyBlock, Sizes
from vctrain.models.legacy.activations import ACROSS_ELEMENTS, SplitReLU, build_activation, doubles_channels
from vctrain.models.legacy.convs import DepthwiseConv, LegacyKernelConv, StandardConv, build_conv, three
from vctrain.models.legacy.norms import TIME, MeanAndVariance, ResponseNorm, RootMeanSquare, build_norm
from vctrain.models.legacy.pooled import as_poolable, pooled
from vctrain.models.legacy.pools import SoftPool, build_pool
from vctrain.models.legacy.semantics import Code
from vctrain.models.legacy.windows import Features, Windows, drop_first, frames_of

BlockSettings: TypeAlias = LegacyBlock | LearnedPool


def mixes_frames(module: nn.Module) -> bool:
    """Whether what it makes of a frame depends on other frames of the window."""
    if isinstance(module, nn.BatchNorm3d):
        return module.training
    if isinstance(module, RootMeanSquare | MeanAndVariance):
        return TIME in module.dims or 0 in module.dims
    if isinstance(module, nn.Identity | nn.Dropout | SoftPool):
        return False
    if isinstance(module, SplitReLU):
        return module.split_dim in (0, TIME)
    activation = type(module).__module__ in (nn.ReLU.__module__, build_activation.__module__)
    return not activation or isinstance(module, ACROSS_ELEMENTS)


def draws_numbers(module: nn.Module) -> bool:
    """Whether it treats equal frames of two windows differently, by chance."""
    return isinstance(module, nn.Dropout) and module.training and module.p > 0


def apply(module: nn.Module, x: Features) -> Features:
    """``module`` of windows of either kind; what has to see whole windows gets them written out."""
    if not isinstance(x, Windows):
        return module(x)
    if isinstance(module, LegacyKernelConv | StandardConv | DepthwiseConv):
        return module.on_windows(x)
    if isinstance(module, ResponseNorm):
        return module.on_windows(x)
    return module(x.gather()) if mixes_frames(module) or draws_numbers(module) else x.map(module)


@dataclass(frozen=True)
class Padding:
    """Frames added at the newest and oldest edge of a window, rows and columns added on each side."""

    newest: int = 0
    oldest: int = 0
    rows: int = 0
    columns: int = 0
    mode: str = "replicate"

    @classmethod
    def of(cls, block: BlockSettings, code: Code) -> Padding:
        """What a block pads, by the rules of its code."""
        conv = block.conv_params
        size, dilation = three(conv.kernel_size), three(conv.dilation)
        causal = dilation[0] * (size[0] - 1)
        rows, columns = _in_space(conv.padding)
        if code.head:
            if size[0] == 1 or not block.causal:
                return cls(newest=causal)
            return cls(causal, 0, rows if size[1] > 1 else 0, columns if size[2] > 1 else 0)
        mode = conv.padding_mode if conv.type == "standard" or not block.causal else "replicate"
        name = "constant" if mode == "zeros" else str(mode)
        if block.causal:
            return cls(causal, 0, rows, columns, name)
        time = conv.padding if isinstance(conv.padding, int) else conv.padding[0] if len(conv.padding) == 3 else 0
        return cls(time, time, rows, columns, name)

    @property
    def shareable(self) -> bool:
        """Whether padded frames are the same in all windows that hold them."""
        return self.mode == "replicate" or not (self.newest or self.oldest)

    def __call__(self, x: Features) -> Features:
        if not any((self.newest, self.oldest, self.rows, self.columns)):
            return x
        if isinstance(x, Windows) and self.shareable:
            space = (self.columns, self.columns, self.rows, self.rows, 0, 0)
            padded = x.map(lambda frames: F.pad(frames, space, self.mode)) if any(space) else x
            return padded.repeat_edges(self.newest, self.oldest)
        whole = x.gather() if isinstance(x, Windows) else x
        return F.pad(whole, (self.columns, self.columns, self.rows, self.rows, self.newest, self.oldest), self.mode)


def _in_space(padding: Sizes) -> tuple[int, int]:
    if isinstance(padding, int):
        return (padding, padding)
    return (padding[-2], padding[-1]) if len(padding) > 1 else (padding[0], padding[0])


class LegacyConvBlock(nn.Module):
    """``(n, C, T, H, W)`` windows to windows; submodules are ``components.{conv,norm,act,dropout,pool}``.

    Old code pads before everything, newer code where ``order`` says so. Raises `UsageError` for settings that the old
    code could not run.
    """

    def __init__(self, config: BlockSettings, in_channels: int, out_channels: int, code: Code) -> None:
        super().__init__()
        conv = config.conv_params
        bias = conv.bias if conv.bias is not None else config.norm_type == "none"
        self.padding = Padding.of(config, code)
        order = config.order or STEPS
        if code.head:
            self.steps = tuple(order)
        elif config.causal:
            self.steps = ("pad", *(step for step in order if step != "pad"))
        else:
            self.steps = tuple(
                name for step in order if step != "pad" for name in (("pad", step) if step == "conv" else (step,))
            )
        activation = build_activation(config.act_type, config.act_params)
        modules: dict[str, nn.Module] = {
            "conv": build_conv(conv, in_channels, out_channels, bias),
            "norm": build_norm(config.norm_type, config.norm_params, out_channels, code),
            "act": activation,
            "dropout": nn.Dropout(config.dropout) if config.dropout else nn.Identity(),
        }
        if "pool" in self.steps and config.pool_params is not None:
            modules["pool"] = _pool(config, out_channels, code)
        self.components = nn.ModuleDict({name: module for name, module in modules.items() if name in self.steps})
        self.out_channels = out_channels * (2 if "act" in self.steps and doubles_channels(activation) else 1)
        self.stride = three(conv.stride)
        stride = getattr(config.pool_params, "stride", None) or 1
        self.total_stride = tuple(a * b for a, b in zip(self.stride, three(stride), strict=True))

    def forward(self, x: Features, keep: int | None = None) -> Features:
        """The block; only the ``keep`` oldest slots have to come out, and where it is exact no other is computed."""
        for step in self.steps:
            if step == "norm" and isinstance(x, Windows) and (last := self._last_steps()) is not None:
                return pooled(x, *last)
            if step == "pad":
                x = self.padding(x)
            elif step in self.components:
                module = self.components[step]
                if isinstance(module, StandardConv | DepthwiseConv) and keep is not None and self._frames_stay_apart():
                    first = module.first
                    surplus = first.frames(frames_of(x)) - keep
                    x = drop_first(x, surplus * first.stride[0]) if surplus > 0 else x
                x = apply(module, x)
        return x

    def _last_steps(self) -> tuple[ResponseNorm, SplitReLU, nn.MaxPool3d] | None:
        """Norm, activation and pool, if these are what is left to do and `pooled` computes them together."""
        later = self.steps[self.steps.index("norm") :]
        modules = [self.components[step] for step in later if step in self.components]
        working = [m for m in modules if not isinstance(m, nn.Identity | nn.Dropout) or draws_numbers(m)]
        return as_poolable(working) if "pad" not in later else None

    def _frames_stay_apart(self) -> bool:
        """Whether nothing after the convolution looks across frames."""
        later = self.steps[self.steps.index("conv") + 1 :]
        return not any(mixes_frames(self.components[step]) for step in later if step in self.components)


def _pool(config: BlockSettings, channels: int, code: Code) -> nn.Module:
    pool = config.pool_params
    assert pool is not None
    if isinstance(pool, LearnedPool):
        return LegacyConvBlock(pool, channels, channels, code)
    return build_pool(pool, channels, three(config.conv_params.kernel_size)[0], code.temperature, code.head)
