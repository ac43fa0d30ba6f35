"""Runs are shown in Weights & Biases and TensorBoard as their own records say, and nothing there ever ends one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from made_offline import history, media, records, rows_of
from made_runs import LAUNCHER, events, stopping
from made_sessions import MODEL, settings

from benchmarks.same_run import differing
from vctrain import cli
from vctrain.errors import FaultError, PreemptedError, UsageError
from vctrain.evaluation.mirror.replay import HandedOver, replay
from vctrain.runs.events import figures_of, read_events, subjects_of
from vctrain.training import beside
from vctrain.training.fit import train
from vctrain.training.resuming import resume

SHOWN = {"logging.wandb": "offline", "logging.plots_every": 2}


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """No account, no launcher."""
    for name in (*LAUNCHER, "WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", "/nowhere")


def shown_run(tiny_data: Path, run: Path, **more: object) -> dict[str, Any]:
    return train(settings(tiny_data, {**SHOWN, **more}), run_dir=run, provenance={}, argv=["vctrain"])


def test_an_offline_run_holds_every_figure_and_picture(tiny_data: Path, tiny_run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = shown_run(tiny_data, run)
    assert result["val_bps"] == tiny_run.result["val_bps"]
    rows, subjects = history(run), subjects_of(run)
    said = {
        event["step"]: figures_of(event, subjects) for event in read_events(run)[0] if event["event"] == "validated"
    }
    assert sorted(rows) == sorted(said) == [6, 12, 18]
    for step, figures in said.items():
        assert {"val/bps_overall", "val_bps_of_subject/SimA", "lr", "train/loss", "pace/data_wait"} <= figures.keys()
        assert {name: rows[step][name] for name in figures} == figures
    for name in ("bps", "temporal", "spatial", "readouts"):
        drawn = (run / "plots" / f"step=000012-{name}.png").read_bytes()
        assert media(run, f"pictures/{name}") == [(12, drawn)]
    summary = {
        item.key: json.loads(item.value_json)
        for record in records(run)
        if record.WhichOneof("record_type") == "summary"
        for item in record.summary.update
    }
    assert (summary["state"], summary["val_bps_overall"]) == ("done", result["val_bps_overall"])
    for name in ("config.yaml", "contract.json"):
        (uploaded,) = run.glob(f"wandb/offline-run-*/files/{name}")
        # of the folder alone: it may be uploaded from elsewhere
        assert not uploaded.is_symlink()
        assert uploaded.read_bytes() == (run / name).read_bytes()
    (said_of_run,) = (r.run for r in records(run) if r.WhichOneof("record_type") == "run")
    config = {item.key: json.loads(item.value_json) for item in said_of_run.config.update}
    chosen = settings(tiny_data, SHOWN).model_dump(mode="json")
    assert {key: config[key] for key in ("optim", "model", "logging")} == {
        key: chosen[key] for key in ("optim", "model", "logging")
    }


def test_regularizers_curriculum_and_the_auxiliary_loss_have_their_figures(tiny_data: Path, tmp_path: Path) -> None:
    """Every kind of figure that only some runs have."""
    run = tmp_path / "run"
    more = {
        "model": {**MODEL, "modulator": {"type": "pc", "dims": [4], "hidden": 4, "warmup": 4}},
        "data.curriculum": {"warmup_steps": 8},
        "regularization": [{"name": "sparse", "type": "l1", "lambda": 1e-4, "apply_to": ["features"]}],
        "logging.plots_every": 0,
    }
    shown_run(tiny_data, run, **more)
    rows, said = history(run), events(run, "validated")
    renamed = {"penalty/sparse": "penalty/sparse", "train/aux_loss": "aux_loss", "curriculum_alpha": "curriculum_alpha"}
    for event in said:
        row = rows[event["step"]]
        assert {name: row[name] for name in renamed} == {name: event[there] for name, there in renamed.items()}
        assert event["penalty/sparse"] > 0 < event["aux_loss"]
        of = {s: [v for n, v in event.items() if n.startswith(f"val_bps/{s}")] for s in ("SimA", "SimB")}
        for subject, values in of.items():
            assert row[f"val_bps_of_subject/{subject}"] == pytest.approx(sum(values) / len(values))
        assert row["pace/frames_per_second"] > 0 <= row["pace/data_wait"] < 1
    assert [rows[step]["curriculum_alpha"] for step in (12, 18)] == [1.0, 1.0]
    assert rows[6]["curriculum_alpha"] < 1


def test_a_resumed_run_has_one_id_and_each_step_once(tiny_data: Path, tmp_path: Path, monkeypatch) -> None:
    run = tmp_path / "run"
    stopping(monkeypatch, 8)
    with pytest.raises(PreemptedError):
        shown_run(tiny_data, run)
    stopping(monkeypatch, None)
    resume(run, settings(tiny_data, SHOWN), {})
    ids = {r.run.run_id for r in records(run) if r.WhichOneof("record_type") == "run"}
    assert len(ids) == 1
    assert len(list((run / "wandb").glob("offline-run-*"))) == 2
    rows = [row for row in rows_of(run) if "val/bps_overall" in row]
    assert [row["step"] for row in rows] == [6, 12, 18]


def test_a_client_that_breaks_is_one_warning_and_the_run_the_same(
    tiny_data: Path, tiny_run, tmp_path: Path, monkeypatch, capsys
) -> None:
    """A wandb module that raises whatever it likes."""
    (tmp_path / "broken" / "wandb").mkdir(parents=True)
    (tmp_path / "broken" / "wandb" / "__init__.py").write_text("raise RuntimeError('the client is broken')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"), prepend=":")
    run = tmp_path / "run"
    shown_run(tiny_data, run)
    said = capsys.readouterr().err
    assert said.count("the client is broken") == 1
    assert f"vctrain sync {run}" in said
    assert [name for name in differing(tiny_run.folder, run) if "logging" not in name] == []
    assert events(run, "finished")


@pytest.mark.parametrize("key", [None, "a" * 40])
def test_no_key_and_no_network_are_one_warning(key, tiny_data: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    if key is not None:
        monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setattr(beside, "PATIENCE", {"done": 2.0 if key else 60.0})
    run = tmp_path / "run"
    assert shown_run(tiny_data, run, **{"logging.wandb": "online"})["steps"] == 18
    said = capsys.readouterr().err
    assert said.count("vctrain sync") == 1
    assert ("not everything arrived" if key else "No API key") in said


def test_sync_hands_over_what_is_missing(tiny_run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run.folder, run)
    assert replay(run, "wandb-offline").events["validated"] == 3
    assert sorted(history(run)) == [6, 12, 18]
    assert replay(run, "wandb-offline") == HandedOver()
    assert replay(run, "wandb-offline", again=True).events["validated"] == 3


def test_sync_without_a_network_says_what_to_do(tiny_run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run.folder, run)
    with pytest.raises(FaultError, match="No API key"):
        replay(run, "wandb")
    # nothing counts as handed over
    assert replay(run, "wandb-offline").events["validated"] == 3


def test_tensorboard_has_the_figures(tiny_run, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    shutil.copytree(tiny_run.folder, run)
    with pytest.raises(SystemExit) as caught:
        cli.main(["sync", str(run), "--to", "tensorboard"])
    assert not caught.value.code
    read = EventAccumulator(str(run / "tensorboard"))
    read.Reload()
    said = [event["val_bps_overall"] for event in events(run, "validated")]
    assert [point.value for point in read.Scalars("val/bps_overall")] == pytest.approx(said)
    assert [point.step for point in read.Scalars("lr")] == [6, 12, 18]


@pytest.mark.parametrize(
    ("given", "said", "mode"),
    [(None, None, None), (None, "online", "online"), (None, "disabled", "off"), ("off", "online", "off")],
)
def test_the_flag_comes_before_the_variable(given, said, mode, monkeypatch) -> None:
    from vctrain.commands.options import wandb_mode

    if said is not None:
        monkeypatch.setenv("WANDB_MODE", said)
    assert wandb_mode(given) == mode
    monkeypatch.setenv("WANDB_MODE", "nonsense")
    with pytest.raises(UsageError, match="nonsense"):
        wandb_mode(None)
