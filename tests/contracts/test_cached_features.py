"""Features of a frozen vision that are kept on disk change the time of a run, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from made_sessions import MODEL, SIMULATION, settings

from vctrain.config.datasets import load_dataset_configs
from vctrain.config.legacy import read_legacy_config
from vctrain.config.schema import Settings
from vctrain.data.movies import Movie
from vctrain.data.opening import open_sessions
from vctrain.data.simulation import simulate
from vctrain.errors import FaultError, NumericsError, UsageError
from vctrain.evaluation.evaluate import evaluate
from vctrain.models.build import build_twin
from vctrain.runs.checkpoints import content, read_checkpoint, write_portable
from vctrain.training import features, fit
from vctrain.training.prepare import prepare

BLOCK = {"channels": 4, "kernel": [3, 3, 3], "norm": "grn", "activation": "splitrelu"}
VISION: dict[str, Any] = {**MODEL, "convnet": {**MODEL["convnet"], "blocks": [BLOCK]}}
REST: dict[str, dict[str, Any]] = {
    "film and convgru": {"recurrent": {"type": "convgru", "hidden": 4, "warmup": 8}},
    "convgru of behaviour": {"modulator": {"type": "convgru", "dims": [4], "hidden": 4, "warmup": 6}},
    "predictive coding": {"modulator": {"type": "pc", "dims": [4], "hidden": 4, "warmup": 6}},
    "spike history": {"history": {"type": "mlp", "num_lags": 30}},
}
"""What follows the vision: stages that remember, and more context than the vision needs."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "vctrain" / "features"


