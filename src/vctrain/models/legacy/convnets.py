"""The convnets of old models: residual, dense, plain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.legacy import LegacyModelConfig
from vctrain.config.legacy_blocks import LegacyBlock, LegacyNormParams
from vctrain.config.legacy_nets import LegacyDenseNet, LegacyResNet, LegacyX3D, NetParams, ResNetParams
from vctrain.models.legacy.activations import build_activation
from vctrain.models.legacy.blocks import LegacyConvBlock, apply
from vctrain.models.legacy.convs import LegacyKernelConv, three
from vctrain.models.legacy.norms import build_norm
from vctrain.models.legacy.semantics import Code
from vctrain.models.legacy.windows import Features, Windows, dense, drop_first, frames_of
from vctrain.models.legacy.x3d import X3DNet


def crop_centre(x: Tensor, height: int, width: int) -> Tensor:
    """The central ``height`` x ``width`` pixels; a smaller image is left as it is."""
    top, left = max(x.shape[-2] - height, 0) // 2, max(x.shape[-1] - width, 0) // 2
    return x[..., top : top + height, left : left + width]


def same_windows(a: Features, b: Features) -> tuple[Features, Features]:
    """Both of the same kind: shared only where both are."""
    return (a, b) if isinstance(a, Windows) and isinstance(b, Windows) else (dense(a), dense(b))


def combine(a: Features, b: Features, function: nn.Module) -> Features:
    """``function(a, b)`` of windows of one kind with as many slots."""
    a, b = same_windows(a, b)
    return a.merge(b, function) if isinstance(a, Windows) and isinstance(b, Windows) else function(a, b)


class _Add(nn.Module):
    """Main path plus shortcut where both are: the centre, and (newer code) the main path's own size."""

    def __init__(self, main_leads: bool) -> None:
        super().__init__()
        self.main_leads = main_leads

    def forward(self, main: Tensor, shortcut: Tensor) -> Tensor:
        height, width = main.shape[-2:]
        if not self.main_leads:
            height, width = min(height, shortcut.shape[-2]), min(width, shortcut.shape[-1])
            main = crop_centre(main, height, width)
        shortcut = crop_centre(shortcut, height, width)
        missing = main.shape[1] - shortcut.shape[1]
        if missing and not self.main_leads:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, 0, 0, missing)) if missing > 0 else shortcut[:, :missing]
        return main + shortcut


class _Join(nn.Module):
    """New features beside the centre of all before them."""

    def forward(self, new: Tensor, before: Tensor) -> Tensor:
        return torch.cat([crop_centre(before, *new.shape[-2:]), new], dim=1)


class ResidualBlock(nn.Module):
    """A block and a shortcut around it.

    The shortcut takes every slot that the total stride of convolution *and pool* names, also where the pool leaves
    time alone, and the two meet at their oldest slots (defect A24: frames 0, 2, 4 are added to 2, 3, 4).
    """

    def __init__(self, config: LegacyBlock, net: ResNetParams, in_channels: int, channels: int, code: Code) -> None:
        super().__init__()
        self.main_block = LegacyConvBlock(config, in_channels, channels, code)
        self.out_channels = self.main_block.out_channels
        stride = self.main_block.total_stride
        self.stride = stride
        needed = in_channels != self.out_channels or max(stride) > 1
        self.projects = needed and net.resnet_shortcut_projection
        self.shortcut: nn.Module = nn.Identity()
        self.shortcut_padding = (0, 0, 0)
        if self.projects:
            self.shortcut = self._projection(net, in_channels, stride, code)
        self.add = _Add(main_leads=code.head)
        self.post = build_activation(net.resnet_post_add_activation)

    def _projection(self, net: ResNetParams, in_channels: int, stride: tuple[int, ...], code: Code) -> nn.Module:
        t, h, w = stride
        if code.head:
            return LegacyKernelConv(in_channels, self.out_channels, (1, 1, 1), stride=(t, h, w), bias=False)
        params = net.resnet_shortcut_params
        self.shortcut_padding = three(params.padding)
        conv = LegacyKernelConv(
            in_channels, self.out_channels, three(params.kernel_size), stride=(t, h, w), bias=params.bias
        )
        if net.resnet_shortcut_norm_type == "none":
            return nn.Sequential(conv)
        norm = build_norm(net.resnet_shortcut_norm_type, LegacyNormParams(), self.out_channels, code)
        return nn.Sequential(conv, norm)

    def _shortcut(self, x: Features) -> Features:
        if any(self.shortcut_padding):
            t, h, w = self.shortcut_padding
            x = F.pad(dense(x), (w, w, h, h, t, t))
        for module in self.shortcut if isinstance(self.shortcut, nn.Sequential) else [self.shortcut]:
            x = apply(module, x)
        return x

    def forward(self, x: Features) -> Features:
        shortcut = self._shortcut(x)
        main = self.main_block(x, keep=frames_of(shortcut))
        common = frames_of(main) if self.add.main_leads else min(frames_of(main), frames_of(shortcut))
        main = drop_first(main, frames_of(main) - common)
        shortcut = drop_first(shortcut, frames_of(shortcut) - common)
        return apply(self.post, combine(main, shortcut, self.add))


