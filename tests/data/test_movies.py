"""A movie that is held in memory, or on a device, gives the clips of the one in its file."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from made_recordings import covariates
from test_gather import opened, worlds

from vctrain.config.datasets import load_dataset_configs
from vctrain.data import movies
from vctrain.data.clips import Places, SessionClips
from vctrain.data.movies import Movie
from vctrain.data.opening import open_sessions

CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")


def same(found: SessionClips, expected: SessionClips) -> None:
    for name in ("stim", "robs", "dfs", "behavior", "levels"):
        a, b = getattr(found, name), getattr(expected, name)
        assert (a is None) == (b is None), name
        assert a is None or (a.dtype == b.dtype and torch.equal(a, b)), name
    assert found.places is None


@settings(max_examples=25, deadline=None)
@given(worlds())
def test_clips_are_the_same_wherever_the_movie_lies(world: dict) -> None:
    with tempfile.TemporaryDirectory() as folder:
        session = opened(Path(folder), world)
        starts = [int(u * session.n_frames) for u in world["draws"]]
        wanted = {"context": world["context"], "frames": world["length"]}
        mapped = session.movie
        expected = session.gather(starts, **wanted)
        session.movie = mapped.held(CPU)
        assert session.movie.frames.nbytes == mapped.n_bytes
        same(session.gather(starts, **wanted), expected)
        # as on a GPU, of which there may be none: what leaves the loader are places
        session.movie = replace(mapped, frames=torch.empty(mapped.shape, dtype=mapped.dtype, device=ELSEWHERE))
        there = session.gather(starts, **wanted)
        assert there.stim is None
        held = replace(there, places=replace(there.places, movie=mapped.held(CPU).frames))
        same(held.to(CPU), expected)


def test_a_computed_movie_is_held_as_it_is(session_config) -> None:
    stimulus = {"stim": {"source": "stim", "ops": [{"pixelnorm": {}}, {"dacones": {}}], "expose_as": "stim"}}
    config = session_config({"gaborium": covariates(trials=(60,) * 8)}, transforms=stimulus)
    (session,) = open_sessions(load_dataset_configs(config), 5)
    starts = [2, 70, 130]
    expected = session.gather(starts, frames=20)
    assert expected.stim.dtype == torch.float32
    session.movie = session.movie.held(CPU)
    same(session.gather(starts, frames=20), expected)


def test_a_movie_is_read_in_pieces(session_config, monkeypatch: pytest.MonkeyPatch) -> None:
    config = session_config({"gaborium": covariates(trials=(60,) * 8)})
    (session,) = open_sessions(load_dataset_configs(config), 5)
    whole = session.movie.held(CPU).frames
    lengths = []
    stretch = Movie._stretch

    def noted(movie: Movie, place: int, start: int, stop: int):
        lengths.append(stop - start)
        return stretch(movie, place, start, stop)

    monkeypatch.setattr(movies, "_PIECE_BYTES", 7 * whole[0].nbytes)
    monkeypatch.setattr(Movie, "_stretch", noted)
    assert torch.equal(session.movie.held(CPU).frames, whole)
    assert max(lengths) == 7
    assert sum(lengths) == session.n_frames


def test_what_lies_outside_a_trial_is_padded_on_the_device() -> None:
    movie = torch.arange(12, dtype=torch.uint8).view(3, 2, 2)
    frames, outside = torch.tensor([[0, 0, 1], [1, 2, 2]]), torch.tensor([[True, False, False], [False, False, True]])
    found = Places(movie, frames, outside, 127).gathered()
    assert found[:, :, 0, 0].tolist() == [[127, 0, 4], [4, 8, 127]]
    assert movie.flatten().tolist() == list(range(12))