@pytest.fixture(scope="module")
def base(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a vision with temporal taps, on two sessions."""
    folder = tmp_path_factory.mktemp("base") / "run"
    fit.train(settings(tiny_data, {"model": VISION, "trainer.max_epochs": 1}), run_dir=folder, provenance={}, argv=[])
    return folder / "checkpoints" / "best.ckpt"


def tuned(data: Path, base: Path, cached: bool, rest: dict[str, Any] | None = None, **changes: Any) -> Settings:
    start = {"checkpoint": str(base), "load": "all", "freeze_vision": True, "model": "settings"}
    flags: dict[str, object] = {f"start.{key}": value for key, value in start.items()}
    flags |= {"start.cache_features": cached, "trainer.max_epochs": 2, "trainer.steps_per_epoch": 4}
    flags |= {"model": {**VISION, **(rest or {})}, "init.kernels": "config"}
    return settings(data, flags | {key.replace("__", "."): value for key, value in changes.items()})


def trained(chosen: Settings, folder: Path) -> dict[str, Any]:
    return fit.train(chosen, run_dir=folder, provenance={}, argv=[])


def assert_same(one: Path, other: Path) -> None:
    """Weights to 1e-6 after the last step, and bits per spike of each session."""
    ours, theirs = (read_checkpoint(run / "checkpoints" / "last.ckpt").weights for run in (one, other))
    assert ours.keys() == theirs.keys()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-6
    figures = [
        [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines() if '"validated"' in line]
        for run in (one, other)
    ]
    assert len(figures[0]) == len(figures[1]) == 2
    for mine, its in zip(*figures, strict=True):
        for name in ("train_loss", "val_bps_overall", "val_bps/SimA_2024-01-01", "val_bps/SimB_2024-01-02"):
            assert mine[name] == pytest.approx(its[name], abs=1e-6), name


def no_movie(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a movie was read")

    monkeypatch.setattr(Movie, "clips", refuse)


@pytest.mark.parametrize("name", REST)
def test_a_run_on_kept_features_is_the_run_without_them(base, tiny_data, tmp_path, cache, name) -> None:
    live = trained(tuned(tiny_data, base, False, REST[name]), tmp_path / "live")
    assert "features" not in live
    assert not cache.exists()
    kept = trained(tuned(tiny_data, base, True, REST[name]), tmp_path / "kept")
    assert kept["features"]["written"] == kept["features"]["bytes"] > 0
    assert kept["vision"] == live["vision"]
    assert_same(tmp_path / "live", tmp_path / "kept")
    # eval-bps reads the movie
    assert evaluate(kept["checkpoint"])["bps_overall"] == pytest.approx(kept["val_bps_overall"], abs=1e-6)


def test_later_runs_reuse_them_whatever_follows_the_vision_and_read_no_movie(
    base, tiny_data, tmp_path, cache, monkeypatch, capsys
) -> None:
    changes = {"init__readout_positions": "center", "init__kernels": "config"}
    first = trained(tuned(tiny_data, base, True, **changes), tmp_path / "first")
    said = capsys.readouterr().err
    n = first["features"]["bytes"]
    assert f"features of 2 sessions need {n:,} bytes in {cache}: {n:,} bytes are to be written" in said
    assert sum(path.stat().st_size for path in cache.glob("*/features.npy")) == pytest.approx(n, abs=1000)
    made = {path: path.stat().st_mtime_ns for path in cache.glob("*/features.npy")}
    # all of the base is taken, so that nothing is left to initialise from frames
    tail = tuned(tiny_data, base, True, **changes)
    no_movie(monkeypatch)
    again = trained(tail, tmp_path / "again")
    assert (again["features"]["reused"], again["features"]["written"]) == (n, 0)
    assert f"{n:,} bytes are reused" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in cache.glob("*/features.npy")} == made
    monkeypatch.undo()


@pytest.mark.slow
def test_two_processes_share_them(base, tiny_data, tmp_path, cache, monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rest = REST["film and convgru"]
    trained(tuned(tiny_data, base, False, rest), tmp_path / "live")
    trained(tuned(tiny_data, base, True, rest, trainer__devices=2), tmp_path / "kept")
    assert_same(tmp_path / "live", tmp_path / "kept")
    assert len(list(cache.glob("*/features.npy"))) == 2
    assert not [path for path in cache.iterdir() if path.is_dir() and path.name.startswith(".")]


def test_who_writes_at_the_same_time_finds_the_work_of_the_other(base, tiny_data, cache, monkeypatch) -> None:
    """Two ranks: each session is computed once, by the one or the other."""
    chosen, computed = tuned(tiny_data, base, True), []
    real = features._computed
    monkeypatch.setattr(features, "_computed", lambda *a: (computed.append(a[1].session), real(*a))[1])
    twins = [prepare(chosen, 1) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        found = list(
            pool.map(lambda r: features.fill(twins[r].features, twins[r].twin, twins[r].sessions, r, 2), range(2))
        )
    assert sorted(computed) == [0, 1]
    assert all((found[0][i].values == found[1][i].values).all() for i in (0, 1))


def test_bfloat16_is_kept_as_it_is_computed(base, tiny_data, tmp_path, cache) -> None:
    for cached in (False, True):
        trained(tuned(tiny_data, base, cached, trainer__precision="bf16-mixed"), tmp_path / str(cached))
    ours, theirs = (read_checkpoint(tmp_path / str(c) / "checkpoints" / "last.ckpt").weights for c in (False, True))
    # rounding of float32 moves some values to the next bfloat16
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-3


@pytest.fixture
def three(tmp_path: Path) -> Path:
    simulate(tmp_path / "three", SIMULATION.model_copy(update={"sessions": 3, "minutes": 1.0}))
    return tmp_path / "three" / "dataset.yaml"


def test_a_new_sessions_adapter_must_be_frozen_too(base, three, tmp_path) -> None:
    with pytest.raises(UsageError, match="the adapter would learn of session SimA_2024-01-03") as caught:
        trained(tuned(three, base, True, data__batch_clips=6), tmp_path / "run")
    assert "--freeze adapters" in caught.value.hint
    assert not (tmp_path / "run").exists()
    plan = prepare(tuned(three, base, True, data__batch_clips=6, start__freeze=("adapters",)), 1).features
    assert plan is not None
    assert len(plan.sessions) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start__freeze_vision": False}, "the adapter would learn of session SimA_2024-01-01, SimB_2024-01-02"),
        ({"start__freeze_vision": False, "start__freeze": ("adapters",)}, "the frontend would learn"),
        ({"start__freeze_vision": False, "start__freeze": ("adapters", "frontend")}, "the convnet would learn"),
        ({"start__checkpoint": None, "start__freeze_vision": False}, "start.cache_features is set, but no checkpoint"),
    ],
)
def test_what_would_learn_is_not_kept(base, tiny_data, tmp_path, changes, message) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        trained(tuned(tiny_data, base, True, **changes), tmp_path / "run")
    assert caught.value.hint
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_said_before_anything_is_written(base, tiny_data, tmp_path, cache, monkeypatch) -> None:
    monkeypatch.setattr(features, "_free", lambda root: 1000)
    with pytest.raises(FaultError, match=r"bytes of features are to be written to .*, and 1,000 are free") as caught:
        trained(tuned(tiny_data, base, True), tmp_path / "run")
    assert (caught.value.code, "VCTRAIN_CACHE" in caught.value.hint) == (5, True)
    assert not (tmp_path / "run").exists()
    assert not cache.exists()


def test_what_is_there_needs_no_space(base, tiny_data, tmp_path, cache, monkeypatch) -> None:
    chosen = tuned(tiny_data, base, True)
    filled(chosen)
    monkeypatch.setattr(features, "_free", lambda root: 0)
    assert prepare(chosen, 1).features.n_bytes(there=False) == 0


def filled(chosen: Settings) -> dict[int, Any]:
    prepared = prepare(chosen, 1)
    assert prepared.features is not None
    return features.fill(prepared.features, prepared.twin, prepared.sessions, 0, 1)


def truncated(folder: Path) -> None:
    with (folder / "features.npy").open("r+b") as file:
        file.truncate(5000)


def undescribed(folder: Path) -> None:
    (folder / "about.json").unlink()


def garbled(folder: Path) -> None:
    (folder / "about.json").write_text('{"dtype": "floa')


@pytest.mark.parametrize("damage", [truncated, undescribed, garbled])
def test_what_is_damaged_is_made_again(base, tiny_data, cache, damage: Callable[[Path], None]) -> None:
    chosen = tuned(tiny_data, base, True)
    before = {index: stored.values.copy() for index, stored in filled(chosen).items()}
    damage(next(cache.glob("*/features.npy")).parent)
    assert prepare(chosen, 1).features.n_bytes(there=False) > 0
    after = filled(chosen)
    assert all((before[index] == after[index].values).all() for index in before)


def test_what_ends_halfway_is_never_taken(base, tiny_data, cache, monkeypatch) -> None:
    chosen, calls = tuned(tiny_data, base, True), []
    prepared = prepare(chosen, 1)
    see = prepared.twin.see

    def failing(part: Any) -> torch.Tensor:
        calls.append(part)
        return see(part) * (float("nan") if len(calls) > 3 else 1.0)

    monkeypatch.setattr(prepared.twin, "see", failing)
    with pytest.raises(NumericsError, match="features of session SimA_2024-01-01"):
        features.fill(prepared.features, prepared.twin, prepared.sessions, 0, 1)
    assert [path for path in cache.iterdir() if path.is_dir()] == []
    # nor what a process that was killed has left
    left = cache / f".{prepared.features.sessions[0].folder.name}.12345678"
    shutil.copytree(filled_folder(chosen, cache), left)
    shutil.rmtree(prepared.features.sessions[0].folder)
    filled(chosen)
    assert not left.exists()


def filled_folder(chosen: Settings, cache: Path) -> Path:
    filled(chosen)
    return next(cache.glob("*/features.npy")).parent


def test_they_belong_to_content(base, tiny_data, tmp_path, monkeypatch) -> None:
    """Other weights, precision, frames or movies are other features; another modulator or another place are not."""

    def folders(**changes: Any) -> list[Path]:
        rest, data = changes.pop("rest", None), changes.pop("data", tiny_data)
        start = changes.pop("base", base)
        plan = prepare(tuned(data, start, True, rest, **changes), 1).features
        assert plan is not None
        return [planned.folder for planned in plan.sessions]

    own = folders()
    assert folders(rest=REST["predictive coding"]) == own
    moved = shutil.copytree(tiny_data.parent, tmp_path / "moved") / tiny_data.name
    assert folders(data=moved) == own
    assert set(folders(trainer__precision="bf16-mixed")).isdisjoint(own)
    other = torch.load(base, weights_only=True)
    other["state_dict"]["twin.adapters.1.scale"] *= 1.01
    torch.save(other, tmp_path / "other.ckpt")
    changed = folders(base=tmp_path / "other.ckpt")
    assert (changed[0] == own[0], changed[1] == own[1]) == (True, False)
    recording = next((tmp_path / "moved").rglob("*SimA*/**/gaborium.dset"))
    stored = torch.load(recording, weights_only=True)
    stored["covariates"]["stim"][101, 3, 3] += 1
    torch.save(stored, recording)
    touched = folders(data=moved)
    assert (touched[0] == own[0], touched[1] == own[1]) == (False, True)


LEGACY: dict[str, Any] = {
    "adapter": {"type": "adapter", "params": {"grid_size": 12}},
    "frontend": {"type": "learnable_temporal", "params": {"kernel_size": 3, "num_channels": 2}},
    "convnet": {
        "type": "resnet",
        "params": {
            "channels": [4],
            "block_configs": [
                {"conv_params": {"kernel_size": [3, 3, 3], "padding": 1}, "norm_type": "rms", "act_type": "silu"}
            ],
        },
    },
}


@pytest.mark.parametrize(("kind", "keeps"), [("film", True), ("convgru", False)])
def test_a_legacy_twin_keeps_them_where_frames_alone_matter(tiny_data, tmp_path, kind, keeps) -> None:
    sessions = open_sessions(load_dataset_configs(tiny_data), 7)
    modulator = {"type": kind, "params": {"behavior_dim": sessions[0].behavior_dim}}
    modulator["params"] |= {"hidden_dim": 4} if kind == "convgru" else {}
    model = read_legacy_config({**LEGACY, "modulator": modulator}, semantics="old", lags=tuple(range(8)))
    torch.manual_seed(0)
    twin = build_twin(model, sessions)
    with torch.no_grad():
        for parameter in twin.readouts.parameters():
            # the angle of a round mask has no gradient but rounding, which Adam would blow up
            parameter.add_(0.1 * torch.randn_like(parameter))
    stored = content(settings(tiny_data), [session.describe() for session in sessions], twin.context, model)
    write_portable(tmp_path / "old.pt", twin.state_dict(), stored)
    chosen = {
        cached: tuned(
            tiny_data, tmp_path / "old.pt", cached, start__model="checkpoint", data__clip_frames=8, optim__lr=1e-4
        )
        for cached in (False, True)
    }
    if not keeps:
        with pytest.raises(UsageError, match="the modulator of this legacy model reads the convnet at every lag"):
            prepare(chosen[True], 1)
        return
    for cached, asked in chosen.items():
        trained(asked, tmp_path / str(cached))
    assert_same(tmp_path / "False", tmp_path / "True")