class _Net(nn.Module):
    """Stem, layers, final activation. Newest code keeps its stem apart; the older residual net counts it as a layer."""

    def __init__(self, params: NetParams, in_channels: int, code: Code, stem_is_layer: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.out_channels = in_channels
        self.stem: LegacyConvBlock | None = None
        if params.stem_config is not None and (code.head or stem_is_layer):
            stem = LegacyConvBlock(params.stem_config, in_channels, params.stem_config.out_channels, code)
            self.out_channels = stem.out_channels
            if code.head:
                self.stem = stem
            else:
                self.layers.append(stem)
        self.final = build_activation(params.final_activation)

    @property
    def stride(self) -> int:
        """Input pixels to a pixel of the feature map."""
        product = 1
        for module in self.modules():
            if isinstance(module, LegacyConvBlock):
                product *= module.total_stride[1]
        return product

    def forward(self, x: Features) -> Features:
        x = x if self.stem is None else self.stem(x)
        for layer in self.layers:
            x = self.step(layer, x)
        return apply(self.final, x)

    def step(self, layer: nn.Module, x: Features) -> Features:
        """One layer."""
        features: Features = layer(x)
        return features


class LegacyResNetCore(_Net):
    """Residual blocks, ``layers.i.{main_block,shortcut}``."""

    def __init__(self, params: ResNetParams, in_channels: int, code: Code) -> None:
        super().__init__(params, in_channels, code, stem_is_layer=True)
        for block, channels in zip(params.blocks, params.channels, strict=True):
            layer = ResidualBlock(block, params, self.out_channels, channels, code)
            self.layers.append(layer)
            self.out_channels = layer.out_channels


class LegacyVanillaCore(_Net):
    """Blocks one after another, ``layers.i``."""

    def __init__(self, params: NetParams, in_channels: int, code: Code) -> None:
        super().__init__(params, in_channels, code, stem_is_layer=False)
        for block, channels in zip(params.blocks, params.channels, strict=True):
            layer = LegacyConvBlock(block, self.out_channels, channels, code)
            self.layers.append(layer)
            self.out_channels = layer.out_channels


class LegacyDenseCore(_Net):
    """Blocks that read the features of all before them, ``layers.i``."""

    def __init__(self, params: NetParams, in_channels: int, code: Code) -> None:
        super().__init__(params, in_channels, code, stem_is_layer=False)
        self.join = _Join()
        for block, channels in zip(params.blocks, params.channels, strict=True):
            layer = LegacyConvBlock(block, self.out_channels, channels, code)
            self.layers.append(layer)
            self.out_channels += layer.out_channels

    def step(self, layer: nn.Module, x: Features) -> Features:
        """One block, and what it read at the slots and pixels that it left."""
        new: Features = layer(x)
        return combine(new, drop_first(x, frames_of(x) - frames_of(new)), self.join)


def build_convnet(config: LegacyModelConfig, in_channels: int, code: Code) -> _Net | X3DNet | None:
    """The convnet of a config, None for none."""
    convnet = config.convnet
    if convnet.type == "none":
        return None
    if isinstance(convnet, LegacyX3D):
        return X3DNet(convnet.params, in_channels, code)
    if isinstance(convnet, LegacyResNet):
        return LegacyResNetCore(convnet.params, in_channels, code)
    make = LegacyDenseCore if isinstance(convnet, LegacyDenseNet) else LegacyVanillaCore
    return make(convnet.params, in_channels, code)
