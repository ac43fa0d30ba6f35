"""How clips are drawn reaches the run: declared, realised, written down, and only in training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from data.made_recordings import covariates, write, write_config
from made_sessions import settings

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.contract import open_for_checkpoint
from vctrain.data.opening import open_sessions
from vctrain.runs.metrics_file import MetricsFile
from vctrain.training import fit, loaders
from vctrain.training.plan import describe
from vctrain.training.prepare import prepare

CURRICULUM = {"data.curriculum": {"warmup_steps": 12}}


def events(folder: Path, kind: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == kind]


@pytest.mark.parametrize(
    "changes",
    [
        {"data.sampling": "uniform", **CURRICULUM},
        {"data.sampling": "epoch"},
        {"data.composition": "by_subject", **CURRICULUM},
        {"data.homogeneous": True, "data.batch_clips": 1},
    ],
)
def test_every_way_of_sampling_trains_and_says_what_it_drew(tiny_data, tmp_path, changes) -> None:
    chosen = settings(tiny_data, {"trainer.max_epochs": 2, **changes})
    fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    validated = events(tmp_path / "run", "validated")
    assert len(validated) == 2
    for event in validated:
        for shares in (event["session_shares"], event["subject_shares"]):
            assert sum(shares.values()) == pytest.approx(1)  # type: ignore[attr-defined]
        assert set(event["subject_shares"]) == {"SimA", "SimB"}  # type: ignore[arg-type]
        most = 6 * chosen.data.batch_clips * chosen.data.clip_frames
        assert 0.3 * most < event["train_frames"] <= most  # type: ignore[operator]
    rows = MetricsFile(tmp_path / "run").rows()
    if "data.curriculum" in changes:
        assert [float(row["curriculum_alpha"]) for row in rows] == pytest.approx([0.75, 1.0])
    else:
        assert "curriculum_alpha" not in rows[0]


def test_a08_the_curriculum_never_reaches_validation(tiny_data) -> None:
    """The same chunks are scored with and without it, while the clips trained on differ."""
    found = []
    for changes in ({}, CURRICULUM):
        prepared = prepare(settings(tiny_data, changes), 1)
        loader = loaders.validation_loader(prepared.sessions, "val", prepared.twin, 0, 1)
        found.append(([part.stim for batch in loader for part in batch.parts], prepared.sampler.clips(0).start))
    assert all(torch.equal(a, b) for a, b in zip(found[0][0], found[1][0], strict=True))
    assert found[0][1].tolist() != found[1][1].tolist()


def test_a08_processes_share_one_draw(tiny_data) -> None:
    """The clips of two processes together are those of one: nothing is divided twice."""
    one = prepare(settings(tiny_data, CURRICULUM), 1).sampler.clips(3)
    two = prepare(settings(tiny_data, CURRICULUM), 2).sampler
    parts = [two.clips(3).of_rank(rank, 2) for rank in range(2)]
    together = sorted((s, f) for part in parts for s, f in zip(part.session, part.start, strict=True))
    assert together == list(zip(one.session, sorted_starts(one), strict=True))
    assert [len(part.start) for part in parts] == [2, 2]


def sorted_starts(clips) -> list[int]:  # type: ignore[no-untyped-def]
    return [start for _, start in sorted(zip(clips.session, clips.start, strict=True))]


def test_a_plan_shows_shares_weights_and_the_schedule(tiny_data) -> None:
    plan = describe(settings(tiny_data, {"data.composition": "by_subject", **CURRICULUM}))
    assert [session["clips"] for session in plan["sessions"]] == [2, 2]
    assert [session["weight"] for session in plan["sessions"]] == [0.5, 0.5]
    first, last = plan["schedule"][0], plan["schedule"][-1]
    assert (first["step"], first["curriculum_alpha"]) == (0, 0.5)
    assert (last["step"], last["curriculum_alpha"]) == (17, 1.0)
    assert any("curriculum: frames weigh min(1, alpha * contrast" in note for note in plan["notes"])
    uniform = describe(settings(tiny_data, {"data.sampling": "uniform", "data.composition": "by_size"}))
    assert any("composition by_size has no effect" in note for note in uniform["notes"])


def test_trials_stay_in_the_split_they_were_trained_in_when_a_recording_grows(tmp_path: Path) -> None:
    """A permutation of more trials is another one: without the stored list, trials trained on would be scored."""
    short, long = covariates((40,) * 20), covariates((40,) * 26)
    write(tmp_path / "Ada_1" / "a.dset", short)
    config = write_config(tmp_path, "Ada_1", ["a"], [0, 2], train_val_split=[0.6, 0.2, 0.2])
    trained = open_sessions(load_dataset_configs(config), 4)[0]
    stored = json.loads(json.dumps(trained.describe()))
    assert sorted(t for named in stored["split"]["trials"]["a"].values() for t in named) == list(range(20))
    write(tmp_path / "Ada_1" / "a.dset", long)
    matched = open_for_checkpoint(load_dataset_configs(config), [stored], 4, all_required=True)
    grown = matched.sessions[0]
    assert any("6 trials of a that the checkpoint does not know" in note for note in matched.notes)
    anew = open_sessions(load_dataset_configs(config), 4)[0].describe()["split"]["trials"]["a"]
    found = grown.describe()["split"]["trials"]["a"]
    for split, trials in stored["split"]["trials"]["a"].items():
        assert set(trials) <= set(found[split])
    assert set(stored["split"]["trials"]["a"]["train"]) & set(anew["val"] + anew["test"])
