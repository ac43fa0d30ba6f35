"""The prediction of a frame does not depend on the clip that holds it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from models.made_twins import clips, config, twin

from vctrain.models.twin import context_of

MODULATORS = [{"type": "none"}, {"type": "concat", "dims": [8, 4]}, {"type": "film", "dims": [8, 4]}]


def _cut(part, first: int, stop: int, context: int):
    behavior = None if part.behavior is None else part.behavior[:, first:stop]
    return replace(part, stim=part.stim[:, first:stop], behavior=behavior, robs=part.robs[:, first : stop - context])


@pytest.mark.parametrize("modulator", MODULATORS)
@pytest.mark.parametrize("output", ["softplus", "exp"])
def test_a_frame_is_predicted_the_same_in_every_clip_with_its_context(modulator, output):
    model = config(modulator=modulator, output=output)
    behavior = 0 if modulator["type"] == "none" else 6
    net, context = twin(model, behavior=behavior), context_of(model)
    long = clips(0, 2, context + 20, 20, 3, behavior=behavior)
    with torch.no_grad():
        whole = net([long])[0]
        for first in (0, 3, 11):
            for scored in (1, 5, 9):
                part = _cut(long, first, first + context + scored, context)
                assert torch.allclose(net([part])[0], whole[:, first : first + scored], atol=1e-6)


def test_frames_outside_the_context_do_not_matter_and_the_oldest_inside_does():
    model = config()
    net, context = twin(model), context_of(model)
    part = clips(0, 1, context + 1, 1, 3)
    with torch.no_grad():
        base = net([part])[0]
        oldest = part.stim.clone()
        oldest[:, 0] = 255 - oldest[:, 0]
        assert not torch.equal(net([replace(part, stim=oldest)])[0], base)


def test_recurrent_warmup_forgets_its_start():
    """With the declared warm-up a ConvGRU twin's predictions agree between clips to 1e-3 of a typical rate.

    Measured on a twin whose gates are as they are initialised; twice the warm-up brings it far lower.
    """
    errors = {}
    for warmup in (24, 48):
        model = config(recurrent={"type": "convgru", "hidden": 6, "kernel": 3, "warmup": warmup})
        net, context = twin(model), context_of(model)
        long = clips(0, 2, context + 40, 40, 3)
        with torch.no_grad():
            whole = net([long])[0]
            late = net([_cut(long, 30, 40 + context, context)])[0]
        errors[warmup] = float((late - whole[:, 30:]).abs().max() / whole.mean())
    assert errors[24] < 1e-3
    assert errors[48] < max(errors[24] / 10, 1e-6)


def test_sessions_share_one_core_pass_and_do_not_touch_each_other():
    model = config()
    net, context = twin(model), context_of(model)
    calls = []
    net.convnet.register_forward_hook(lambda *_: calls.append(1))
    a, b = clips(0, 2, context + 6, 6, 3), clips(1, 3, context + 6, 6, 2)
    with torch.no_grad():
        together = net([a, b])
        assert len(calls) == 1
        assert torch.allclose(net([a])[0], together[0], atol=1e-6)
        assert torch.allclose(net([b])[0], together[1], atol=1e-6)
