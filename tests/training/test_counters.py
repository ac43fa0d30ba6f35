"""The loop counters of a step are those that Lightning itself would have there, and agree with each other."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vctrain.training.counters import loops_at


@given(st.integers(1, 10**6), st.integers(1, 1000), st.integers(1, 8))
def test_counters_agree(step: int, per_epoch: int, accumulate: int) -> None:
    state = loops_at(step, per_epoch, accumulate)
    epochs, batches = state["epoch_progress"]["current"], state["epoch_loop.batch_progress"]
    steps = state["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    assert epochs["completed"] * per_epoch + steps["current"]["completed"] == steps["total"]["completed"] == step
    assert batches["total"]["completed"] == accumulate * step
    assert batches["current"]["completed"] == accumulate * steps["current"]["completed"]
    assert 0 <= steps["current"]["completed"] < per_epoch
    assert epochs["ready"] - epochs["completed"] == (steps["current"]["completed"] > 0)
    assert state["epoch_loop.scheduler_progress"] == {
        "total": steps["total"],
        "current": steps["current"],
    }
    for progress in (epochs, batches["total"], batches["current"]):
        assert progress["ready"] >= progress["started"] >= progress["processed"] >= progress["completed"]


class Line(pl.LightningModule):
    """As little as Lightning trains."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.weight * batch).sum()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Keeps(pl.Callback):
    def __init__(self) -> None:
        self.states: dict[int, Any] = {}

    def on_train_batch_start(self, trainer: pl.Trainer, *arguments: Any) -> None:
        # before the next batch, where the counters of the loop that fetched it do not matter
        self.states[trainer.global_step] = trainer.fit_loop.epoch_loop.batch_progress.current.completed


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_keys_are_those_of_this_lightning(accumulate: int, tmp_path) -> None:
    keeps = Keeps()
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        accumulate_grad_batches=accumulate,
        callbacks=[keeps],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(Line(), torch.utils.data.DataLoader(torch.ones(4 * accumulate, 1)))
    own, ours = trainer.fit_loop.state_dict(), loops_at(8, 4, accumulate)
    assert ours.keys() == own.keys()
    assert ours["epoch_progress"] == own["epoch_progress"]
    for name in ("epoch_loop.batch_progress", "epoch_loop.scheduler_progress"):
        assert ours[name]["total"] == own[name]["total"]
        assert ours[name].keys() == own[name].keys()
    name = "epoch_loop.automatic_optimization.optim_progress"
    assert ours[name]["optimizer"]["step"]["total"] == own[name]["optimizer"]["step"]["total"]
    assert [keeps.states[step] for step in range(4)] == [
        loops_at(step, 4, accumulate)["epoch_loop.batch_progress"]["current"]["completed"] + accumulate - 1
        for step in range(4)
    ]
