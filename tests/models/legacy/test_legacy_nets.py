"""How old convnets join their blocks (legacy specification, section 3.3)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from old_checkpoints import clips, largest_relative, made, window_by_window
from torch import Tensor, nn
from torch.nn import functional as F

from vctrain.config.components.convnets import ResNet
from vctrain.config.legacy_nets import NetParams, ResNetParams, X3DParams
from vctrain.config.model import ModelConfig
from vctrain.models.legacy.convnets import LegacyDenseCore, LegacyResNetCore, LegacyVanillaCore, crop_centre
from vctrain.models.legacy.semantics import Code
from vctrain.models.legacy.x3d import X3DNet
from vctrain.models.shapes import StoredShape
from vctrain.models.twin import Twin

OLD = Code(head=False, antialias=False, rms_affine=False, temperature=1.0)
HEAD = Code(head=True, antialias=False, rms_affine=None, temperature=10.0)
PLAIN = {"conv_params": {"kernel_size": 3, "padding": 1}, "norm_type": "rms", "act_type": "silu"}
POOLED = {**PLAIN, "pool_params": {"type": "aablur", "stride": 2, "r": 2}}


def resnet(code: Code, block: dict[str, Any], channels: int = 4, **more: Any) -> LegacyResNetCore:
    torch.manual_seed(0)
    params = ResNetParams.model_validate({"channels": [channels], "block_configs": [block], **more})
    return LegacyResNetCore(params, 3, code).eval()


def test_a24_shortcuts_skip_frames_that_the_main_path_keeps() -> None:
    net = resnet(OLD, POOLED)
    x = torch.randn(1, 3, 5, 8, 8)
    layer = net.layers[0]
    main = layer.main_block(x)
    assert main.shape == (1, 4, 5, 4, 4)
    weight = net.get_parameter("layers.0.shortcut.0.weight")
    shortcut = F.conv3d(x[:, :, [0, 2, 4], ::2, ::2], weight)
    torch.testing.assert_close(net(x), main[:, :, [2, 3, 4]] + shortcut)


def test_a24_current_models_keep_each_frame_with_itself() -> None:
    """A change of one frame of a clip reaches no earlier frame of a current twin, shortcuts and pools included."""
    net = ResNet.model_validate({"blocks": [{"channels": 4, "kernel": [3, 3, 3], "pool": {"type": "max"}}]})
    config = ModelConfig.model_validate({"convnet": net.model_dump(), "frontend": {"type": "none"}})
    twin = Twin(config, [StoredShape("S", 2, 8, 8, 0)]).eval()
    assert twin.convnet is not None
    x = torch.randn(1, 1, 7, 8, 8)
    late = x.clone()
    late[:, :, 5] += 1
    with torch.no_grad():
        same = torch.isclose(twin.convnet(x), twin.convnet(late), atol=1e-6).flatten(3).all(-1).all(1)[0]
    assert same.tolist() == [True] * 3 + [False] * 2


def test_shortcuts_meet_at_the_centre() -> None:
    block = {**PLAIN, "conv_params": {"kernel_size": [1, 4, 4]}}
    for code in (OLD, HEAD):
        net = resnet(code, block, channels=3)
        x = torch.randn(1, 3, 2, 9, 9)
        assert [name for name in net.state_dict() if "shortcut" in name] == []
        torch.testing.assert_close(net(x), net.layers[0].main_block(x) + x[..., 1:7, 1:7])


def test_old_main_path_is_cropped_where_it_is_larger() -> None:
    block = {**PLAIN, "conv_params": {"kernel_size": [1, 3, 3], "padding": [0, 2, 2]}}
    net = resnet(OLD, block, channels=3)
    x = torch.randn(1, 3, 2, 9, 9)
    torch.testing.assert_close(net(x), net.layers[0].main_block(x)[..., 1:10, 1:10] + x)


def test_head_shortcut_takes_the_stride_of_its_pool() -> None:
    block = {**PLAIN, "pool_params": {"type": "max", "kernel_size": 2, "stride": 2}, "act_type": "splitrelu"}
    net = resnet(HEAD, block)
    x = torch.randn(1, 3, 6, 8, 8)
    shortcut = F.conv3d(x[:, :, ::2, ::2, ::2], net.get_parameter("layers.0.shortcut.weight"))
    assert net.out_channels == 8
    torch.testing.assert_close(net(x), net.layers[0].main_block(x) + shortcut)


def test_a_pool_without_a_stride_leaves_the_shortcut_alone() -> None:
    net = resnet(OLD, {**PLAIN, "pool_params": {"type": "max", "kernel_size": 2}}, channels=3)
    x = torch.randn(1, 3, 6, 8, 8)
    main = net.layers[0].main_block(x)
    torch.testing.assert_close(net(x), main + crop_centre(x[:, :, -3:], 4, 4))


def test_shortcut_settings() -> None:
    net = resnet(
        OLD,
        PLAIN,
        resnet_shortcut_params={"kernel_size": 3, "bias": True, "padding": 1},
        resnet_shortcut_norm_type="batch",
        resnet_post_add_activation="relu",
        final_activation="tanh",
    )
    x = torch.randn(1, 3, 4, 6, 6)
    weight, bias = (net.get_parameter(f"layers.0.shortcut.0.{name}") for name in ("weight", "bias"))
    shortcut = F.conv3d(x, weight, bias, padding=1) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(net(x), torch.tanh(F.relu(net.layers[0].main_block(x) + shortcut)))


def test_without_a_projection_missing_channels_are_zero() -> None:
    net = resnet(OLD, PLAIN, channels=5, resnet_shortcut_projection=False)
    x = torch.randn(1, 3, 4, 6, 6)
    expected = net.layers[0].main_block(x).clone()
    expected[:, :3] += x
    torch.testing.assert_close(net(x), expected)
    narrow = resnet(OLD, PLAIN, channels=2, resnet_shortcut_projection=False)
    torch.testing.assert_close(narrow(x), narrow.layers[0].main_block(x) + x[:, :2])


STEM = {**PLAIN, "out_channels": 5, "conv_params": {"kernel_size": [1, 3, 3], "padding": 1}}


def test_names_of_stems() -> None:
    old = resnet(OLD, PLAIN, stem_config=STEM)
    assert "layers.0.components.conv.conv.weight" in old.state_dict()
    assert "layers.1.main_block.components.conv.conv.weight" in old.state_dict()
    head = resnet(HEAD, PLAIN, stem_config=STEM)
    assert "stem.components.conv.conv.weight" in head.state_dict()
    assert "layers.0.shortcut.weight" in head.state_dict()


def test_dense_blocks_read_the_centre_of_all_before_them() -> None:
    wide = {**PLAIN, "conv_params": {"kernel_size": [2, 3, 3]}, "causal": False}
    params = NetParams.model_validate({"channels": [2, 3], "block_config": wide})
    net = LegacyDenseCore(params, 3, OLD).eval()
    x = torch.randn(1, 3, 5, 8, 8)
    first = net.layers[0](x)
    assert first.shape == (1, 2, 4, 6, 6)
    joined = torch.cat([x[:, :, 1:, 1:7, 1:7], first], dim=1)
    second = net.layers[1](joined)
    expected = torch.cat([joined[:, :, 1:, 1:5, 1:5], second], dim=1)
    assert net.out_channels == 8
    torch.testing.assert_close(net(x), expected)


def test_vanilla_blocks_follow_one_another() -> None:
    params = NetParams.model_validate(
        {"channels": [2, 3], "block_configs": [PLAIN, POOLED], "stem_config": STEM, "final_activation": "softplus"}
    )
    net = LegacyVanillaCore(params, 3, HEAD).eval()
    x = torch.randn(1, 3, 4, 8, 8)
    assert net.stem is not None
    torch.testing.assert_close(net(x), F.softplus(net.layers[1](net.layers[0](net.stem(x)))))
    assert net.stride == 2


def test_only_the_slots_that_come_out_are_computed() -> None:
    net = resnet(OLD, POOLED)
    computed: list[int] = []
    conv = net.layers[0].main_block.components["conv"]
    conv.register_forward_hook(lambda _m, _x, y: computed.append(y.shape[2]))
    net(torch.randn(1, 3, 5, 8, 8))
    assert computed == [3]


def test_x3d_unit() -> None:
    torch.manual_seed(0)
    params = X3DParams.model_validate(
        {"channels": [4, 4], "depth": [2, 1], "norm_type": "none", "exp_ratio": 2, "spatial_stride_stages": [2, 1],
         "attention_stage": -1, "se_reduction": 2}
    )  # fmt: skip
    net = X3DNet(params, 3, OLD).eval()
    weights = dict(net.named_parameters())
    assert not [name for name in weights if name.endswith("bias") and "attn" not in name]

    def conv(x: Tensor, name: str, **how: Any) -> Tensor:
        return F.conv3d(x, weights[f"layers.{name}.components.conv.conv.weight"], **how)

    def unit(x: Tensor, i: int, stride: int) -> Tensor:
        channels = x.shape[1]
        y = F.pad(x, (0, 0, 0, 0, 2, 2), mode="replicate")
        y = F.pad(conv(y, f"{i}.pre_temporal", groups=channels), (1, 1, 1, 1, 0, 0), mode="replicate")
        y = conv(y, f"{i}.pre_spatial", groups=channels, stride=(1, stride, stride))
        y = conv(F.silu(conv(y, f"{i}.expand")), f"{i}.project")
        proj = weights.get(f"layers.{i}.proj.weight")
        identity = x if proj is None else F.conv3d(x, proj, stride=(1, stride, stride))
        return F.silu(y + identity)

    x = torch.randn(1, 3, 4, 6, 6)
    y = unit(unit(unit(x, 0, 2), 1, 1), 2, 1)
    gate = y.mean((2, 3, 4), keepdim=True)
    for layer in ("1", "3"):
        gate = F.conv3d(gate, weights[f"layers.3.attn.{layer}.weight"], weights[f"layers.3.attn.{layer}.bias"])
        gate = F.silu(gate) if layer == "1" else torch.sigmoid(gate)
    torch.testing.assert_close(net(x), y * gate)
    assert net.stride == 2


def test_x3d_skips_units_in_training_but_leaves_no_parameter_out() -> None:
    net = X3DNet(X3DParams.model_validate({"channels": [3], "stochastic_depth": 0.999, "dropout": 0.0}), 3, OLD).train()
    x = torch.randn(1, 3, 4, 6, 6)
    y = net(x)
    torch.testing.assert_close(y, F.silu(x))
    y.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


BLOCK = {"conv_params": {"kernel_size": [3, 3, 3], "padding": 1}, "norm_type": "rms", "act_type": "silu"}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "norms that look across lags": ("old", {"type": "resnet", "params": {
        "channels": [4, 4], "block_configs": [BLOCK, {**BLOCK, "norm_type": "grn"}]}}),
    "group norm first": ("old", {"type": "vanilla", "params": {
        "channels": [4, 4], "block_configs": [{**BLOCK, "norm_type": "group"}, BLOCK]}}),
    "batch norm": ("old", {"type": "densenet", "params": {
        "channels": [3, 2], "block_config": {**BLOCK, "norm_type": "batch", "act_type": "splitrelu"}}}),
    "dilation over lags": ("old", {"type": "resnet", "params": {
        "channels": [4, 4], "block_configs": [{**BLOCK, "conv_params": {**BLOCK["conv_params"], "stride": 2}},
        {**BLOCK, "conv_params": {"kernel_size": 3, "padding": 2, "dilation": 2}}]}}),
    "zero padding": ("old", {"type": "vanilla", "params": {
        "channels": [4], "block_config": {**BLOCK, "conv_params": {**BLOCK["conv_params"], "padding_mode": "zeros"}}}}),
    "pool over lags": ("head", {"type": "resnet", "params": {
        "channels": [4, 4], "block_configs": [{**BLOCK, "pool_params": {"type": "max", "kernel_size": 2, "stride": 2}},
        BLOCK], "stem_config": {**STEM, "norm_type": "rms"}}}),
    "shortcut with a norm over lags": ("old", {"type": "resnet", "params": {
        "channels": [4], "block_configs": [BLOCK], "resnet_shortcut_norm_type": "grn"}}),
    "x3d": ("old", {"type": "x3d", "params": {"channels": [4], "t_kernel": 3, "exp_ratio": 2}}),
    "depthwise": ("head", {"type": "vanilla", "params": {
        "channels": [4, 4], "block_configs": [{**BLOCK, "conv_params": {**BLOCK["conv_params"], "type": "depthwise"}},
        {**BLOCK, "norm_type": "layer"}]}}),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_sharing_is_exact_in_every_variant(name: str) -> None:
    semantics, convnet = VARIANTS[name]
    twin = made({"convnet": convnet, "output_activation": "softplus"}, semantics)  # type: ignore[arg-type]
    part = clips(twin)
    with torch.no_grad():
        assert largest_relative(twin([part])[0], window_by_window(twin, part)) < 1e-5


def test_dropout_is_drawn_for_each_window() -> None:
    """In training, equal frames of two windows get their own dropout, as they did when windows were samples."""
    block = {**BLOCK, "dropout": 0.5, "conv_params": {"kernel_size": 1}}
    twin = made({"convnet": {"type": "vanilla", "params": {"channels": [4], "block_config": block}}}, lags=[0])
    part = clips(twin, n=1, scored=6)
    assert part.stim is not None
    part.stim[:] = 200  # all windows alike
    assert float(twin([part])[0].detach().std(dim=1).max()) < 1e-6
    twin.train()
    assert float(twin([part])[0].detach().std(dim=1).max()) > 1e-4


def test_batch_norms_learn_from_one_session_at_a_time() -> None:
    block = {**BLOCK, "norm_type": "batch"}
    twin = made({"convnet": {"type": "vanilla", "params": {"channels": [4], "block_config": block}}}).train()
    norm = next(module for module in twin.modules() if isinstance(module, nn.BatchNorm3d))
    seen: list[int] = []
    norm.register_forward_hook(lambda _m, x, _y: seen.append(len(x[0])))
    twin([clips(twin, 0, n=2, scored=1), clips(twin, 1, n=3, scored=1)])
    assert seen == [2, 3]
    twin.eval()([clips(twin, 0, n=2, scored=1), clips(twin, 1, n=3, scored=1)])
    assert seen == [2, 3, 5]
