"""On a GPU a run is the run that a CPU makes, its movies lie there, and its steps hardly wait. Needs a GPU."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_sessions import settings
from training.test_module import batch, new_module

from vctrain.data.clips import Places
from vctrain.evaluation.evaluate import evaluate
from vctrain.training import fit
from vctrain.training.loss import session_losses, step_loss

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")


@pytest.mark.parametrize("more", [{}, {"trainer.compile": True}, {"trainer.precision": "bf16-mixed"}])
def test_a_run_on_a_gpu_is_that_of_a_cpu(more: dict[str, object], tiny_data: Path, tiny_run, tmp_path: Path) -> None:
    changes = {"trainer.accelerator": "gpu", **more}
    result = fit.train(settings(tiny_data, changes), run_dir=tmp_path / "run", provenance={}, argv=[])
    coarse = "trainer.precision" in more
    assert result["val_bps_overall"] == pytest.approx(tiny_run.result["val_bps_overall"], abs=5e-2 if coarse else 2e-3)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["movies"]["where"] == "cuda"
    again = evaluate(result["checkpoint"])
    assert again["bps_overall"] == pytest.approx(result["val_bps_overall"], abs=5e-2 if coarse else 1e-5)


def test_the_forward_and_backward_pass_wait_for_nothing() -> None:
    module = new_module()
    twin = module.twin.to("cuda").train()
    given = batch(0)
    # as from movies that the GPU holds, with frames outside their trial
    parts = []
    for part in given.parts:
        frames = torch.arange(part.stim.shape[:2].numel()).view(part.stim.shape[:2])
        movie = part.stim.flatten(0, 1).cuda()
        parts.append(replace(part, stim=None, places=Places(movie, frames, frames % 7 == 0, 127)))
    given = replace(given, parts=tuple(parts)).pin_memory()

    def step() -> None:
        moved = module.transfer_batch_to_device(given, torch.device("cuda"), 0)
        step_loss(session_losses(twin(moved.parts), moved), moved, 1).backward()

    step()
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert [str(w.message) for w in caught if "called a synchronizing" in str(w.message)] == []
