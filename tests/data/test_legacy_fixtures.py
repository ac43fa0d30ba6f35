"""On recordings that the legacy pipeline has read, splits are identical and samples agree wherever it was right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.opening import open_sessions
from vctrain.data.session import Session

CONFIGS = ["Allen_2022-01-03", "Logan_2020-01-05", "full_240_Logan_2020-01-05"]


class Fixture:
    """A dataset config, the session vctrain makes of it, and what the legacy pipeline made of it."""

    def __init__(self, shared: Path, name: str) -> None:
        folder = shared / "fixtures" / "dsets"
        config = folder / f"{name}.yaml"
        self.config = yaml.safe_load(config.read_text())
        self.expected = np.load(folder / f"{name}.expected.npz")
        self.n_lags = self.config["datafilters"]["dfs"]["ops"][0]["valid_nlags"]["n_lags"]
        (self.session,) = open_sessions(load_dataset_configs(config), self.n_lags - 1)
        root = folder / self.config["session"] / "datasets"
        self.raw = [torch.load(root / f"{kind}.dset", weights_only=True)["covariates"] for kind in self.config["types"]]
        self.factor = self.config["sampling"]["source_rate"] // self.config["sampling"]["target_rate"]
        self.offsets = np.concatenate([[0], np.cumsum([len(raw["stim"]) // self.factor for raw in self.raw])])

    def legacy(self, split: str) -> set[int]:
        """Global frames of the legacy split."""
        return {int(self.offsets[kind] + frame) for kind, frame in self.expected[f"{split}_inds"]}


@pytest.fixture(scope="module", params=CONFIGS)
def fixture(request: pytest.FixtureRequest, shared: Path) -> Fixture:
    return Fixture(shared, request.param)


def frames(session: Session, split: str, context: int) -> set[int]:
    return {f for start, stop in session.scored(split, context).table.tolist() for f in range(start, stop)}


def partly_valid(fixture: Fixture) -> np.ndarray:
    """Bins of which eye tracking is valid for some frames only: legacy averaged them to > 0 and used them (A17)."""
    parts = []
    for raw in fixture.raw:
        n = len(raw["stim"]) // fixture.factor
        valid = raw["dpi_valid"].numpy()[: n * fixture.factor].reshape(n, fixture.factor) > 0
        parts.append(valid.any(1) & ~valid.all(1))
    return np.concatenate(parts)


@pytest.mark.parametrize("split", ["train", "val"])
def test_frames_of_each_split_are_those_of_the_legacy_pipeline(fixture: Fixture, split: str) -> None:
    n = fixture.n_lags
    first = {f for start, stop in fixture.session.segments() for f in range(start, min(start + n, stop))}
    ours = frames(fixture.session, split, n - 1) - first
    legacy = fixture.legacy(split)
    doubtful = partly_valid(fixture)
    assert ours <= legacy
    assert legacy - ours == {f for f in legacy if doubtful[f - n + 1 : f + 1].any()}
    assert len(ours) > 0.9 * len(legacy)


def test_no_legacy_frame_changes_sides(fixture: Fixture) -> None:
    segments = {split: fixture.session.segments(split) for split in ("train", "val")}
    for split, table in segments.items():
        inside = {f for start, stop in table.tolist() for f in range(start, stop)}
        assert fixture.legacy(split) <= inside


@pytest.mark.parametrize("split", ["train", "val"])
def test_samples_equal_those_of_the_legacy_pipeline(fixture: Fixture, split: str) -> None:
    expected = fixture.expected
    lags = len(fixture.config["keys_lags"]["stim"])
    rows = expected[f"{split}_inds"][expected[f"{split}_pos"]]
    starts = [int(fixture.offsets[kind] + frame) for kind, frame in rows]
    # A4: legacy windows are newest first; A15/B1: pixelnorm made them float
    clips = fixture.session.gather(starts, context=lags - 1, frames=1)
    newest_first = clips.stim.flip(1).float().sub(127).div(255)
    np.testing.assert_allclose(newest_first.numpy(), expected[f"{split}_stim"][:, 0], atol=1e-6)
    np.testing.assert_allclose(clips.robs[:, 0].numpy(), expected[f"{split}_robs"], atol=1e-6)
    # A27: legacy fitted maxnorm on each file, all frames; and its filters ran across trials
    legacy_maxima = [float(legacy_velocity(fixture, kind).abs().max()) for kind in range(len(fixture.raw))]
    inner = [index for index, start in enumerate(starts) if far_from_edges(fixture.session, start)]
    assert inner or split == "val"
    for index in range(len(starts)):
        fixture.session.pipelines[0].maxima[1] = legacy_maxima[int(rows[index, 0])]
        behavior = fixture.session.gather([starts[index]], context=0, frames=1).behavior
        columns = slice(0, 42) if index in inner else slice(40, 42)
        found = behavior[0, 0, columns].numpy()
        np.testing.assert_allclose(found, expected[f"{split}_behavior"][index, columns], atol=1e-6)


def legacy_velocity(fixture: Fixture, kind: int) -> torch.Tensor:
    raw = fixture.raw[kind]["eyepos"]
    n = len(raw) // fixture.factor
    eyepos = raw[: n * fixture.factor].reshape(n, fixture.factor, 2).mean(1)
    return torch.diff(eyepos, dim=0)


def far_from_edges(session: Session, frame: int, reach: int = 27) -> bool:
    return any(start + reach <= frame < stop - reach for start, stop in session.segments().tolist())


def test_the_filter_of_lost_spikes_is_that_of_the_legacy_pipeline(shared: Path) -> None:
    """Parent and child, the misspelt threshold, an npz of percentages; legacy masks also hold its own valid frames."""
    folder = shared / "fixtures" / "dsets"
    expected = np.load(folder / "head_parent_Allen_2022-01-03" / "expected.npz")
    specs = load_dataset_configs(folder / "head_parent_Allen_2022-01-03" / "parent.yaml", data_root=str(folder))
    (session,) = open_sessions(specs, 12)
    assert session.cids == (0, 1, 4, 8)
    offset = 0
    for kind in range(2):
        legacy = expected[f"dset{kind}_dfs"].astype(bool)
        rows = legacy.any(1)
        mask = session.unit_mask(offset, offset + len(legacy))
        assert mask is not None
        np.testing.assert_array_equal(mask[rows], legacy[rows])
        assert not mask[rows].all()
        offset += len(legacy)
    for split in ("train", "val"):
        rows = expected[f"{split}_inds"][expected[f"{split}_pos"]]
        starts = [int(session.recordings[0].n_frames * kind + frame) for kind, frame in rows]
        clips = session.gather(starts, context=11, frames=1)
        np.testing.assert_allclose(clips.robs[:, 0].numpy(), expected[f"{split}_robs"], atol=1e-6)
        np.testing.assert_array_equal(clips.dfs[:, 0].numpy(), expected[f"{split}_dfs"])


def test_the_cones_are_those_of_the_legacy_pipeline(shared: Path, monkeypatch, tmp_path: Path) -> None:
    """Also close to the start of a trial, where the legacy filters still see the trial before (A27), within 1e-6."""
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path))
    folder = shared / "fixtures" / "dsets"
    expected = np.load(folder / "cones_Allen_2022-01-03.expected.npz")
    (session,) = open_sessions(load_dataset_configs(folder / "cones_Allen_2022-01-03.yaml"), 31)
    assert any("sampling_rate: 120" in note for note in session.notes)
    for split in ("train", "val"):
        starts = [int(frame) for _, frame in expected[f"{split}_inds"][expected[f"{split}_pos"]]]
        clips = session.gather(starts, context=9, frames=1)
        assert clips.stim.dtype == torch.float32
        np.testing.assert_allclose(clips.stim.flip(1).numpy(), expected[f"{split}_stim"][:, 0], atol=1e-6)
        np.testing.assert_allclose(clips.robs[:, 0].numpy(), expected[f"{split}_robs"], atol=1e-6)
