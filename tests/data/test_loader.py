"""Ranks together see every clip of a step once; evaluation sees every scored frame once, in the same groups."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from made_recordings import covariates, write, write_config

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.clips import ClipBatch
from vctrain.data.loader import EvalLoader, Reads, TrainLoader
from vctrain.data.opening import open_sessions
from vctrain.data.rates import training_rates
from vctrain.data.sampler import ClipSampler
from vctrain.data.session import Session

CONTEXT, FRAMES = 5, 16


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, ...]:
    folder = tmp_path_factory.mktemp("sessions")
    specs = []
    for seed, (name, trials, cids) in enumerate(
        [
            ("Ada_1", (60,) * 10, [0, 2]),
            ("Bob_1", (7, 90, 4, 41, 33, 80, 120, 25), [1]),
            ("Cy_1", (30,) * 20, [2, 1, 0]),
        ]
    ):
        # the frame number is written into the movie, so that clips can be told apart
        content = covariates(trials, seed=seed, gaps=[(20, 26), (100, 101)])
        number = np.arange(len(content["stim"]))
        content["stim"][:, 0, 0] = torch.from_numpy((number % 256).astype(np.uint8))
        content["stim"][:, 0, 1] = torch.from_numpy((number // 256).astype(np.uint8))
        write(folder / name / "a.dset", content)
        specs += load_dataset_configs(write_config(folder, name, ["a"], cids, train_val_split=0.6))
    return open_sessions(specs, CONTEXT)


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, ...]:
    """Two sessions whose units do not count all the time."""
    folder = tmp_path_factory.mktemp("lossy")
    specs = []
    for seed, name in enumerate(("Ada_1", "Bob_1")):
        content = covariates((60,) * 10, seed=seed, gaps=[(20, 26)])
        content["missing_pct"] = 40 + 10 * torch.randn(600, 3, generator=torch.Generator().manual_seed(seed))
        write(folder / name / "a.dset", content)
        ops = {"dfs": {"ops": [{"missing_pct": 45}]}}
        specs += load_dataset_configs(write_config(folder, name, ["a"], [0, 2], datafilters=ops))
    return open_sessions(specs, CONTEXT)


def make_loader(
    sessions: tuple[Session, ...],
    rank: int = 0,
    world: int = 1,
    sampling: dict[str, object] | None = None,
    **changes: object,
) -> TrainLoader:
    sampler = ClipSampler(
        sessions, batch_clips=12, context=CONTEXT, clip_frames=FRAMES, seed=0, world_size=world, **(sampling or {})
    )
    settings = {"steps_per_epoch": 4, "start_step": lambda: 0, **changes}
    return TrainLoader(sampler, sessions, rank=rank, **settings)  # type: ignore[arg-type]


def contents(batch: ClipBatch) -> Counter[tuple[int, bytes]]:
    return Counter((part.session, clip.numpy().tobytes()) for part in batch.parts for clip in part.stim)


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_ranks_together_hold_the_step(sessions: tuple[Session, ...], world: int) -> None:
    alone = list(make_loader(sessions))
    ranks = [list(make_loader(sessions, rank, world)) for rank in range(world)]
    for step, whole in enumerate(alone):
        shared = sum((contents(rank[step]) for rank in ranks), Counter())
        assert shared == contents(whole)
        assert {sum(len(part.stim) for part in rank[step].parts) for rank in ranks} == {12 // world}
        for rank in ranks:
            assert rank[step].counts.equal(whole.counts)
            assert [part.session for part in rank[step].parts] == sorted({part.session for part in rank[step].parts})


def test_counts_are_the_entries_of_the_filters(sessions: tuple[Session, ...]) -> None:
    for batch in make_loader(sessions):
        assert batch.counts.dtype == torch.float64
        for part in batch.parts:
            entries = part.dfs.expand_as(part.robs).sum()
            assert float(batch.counts[part.session]) == float(entries)


@pytest.mark.parametrize("sampling", [{}, {"sampling": "uniform"}, {"sampling": "epoch"}, {"homogeneous": True}])
def test_counts_are_those_of_the_entries_that_count_in_every_mode(
    sessions: tuple[Session, ...], lossy: tuple[Session, ...], sampling: dict[str, object]
) -> None:
    for opened in (sessions, lossy):
        loader = make_loader(opened, sampling=sampling)
        for step in range(25):
            batch = loader.batch(step)
            for part in batch.parts:
                entries = part.dfs.expand_as(part.robs).sum()
                assert float(batch.counts[part.session]) == float(entries)
            assert set(batch.counts.nonzero().flatten().tolist()) <= {part.session for part in batch.parts}


def test_a09_what_sessions_weigh_is_declared(sessions: tuple[Session, ...]) -> None:
    """All the same in stratified steps; as much as they have frames where every frame counts alike."""
    assert make_loader(sessions).batch(0).weights.tolist() == [1, 1, 1]
    for mode in ("uniform", "epoch"):
        batch = make_loader(sessions, sampling={"sampling": mode}).batch(0)
        frames = {part.session: float(part.dfs.sum()) for part in batch.parts}
        assert batch.weights.tolist() == [frames.get(index, 0.0) for index in range(3)]


def test_a_twin_gets_what_it_reads(sessions: tuple[Session, ...]) -> None:
    for loader in (
        make_loader(sessions, reads=Reads(stim=False, history=3)),
        EvalLoader(sessions, "val", context=CONTEXT, frames=9, clips=2, reads=Reads(stim=False, history=3)),
    ):
        for part in loader.batch(0).parts:
            assert part.stim is None
            assert part.history is not None
            assert part.history.shape[1] == part.robs.shape[1] + 3
            assert part.history[:, 3:].equal(part.robs)
    part = make_loader(sessions).batch(0).parts[0]
    assert part.history is None


def test_a_run_resumes_at_any_step(sessions: tuple[Session, ...]) -> None:
    whole = list(make_loader(sessions, steps_per_epoch=9))
    for start in (0, 3, 8):
        resumed = list(make_loader(sessions, steps_per_epoch=1, start_step=lambda start=start: start))
        assert [batch.step for batch in resumed] == [start]
        assert contents(resumed[0]) == contents(whole[start])


def test_the_start_is_asked_when_iteration_begins(sessions: tuple[Session, ...]) -> None:
    step = 0
    loader = make_loader(sessions, steps_per_epoch=2, start_step=lambda: step)
    assert len(loader) == 2
    for epoch in range(3):
        step = 2 * epoch
        assert [batch.step for batch in loader] == [step, step + 1]


def test_the_thread_ends_with_the_iterator(sessions: tuple[Session, ...]) -> None:
    before = threading.active_count()
    iterator = iter(make_loader(sessions, steps_per_epoch=1000))
    next(iterator)
    assert threading.active_count() == before + 1
    iterator.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_at_most_a_few_batches_are_made_ahead(sessions: tuple[Session, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    loader = make_loader(sessions, steps_per_epoch=50)
    made: list[int] = []
    original = loader.batch
    monkeypatch.setattr(loader, "batch", lambda step: made.append(step) or original(step))
    iterator = iter(loader)
    next(iterator)
    time.sleep(0.3)
    assert len(made) <= 5
    iterator.close()  # type: ignore[attr-defined]


def test_errors_of_the_thread_reach_the_loop(sessions: tuple[Session, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    loader = make_loader(sessions)

    def fail(step: int) -> ClipBatch:
        raise OSError("the disk went away")

    monkeypatch.setattr(loader, "batch", fail)
    with pytest.raises(OSError, match="went away"):
        list(loader)


@pytest.mark.parametrize("split", ["train", "val", "all"])
@pytest.mark.parametrize(("frames", "clips"), [(16, 3), (7, 8), (200, 2), (1, 16)])
def test_evaluation_scores_every_frame_once(sessions: tuple[Session, ...], split: str, frames: int, clips: int) -> None:
    loader = EvalLoader(sessions, split, context=CONTEXT, frames=frames, clips=clips)
    seen: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for batch in loader:
        (part,) = batch.parts
        assert part.stim.shape[:2] == (clips, CONTEXT + frames)
        assert float(batch.counts[part.session]) == float(part.dfs.expand_as(part.robs).sum())
        assert batch.counts.count_nonzero() == 1
        number = part.stim[:, CONTEXT:, 0, 0].long() + 256 * part.stim[:, CONTEXT:, 0, 1].long()
        seen[part.session] += number[part.dfs[..., 0] > 0].tolist()
    for index, session in enumerate(sessions):
        expected = [f for start, stop in session.scored(split).table.tolist() for f in range(start, stop)]
        assert sorted(seen[index]) == expected


@pytest.mark.parametrize("world", [2, 3])
def test_groups_go_whole_to_ranks(sessions: tuple[Session, ...], world: int) -> None:
    alone = {batch.step: batch for batch in EvalLoader(sessions, "val", context=CONTEXT, frames=9, clips=2)}
    found: dict[int, ClipBatch] = {}
    for rank in range(world):
        loader = EvalLoader(sessions, "val", context=CONTEXT, frames=9, clips=2, rank=rank, world_size=world)
        batches = list(loader)
        assert len(batches) == len(loader)
        found |= {batch.step: batch for batch in batches}
    assert found.keys() == alone.keys()
    for step, batch in alone.items():
        assert batch.parts[0].stim.equal(found[step].parts[0].stim)
        assert batch.parts[0].dfs.equal(found[step].parts[0].dfs)


def test_training_rates_are_means_over_scored_frames(sessions: tuple[Session, ...]) -> None:
    for session in sessions:
        rows = [
            session.gather([start], frames=stop - start).robs[0]
            for start, stop in session.scored("train").table.tolist()
        ]
        expected = torch.cat(rows).double().mean(0).numpy()
        np.testing.assert_allclose(training_rates(session), expected, rtol=1e-12)


def test_batches_move_whole_and_counts_stay(sessions: tuple[Session, ...]) -> None:
    """The step asks which sessions are silent; on a device that question would wait for it."""
    batch = make_loader(sessions).batch(0).to("meta")
    assert batch.counts.device.type == "cpu"
    assert all(
        tensor.device.type == "meta"
        for part in batch.parts
        for tensor in (part.stim, part.robs, part.dfs, part.behavior)
    )


def test_reading_order_does_not_touch_global_generators(sessions: tuple[Session, ...], tmp_path: Path) -> None:
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    list(make_loader(sessions))
    open_sessions([session.spec for session in sessions], CONTEXT)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
