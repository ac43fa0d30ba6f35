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
from vctrain.training import fit, residency
from vctrain.training.residency import settle

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
    ("asked", "needed", "free", "where"),
    [
        ("auto", 25, 100, GPU),
        ("auto", 26, 100, None),
        ("device", 100, 100, GPU),
        ("host", 50, 100, torch.device("cpu")),
        ("host", 100, None, torch.device("cpu")),
        ("mmap", 0, 100, None),
    ],
)
def test_a_gpu_takes_what_fits_beside_its_work(
    asked: str, needed: int, free: int | None, where: torch.device | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residency, "free_bytes", lambda device: free)
    assert residency._chosen(DataConfig(residency=asked), needed, GPU, 2) == where


@pytest.mark.parametrize("asked", ["host", "device"])
def test_what_does_not_fit_is_refused_with_both_figures(
    asked: str, tiny_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(residency, "free_bytes", lambda device: 1 << 20)
    with pytest.raises(FaultError, match=rf"data.residency {asked}: the movies take \d+\.\d MiB, and 1.0 MiB"):
        run(tiny_data, tmp_path / "run", {"data.residency": asked})


def test_each_process_of_a_host_holds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residency, "free_bytes", lambda device: 100 << 20)
    with pytest.raises(FaultError, match=r"take 102\.0 MiB, and 100\.0 MiB are free"):
        residency._chosen(DataConfig(residency="host"), 51 << 20, GPU, 2)


def test_free_memory_is_that_of_the_machine() -> None:
    free = residency.free_bytes(torch.device("cpu"))
    if not Path("/proc/meminfo").exists():
        assert free is None
    else:
        assert free is not None
        assert 1 << 20 < free < 1 << 50


def test_what_no_twin_reads_is_not_moved(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.residency host: this twin reads no movie") as caught:
        run(tiny_data, tmp_path / "run", {"data.residency": "host", "model": BEHAVIOUR_ALONE})
    assert caught.value.hint
    assert not (tmp_path / "run").exists()


def test_a_held_movie_is_not_read_again(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(tiny_data, {"data.residency": "host"})
    prepared = fit.prepare(chosen, 1)
    first = settle(chosen, prepared)
    monkeypatch.setattr(Movie, "held", None)
    assert settle(chosen, prepared) == first
