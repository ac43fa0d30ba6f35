"""A run, end to end: what it returns, what its directory holds, and that it trains."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml
from made_sessions import settings

from vctrain.config.datasets import load_dataset_configs
from vctrain.config.resolve import read_settings
from vctrain.data.opening import open_sessions
from vctrain.errors import UsageError
from vctrain.evaluation.evaluate import evaluate
from vctrain.models.twin import Twin, context_of
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.runs.metrics_file import MetricsFile
from vctrain.training import fit, loaders, plan

NAMES = ("SimA_2024-01-01", "SimB_2024-01-02")


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_result_is_what_train_json_promises(tiny_run) -> None:
    result = tiny_run.result
    assert set(result) == {
        "run",
        "checkpoint",
        "val_bps_overall",
        "val_bps",
        "oracle_bps_overall",
        "fraction_of_oracle",
        "steps",
        "seconds",
    }
    assert json.loads(json.dumps(result)) == result
    assert result["steps"] == 18
    assert tuple(result["val_bps"]) == NAMES
    assert result["val_bps_overall"] == pytest.approx(sum(result["val_bps"].values()) / 2, abs=1e-12)
    assert Path(result["run"]) == tiny_run.folder
    assert Path(result["checkpoint"]).is_file()
    assert result["fraction_of_oracle"] == pytest.approx(
        result["val_bps_overall"] / result["oracle_bps_overall"], abs=1e-12
    )


def test_the_directory_holds_what_a_run_directory_is(tiny_run) -> None:
    run = tiny_run.folder
    assert {"config.yaml", "run.json", "contract.json", "events.jsonl", "metrics.csv", "run.log"} <= {
        path.name for path in run.iterdir()
    }
    assert {"last.ckpt", "best.ckpt"} <= {path.name for path in (run / "checkpoints").iterdir()}
    numbered = [p for p in (run / "checkpoints").iterdir() if p.name.startswith("epoch=")]
    assert 1 <= len(numbered) <= tiny_run.settings.checkpoint.keep_best
    assert not [p for p in run.rglob("*") if p.name.endswith((".part", ".new", ".tmp"))]
    assert read_settings(run / "config.yaml") == tiny_run.settings
    assert "# --seed" in (run / "config.yaml").read_text()
    state = json.loads((run / "run.json").read_text())
    assert state["state"] == "done"
    assert state["best_score"] == tiny_run.result["val_bps_overall"]
    contract = json.loads((run / "contract.json").read_text())
    assert [(s["name"], s["cids"]) for s in contract["sessions"]] == [(name, [0, 1, 2, 3]) for name in NAMES]
    assert all(s["fingerprint"] for s in contract["sessions"])


def test_events_tell_the_story_in_order(tiny_run) -> None:
    events = [json.loads(line) for line in (tiny_run.folder / "events.jsonl").read_text().splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "created"
    assert kinds.count("validated") == 3
    assert kinds[-1] == "finished"
    assert all(event["v"] == 1 and event["time"] for event in events)
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


def test_metrics_have_a_row_a_validation_and_no_clock(tiny_run) -> None:
    table = rows(tiny_run.folder)
    assert [(row["step"], row["epoch"]) for row in table] == [("6", "0"), ("12", "1"), ("18", "2")]
    assert not [name for name in table[0] if any(word in name for word in ("time", "second", "speed", "per_s", "eta"))]
    best = max(float(row["val_bps_overall"]) for row in table)
    assert best == tiny_run.result["val_bps_overall"]
    for row in table:
        mean = sum(float(row[f"val_bps/{name}"]) for name in NAMES) / 2
        assert float(row["val_bps_overall"]) == pytest.approx(mean, abs=1e-12)


def test_training_lowers_the_loss(tiny_data, tmp_path) -> None:
    """The mean loss of each epoch, on data too few to generalise from, falls well below that of the first."""
    changes = {"trainer.max_epochs": 3, "trainer.steps_per_epoch": 30, "optim.lr": 1e-2, "data.batch_clips": 8}
    fit.train(settings(tiny_data, changes), run_dir=tmp_path / "run", provenance={}, argv=[])
    losses = [float(row["train_loss"]) for row in rows(tmp_path / "run")]
    assert losses[2] < losses[0] - 0.01


def test_a_dry_run_describes_the_run_that_follows(tiny_run, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    described = plan.describe(tiny_run.settings)
    assert list(tmp_path.iterdir()) == []
    assert described["steps"] == tiny_run.result["steps"]
    stored = read_checkpoint(tiny_run.folder)
    trained = sum(p.numel() for p in stored.build().parameters() if p.requires_grad)
    assert described["parameters"]["core"] + described["parameters"]["head"] == trained
    assert sum(group["size"] for group in described["groups"]) == trained
    assert [s["name"] for s in described["sessions"]] == list(NAMES)
    assert sum(s["clips"] for s in described["sessions"]) == tiny_run.settings.data.batch_clips
    assert all(s["train_frames"] + s["val_frames"] <= s["frames"] for s in described["sessions"])


def test_every_validation_scores_each_frame_once(tiny_run) -> None:
    data = tiny_run.settings.data
    specs = load_dataset_configs(data.path, data_root=None, types=None, max_datasets=None)
    sessions = open_sessions(specs, context_of(tiny_run.settings.model))
    twin = Twin(tiny_run.settings.model, sessions)
    for split in ("train", "val"):
        seen: dict[int, float] = {0: 0.0, 1: 0.0}
        for batch in loaders.validation_loader(sessions, split, twin, 0, 1):
            for part in batch.parts:
                seen[part.session] += float(part.dfs.sum())
                assert part.rate_true is not None
        assert seen == {i: float(session.n_scored(split)) for i, session in enumerate(sessions)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.batch_clips": 1}, "batch_clips 1"),
        ({"data.path": None}, r"data\.path"),
        ({"model.adapter": {"type": "adapter", "grid_size": 4}, "model.convnet.stem.padding": "valid"}, "feature map"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_created(tiny_data, tmp_path, changes, message) -> None:
    chosen = settings(tiny_data, changes)
    if changes.get("data.path", "") is None:
        chosen = chosen.model_copy(update={"data": chosen.data.model_copy(update={"path": None})})
    with pytest.raises(UsageError, match=message):
        fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_breaks_says_so(tiny_data, tmp_path, monkeypatch) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("half way")

    monkeypatch.setattr(fit, "before_first_step", broken)
    with pytest.raises(ZeroDivisionError):
        fit.train(settings(tiny_data), run_dir=tmp_path / "run", provenance={}, argv=[])
    state = json.loads((tmp_path / "run" / "run.json").read_text())
    assert state["state"] == "failed"
    assert "half way" in state["error"]


def test_early_stopping_ends_a_run_that_no_longer_improves(tiny_data, tmp_path) -> None:
    changes = {"trainer.max_epochs": 8, "trainer.steps_per_epoch": 2, "trainer.patience": 1, "trainer.min_delta": 10.0}
    result = fit.train(settings(tiny_data, changes), run_dir=tmp_path / "run", provenance={}, argv=[])
    assert result["steps"] == 4
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["trainer"]["patience"] == 1


def test_the_numbers_of_a_run_do_not_leave_the_seed_behind(tiny_data, tmp_path) -> None:
    """Other seeds, other clips and other weights."""
    weights = []
    for seed in (1, 2):
        chosen = settings(tiny_data, {"seed": seed, "trainer.max_epochs": 1, "trainer.steps_per_epoch": 1})
        fit.train(chosen, run_dir=tmp_path / str(seed), provenance={}, argv=[])
        weights.append(read_checkpoint(tmp_path / str(seed) / "checkpoints" / "last.ckpt").weights)
    assert not torch.equal(weights[0]["readouts.0.features"], weights[1]["readouts.0.features"])


def test_an_average_of_the_weights_is_validated_and_kept(tiny_data, tmp_path) -> None:
    """The checkpoint holds the average, whose figure is the one reported, beside the weights that go on training."""
    changes = {"trainer.ema_decay": 0.9, "trainer.max_epochs": 2}
    result = fit.train(settings(tiny_data, changes), run_dir=tmp_path / "run", provenance={}, argv=[])
    best = torch.load(result["checkpoint"], weights_only=True)
    average, current = best["state_dict"], best["current_model_state"]
    assert any(not torch.equal(average[name], current[name]) for name in average)
    again = evaluate(result["checkpoint"])
    assert again["bps_overall"] == pytest.approx(result["val_bps_overall"], abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainer.precision": "16-mixed"}, "needs a GPU"),
        ({"optim.lambda_pred": 0.2}, "no predictive coding"),
        (
            {"regularization": [{"name": "r", "type": "l1", "strength": 1, "apply_to": ["fetures"]}]},
            "regularizer r: no parameter matches 'fetures'",
        ),
    ],
)
def test_settings_without_effect_are_refused_before_anything_is_created(tiny_data, tmp_path, changes, message) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        fit.train(settings(tiny_data, changes), run_dir=tmp_path / "run", provenance={}, argv=[])
    assert caught.value.hint
    assert not (tmp_path / "run").exists()


def test_every_schedule_accumulation_and_regularizer_trains(tiny_data, tmp_path) -> None:
    changes = {
        "optim.schedule": "plateau",
        "trainer.accumulate": 2,
        "trainer.max_epochs": 2,
        "regularization": [
            {"name": "sparse", "type": "l1", "lambda": 1e-4, "apply_to": ["features"]},
            {"name": "narrow", "type": "proximal_clamp_positive", "lambda": 0.7, "apply_to": ["readouts/std"]},
        ],
    }
    result = fit.train(settings(tiny_data, changes), run_dir=tmp_path / "run", provenance={}, argv=[])
    assert result["steps"] == 12
    rows = MetricsFile(tmp_path / "run").rows()
    assert all(float(row["penalty/sparse"]) > 0 for row in rows)
    weights = torch.load(result["checkpoint"], weights_only=True)["state_dict"]
    assert max(float(v.max()) for n, v in weights.items() if n.endswith(".std")) <= 0.7 + 1e-6


def test_plateau_lowers_the_learning_rate_of_a_run(tiny_data: Path, tmp_path: Path) -> None:
    """A rate too small to improve anything: each validation after the first halves it."""
    chosen = settings(
        tiny_data,
        {
            "optim.schedule": "plateau",
            "optim.plateau_patience": 0,
            "optim.lr": 1e-12,
            "optim.warmup_steps": 0,
            "trainer.max_epochs": 5,
            "trainer.steps_per_epoch": 1,
        },
    )
    fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    rates = [float(row["lr"]) for row in rows(tmp_path / "run")]
    # the rate of the next step is set when a step ends, before its validation
    assert rates[-1] < rates[0] / 2
    assert rates == sorted(rates, reverse=True)
