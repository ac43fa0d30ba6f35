"""Convnets join their blocks as they say; every one streams, learns, and tells where its pixels lie."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from models.made_blocks import assert_learns, assert_streams, nudged
from models.made_components import BLOCKS, CONVNETS
from pydantic import TypeAdapter

from vctrain.config.components.convnets import Convnet
from vctrain.errors import UsageError
from vctrain.models import convnet as module
from vctrain.models.bottlenecks import Bottleneck, keep_branch
from vctrain.models.components import build
from vctrain.models.geometry import Geometry, Space

SIDE = 16
IN = Space(2, Geometry(SIDE))
NAMES = [name for name in CONVNETS if name != "none"]


def convnet(settings: Any, space: Space = IN) -> module.Convnet:
    torch.manual_seed(0)
    return build(TypeAdapter(Convnet).validate_python(settings), space)


@pytest.mark.parametrize("name", NAMES)
def test_convnets_stream_learn_and_write_what_they_say(name):
    built = nudged(convnet(CONVNETS[name]))
    config = TypeAdapter(Convnet).validate_python(CONVNETS[name])
    x = torch.randn(2, 2, config.history + 4, SIDE, SIDE)
    assert_streams(built, x, config.history)
    assert_learns(built, x)
    out = built(x)
    side = built.out.geometry.size
    assert out.shape == (2, built.out.channels, 4, side, side)
    assert built.history == config.history


@examples(max_examples=15, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "channels": st.sampled_from([2, 3]),
                "depth": st.integers(1, 2),
                "temporal_kernel": st.integers(1, 3),
                "spatial_kernel": st.sampled_from([1, 3]),
                "stride": st.sampled_from([1, 2]),
                "expansion": st.integers(1, 3),
                "squeeze_excite": st.booleans(),
            }
        ),
        min_size=1,
        max_size=2,
    ),
    st.sampled_from(["none", "rms", "grn", "batch"]),
)
def test_bottlenecks_stream_and_learn(stages, norm):
    built = nudged(convnet({"type": "x3d", "blocks": stages, "norm": norm, "stochastic_depth": 0.1}))
    x = torch.randn(4, 2, built.history + 3, SIDE, SIDE)
    assert_streams(built, x, built.history)
    assert built(x).shape[3] == built.out.geometry.size
    with torch.random.fork_rng():
        torch.manual_seed(1)  # a draw in which not every clip skips
        assert_learns(built, x)


def test_a_resnet_is_its_blocks_in_turn_and_a_densenet_hands_all_on():
    x = torch.randn(1, 2, 9, SIDE, SIDE)
    blocks = [BLOCKS["plain"], {**BLOCKS["plain"], "pool": "max", "channels": 3}]
    for kind, channels in (("resnet", 6), ("vanilla", 6), ("densenet", 2 + 8 + 6)):
        net = convnet({"type": kind, "blocks": blocks, "final_activation": "relu"}).eval()
        first, second = net.blocks
        assert torch.allclose(net(x), torch.relu(second(first(x))), atol=1e-6)
        assert net.out == Space(channels, IN.geometry.after(2, 2, 0))


def test_a_dense_net_keeps_its_input_at_the_positions_of_its_output():
    """Legacy ones cropped the centre of a map that had only been pooled."""
    net = convnet({"type": "densenet", "blocks": [{**BLOCKS["plain"], "pool": "avg"}, BLOCKS["plain"]]}).eval()
    rows = torch.arange(float(SIDE)).view(1, 1, 1, SIDE, 1).expand(1, 2, 6, SIDE, SIDE)
    kept = net(rows)[0, 0, 0, :, 0]
    geometry = net.out.geometry
    assert torch.allclose(kept, geometry.offset + geometry.stride * torch.arange(8.0))


def test_a_bottleneck_is_factorised_kernels_and_a_shortcut_of_the_newest_frames():
    net = convnet(
        {
            "type": "x3d",
            "blocks": [{"channels": 3, "temporal_kernel": 3, "stride": 2, "expansion": 2}],
            "norm": "none",
            "activation": "relu",
            "dropout": 0.0,
        }
    ).eval()
    unit = net.blocks[0].units[0]
    assert isinstance(unit, Bottleneck)
    over_time, over_space, wider, back = (block.kernel().detach() for block in unit.branch)
    assert over_time.shape == (2, 1, 3, 1, 1)
    assert over_space.shape == (2, 1, 1, 3, 3)
    x = torch.randn(1, 2, 5, SIDE, SIDE)
    both = torch.einsum("ct,cyx->ctyx", over_time[:, 0, :, 0, 0], over_space[:, 0, 0])[:, None]
    mixed = torch.nn.functional.conv3d(x, both, stride=(1, 2, 2), padding=(0, 1, 1), groups=2)
    hidden = torch.relu(torch.einsum("oc,nctyx->notyx", wider[:, :, 0, 0, 0], mixed))
    branch = torch.einsum("oc,nctyx->notyx", back[:, :, 0, 0, 0], hidden)
    expected = torch.relu(branch + unit.shortcut(x[:, :, 2:, ::2, ::2]))
    assert torch.allclose(net(x), expected, atol=1e-5)


def test_stochastic_depth_is_drawn_clip_by_clip_and_keeps_the_mean():
    torch.manual_seed(0)
    kept = keep_branch(torch.ones(4000, 2, 1, 2, 2), 0.3)
    each = kept.flatten(1)
    assert bool((each == each[:, :1]).all())
    assert float((each[:, 0] == 0).float().mean()) == pytest.approx(0.3, abs=0.03)
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.05)


def test_checkpointing_changes_memory_and_nothing_else():
    settings = {"type": "resnet", "blocks": [{**BLOCKS["dilated"], "dropout": 0.3}, BLOCKS["blurred"]]}
    x = torch.randn(2, 2, 9, SIDE, SIDE)
    gradients = []
    for checkpointing in (False, True):
        net = convnet({**settings, "checkpointing": checkpointing}).train()
        calls = []
        net.blocks[0].register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        torch.manual_seed(3)
        net(x).square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
        assert len(calls) == 1 + checkpointing
    assert all(torch.allclose(a, b, atol=1e-5, rtol=1e-4) for a, b in zip(*gradients, strict=True))


def test_a_block_that_leaves_no_map_is_named():
    block = {"channels": 2, "kernel": [1, 9, 9], "padding": "valid"}
    with pytest.raises(UsageError, match=r"kernel \[1, 9, 9\] leaves no feature map of the 8x8 pixels it reads"):
        convnet({"type": "resnet", "blocks": [block, block]})
