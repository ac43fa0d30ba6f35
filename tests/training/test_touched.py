"""The log says of every setting what it touches, and what would touch nothing is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_sessions import BEHAVIOUR_ALONE, MODEL, settings

from vctrain.errors import UsageError
from vctrain.training import fit, plan
from vctrain.training.prepare import prepare
from vctrain.training.touched import touched


def lines(data: Path, changes: dict[str, Any]) -> str:
    chosen = settings(data, changes)
    prepared = prepare(chosen, 1)
    return "\n".join(touched(chosen, prepared.twin, prepared.sampler))


def test_every_setting_says_what_it_touches(tiny_data) -> None:
    said = lines(
        tiny_data,
        {
            "optim.core_lr_scale": 0.5,
            "optim.grad_clip": 2.0,
            "trainer.ema_decay": 0.99,
            "trainer.accumulate": 3,
            "data.composition": "by_size",
            "model": {**MODEL, "modulator": {"type": "pc", "dims": [4], "hidden": 4, "warmup": 4}},
            "regularization": [
                {"name": "sparse", "type": "l1", "strength": 1e-4, "apply_to": ["features"]},
                {"name": "few", "type": "group_lasso", "strength": 0.1, "apply_to": ["kernel/raw"], "groups": "filter"},
            ],
        },
    )  # fmt: skip
    chosen = prepare(settings(tiny_data, {"model": {**MODEL, "modulator": {"type": "pc", "dims": [4], "hidden": 4,
                                                                            "warmup": 4}}}), 1)  # fmt: skip
    heads = [p for n, p in chosen.twin.named_parameters() if n.startswith(("readouts.", "adapters."))]
    size = sum(p.numel() for p in chosen.twin.parameters() if p.requires_grad)
    assert "learning rate: core 0.0015 (" in said
    assert f"head 0.003 ({len(heads)} tensors, {sum(p.numel() for p in heads):,} numbers)" in said
    assert "not, being under l2 or group penalties, convnet.stem.kernel.raw, frontend.kernel.raw" in said
    assert "regularizer sparse: l1 0.0001, constant, on 2 tensors (" in said
    assert ": readouts.*.features" in said
    assert f"grad_clip: the gradient of all {size:,} numbers is no longer than 2" in said
    assert f"ema_decay: {size:,} numbers are averaged (0.99)" in said
    assert "lambda_pred: prediction errors of the scored frames of all sessions weigh 0.1" in said
    assert "accumulate: a step is the mean gradient of 3 batches" in said
    assert "composition by_size: 2 clips of each of 2 sessions" in said


def test_what_is_left_out_says_nothing(tiny_data) -> None:
    said = lines(tiny_data, {"optim.grad_clip": 0, "optim.weight_decay": 0, "data.sampling": "uniform"})
    assert "weight decay: none" in said
    assert not any(word in said for word in ("grad_clip", "ema_decay", "lambda_pred", "accumulate", "regularizer"))


def test_the_log_of_a_run_has_it(tiny_run) -> None:
    log = (tiny_run.folder / "run.log").read_text()
    for text in ("learning rate: core", "weight decay 0.0001:", "grad_clip:", "composition equal: 2 clips of each"):
        assert text in log


def frozen(data: Path, run: Path, freeze: tuple[str, ...], **changes: Any) -> Any:
    return settings(data, {"start.checkpoint": str(run), "start.freeze": freeze, **changes})


def test_a_scale_of_a_core_that_does_not_learn_is_refused(tiny_run, tiny_data, tmp_path) -> None:
    with pytest.raises(UsageError, match=r"optim.core_lr_scale is 0.5, but nothing of the core learns") as caught:
        fit.train(
            frozen(tiny_data, tiny_run.folder, ("core",), **{"optim.core_lr_scale": 0.5}),
            run_dir=tmp_path / "run", provenance={}, argv=[],
        )  # fmt: skip
    assert "core_lr_scale=1" in caught.value.hint
    assert not (tmp_path / "run").exists()
    prepare(frozen(tiny_data, tiny_run.folder, ("core",)), 1)
    prepare(frozen(tiny_data, tiny_run.folder, ("convnet",), **{"optim.core_lr_scale": 0.5}), 1)


def test_a_scale_that_the_checkpoint_brings_is_no_mistake(tiny_data, tmp_path) -> None:
    scaled = {"optim.core_lr_scale": 0.5, "trainer.max_epochs": 1, "trainer.steps_per_epoch": 1}
    fit.train(settings(tiny_data, scaled), run_dir=tmp_path / "base", provenance={}, argv=[])
    chosen = frozen(tiny_data, tmp_path / "base", ("core",), **scaled)
    described = plan.describe(chosen)
    assert any("core nothing learns" in note for note in described["notes"])
    assert "lr_core" not in described["curves"]


def test_a_regularizer_of_what_is_frozen_is_refused(tiny_run, tiny_data) -> None:
    penalty = [{"name": "sparse", "type": "l1", "strength": 1e-4, "apply_to": ["stem/kernel"]}]
    with pytest.raises(UsageError, match="that learns; 2 do not, such as convnet") as caught:
        prepare(frozen(tiny_data, tiny_run.folder, ("core",), regularization=penalty), 1)
    assert caught.value.hint


def test_each_pattern_says_how_much_it_freezes(tiny_run, tiny_data) -> None:
    begun = prepare(
        frozen(tiny_data, tiny_run.folder, ("core", "readouts/std"), **{"start.freeze_vision": True}), 1
    ).started
    assert begun is not None
    said = "\n".join(begun.notes)
    core = [n for n, _ in begun.twin.named_parameters() if not n.startswith(("readouts.", "adapters."))]
    assert f"--freeze core: {len(core)} parameters stay" in said
    assert "--freeze readouts/std: 2 parameters stay" in said
    assert "--freeze-vision: " in said


def test_freezing_the_vision_of_a_twin_without_one_is_refused(tiny_data, tmp_path) -> None:
    changes = {"model": BEHAVIOUR_ALONE, "trainer.max_epochs": 1, "trainer.steps_per_epoch": 1}
    fit.train(settings(tiny_data, changes), run_dir=tmp_path / "base", provenance={}, argv=[])
    changes |= {"start.checkpoint": str(tmp_path / "base"), "start.freeze_vision": True}
    with pytest.raises(
        UsageError, match="--freeze-vision: this twin has no parameter of adapters, frontend or convnet"
    ):
        prepare(settings(tiny_data, changes), 1)


@pytest.mark.parametrize(("schedule", "turn"), [("step", 30), ("cosine_warmup_restart", 20)])
def test_a_plan_counts_epochs_as_training_does(tiny_data, schedule, turn) -> None:
    changes = {"optim.schedule": schedule, "trainer.max_epochs": 60, "optim.warmup_steps": 0}
    changes |= {"optim.restart_epochs": 20} if schedule != "step" else {}
    chosen = settings(tiny_data, changes)
    curves = plan.curves(chosen, prepare(chosen, 1).twin)
    rates = dict(zip(curves["step"], curves["lr_head"], strict=True))
    per_epoch = chosen.trainer.steps_per_epoch
    first = [rates[step] for step in rates if step < turn * per_epoch]
    if schedule == "step":
        assert set(first) == {chosen.optim.lr}
        assert rates[max(rates)] == chosen.optim.lr / 2
    else:
        assert first == sorted(first, reverse=True)
        assert rates[min(step for step in rates if step >= turn * per_epoch)] > 0.9 * chosen.optim.lr
