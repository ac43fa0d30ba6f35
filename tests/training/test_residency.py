"""Wherever movies lie, a run is the same to the last bit; what does not fit, or is not read, is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from made_sessions import BEHAVIOUR_ALONE, settings

from benchmarks.same_run import differing
from vctrain.config.schema import DataConfig
from vctrain.data.movies import Movie
from vctrain.errors import FaultError, UsageError
from vctrain.runs.supervisor import JOB
from vctrain.training import fit, residency
from vctrain.training.residency import check_room, hold_movies

GPU = torch.device("cuda", 0)


def run(data: Path, folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    fit.train(settings(data, changes), run_dir=folder, provenance={}, argv=[])
    return json.loads((folder / "run.json").read_text())["movies"]


def beyond_settings(one: Path, other: Path) -> list[str]:
    """What two runs do not have in common but where their movies lie."""
    return [what for what in differing(one, other) if not what.endswith("/settings/data/residency")]


def test_a_run_is_the_same_wherever_its_movies_lie(
    tiny_data: Path, tiny_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = run(tiny_data, tmp_path / "host", {"data.residency": "host"})
    assert (held["where"], held["frames"]) == ("cpu", 2 * 5400)
    assert beyond_settings(tiny_run.folder, tmp_path / "host") == []
    # as where a GPU holds them: places leave the loader, frames are gathered when the batch is moved
    clips = Movie.clips
    monkeypatch.setattr(
        Movie, "clips", lambda movie, spans: (clips if movie.frames is None else Movie.places)(movie, spans)
    )
    assert run(tiny_data, tmp_path / "device", {"data.residency": "device"}) == held
    assert beyond_settings(tiny_run.folder, tmp_path / "device") == []
    said = (tmp_path / "device" / "run.log").read_text()
    assert "movies of 2 session(s)" in said


def test_without_being_asked_for_nothing_moves_on_a_cpu(tiny_run) -> None:
    assert json.loads((tiny_run.folder / "run.json").read_text())["movies"] is None


@pytest.mark.parametrize(
    ("asked", "needed", "free", "wanted"),
    [
        ("auto", 25, 100, True),
        ("auto", 26, 100, False),
        ("auto", 1, None, False),
        ("device", 100, 1, True),
        ("host", 100, 1, True),
        ("mmap", 0, 100, False),
    ],
)
def test_a_gpu_takes_what_fits_beside_its_work(
    asked: str, needed: int, free: int | None, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residency, "free_bytes", lambda device: free)
    assert residency._wanted(DataConfig(residency=asked), needed, GPU) is wanted
    assert residency._place(DataConfig(residency=asked), GPU).type == ("cpu" if asked == "host" else "cuda")


@pytest.mark.parametrize("asked", ["host", "device"])
def test_what_does_not_fit_is_refused_with_both_figures(
    asked: str, tiny_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(residency, "free_bytes", lambda device: 1 << 20)
    with pytest.raises(
        FaultError, match=rf"data.residency {asked}: the movies take \d+\.\d MiB, and 1.0 MiB"
    ) as caught:
        run(tiny_data, tmp_path / "run", {"data.residency": asked})
    assert "data.residency=mmap" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_each_process_of_a_host_holds_its_own(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = fit.prepare(settings(tiny_data), 1).sessions
    needed = sum(session.movie.n_bytes for session in sessions)
    monkeypatch.setattr(residency, "free_bytes", lambda device: 2 * needed)
    for asked in ("host", "device"):
        check_room(DataConfig(residency=asked), sessions, torch.device("cpu"), 2)
        with pytest.raises(FaultError):
            check_room(DataConfig(residency=asked), sessions, torch.device("cpu"), 3)
    check_room(DataConfig(residency="device"), sessions, GPU, 3)
    # the command that started this one has asked for all of them
    monkeypatch.setenv(JOB, "folder")
    check_room(DataConfig(residency="host"), sessions, torch.device("cpu"), 3)


def test_what_no_twin_reads_is_not_moved(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.residency host: this twin reads no movie") as caught:
        run(tiny_data, tmp_path / "run", {"data.residency": "host", "model": BEHAVIOUR_ALONE})
    assert caught.value.hint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("asked", ["host", "auto"])
def test_a_held_movie_is_neither_read_nor_weighed_again(
    asked: str, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--max-minutes` has them held to measure the speed, and memory is short by the time that the run begins."""
    chosen = settings(tiny_data, {"data.residency": asked})
    sessions, place = fit.prepare(chosen, 1).sessions, torch.device("cpu")
    if asked == "auto":
        monkeypatch.setattr(residency, "_wanted", lambda data, needed, device: needed > 0)
    first = hold_movies(chosen.data, sessions, place)
    assert first is not None
    monkeypatch.setattr(Movie, "held", None)
    monkeypatch.setattr(residency, "_wanted", lambda *found: False)
    assert hold_movies(chosen.data, sessions, place) == first


def test_a_movie_that_finds_no_room_says_whose_it_is(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def held(movie: Movie, device: torch.device) -> Movie:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Movie, "held", held)
    sessions = fit.prepare(settings(tiny_data), 1).sessions
    with pytest.raises(FaultError, match=r"session SimA_2024-01-01: its movie of \d") as caught:
        hold_movies(DataConfig(residency="device"), sessions, torch.device("cpu"))
    assert "mmap" in caught.value.hint
