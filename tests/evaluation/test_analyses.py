"""What analyses find is what the simulation and planted filters hold."""

from __future__ import annotations

import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation.made_analysed import ORIENTATIONS, PERIOD, RATE, SIZE, UNITS, Analysed, make
from models import made_twins

from vctrain.config.transforms import DaCones, Diff, Mul, PixelNorm, SymLog
from vctrain.data.session import Session
from vctrain.data.stimulus import StimChain
from vctrain.errors import ContractError, UsageError
from vctrain.evaluation.analyses.behaviour import Replaced, _shuffled, ablate_behavior
from vctrain.evaluation.analyses.chosen import Asked, choose
from vctrain.evaluation.analyses.gratings import tuning
from vctrain.evaluation.analyses.in_silico import Gratings, in_silico
from vctrain.evaluation.analyses.mei import Ascent, mei, project
from vctrain.evaluation.analyses.shown import BRIGHTEST, DARKEST, Screen, behavior_rows, mean_behavior
from vctrain.evaluation.analyses.sta import sta
from vctrain.evaluation.evaluate import Question, evaluate


@pytest.fixture(scope="module")
def analysed(tmp_path_factory) -> Analysed:
    return make(tmp_path_factory.mktemp("analysed"))


def asked(split="all", kinds=None, **more) -> Asked:
    return Asked(Question(split=split, types=kinds, accelerator="cpu"), **more)


def apart(first, second):
    """Degrees between orientations."""
    return 90 - np.abs(90 - np.abs(np.asarray(first) - second) % 180)


@pytest.fixture(scope="module")
def screen(analysed) -> Screen:
    chosen = choose(str(analysed.checkpoint), asked())
    return Screen.of(chosen.twin, chosen.parts[0].session, chosen.device)


def test_maps_of_data_lie_where_the_simulated_units_look(analysed) -> None:
    found = sta(str(analysed.checkpoint), asked(kinds=("gaborium",)))
    (rows,) = found.units.values()
    centres, complex_cells = analysed.centres(), analysed.truth["units"]["complex"]
    placed = {cid: row for cid, row in rows.items() if row["rf_y_data"] is not None}
    assert len(placed) >= UNITS - 1
    for cid, row in placed.items():
        assert np.hypot(row["rf_y_data"] - centres[cid, 0], row["rf_x_data"] - centres[cid, 1]) < 1.6
    for cid, row in rows.items():
        kind = "ste" if complex_cells[cid] else "sta"
        # the kernels' main lobes are 38 to 52 ms ago; a frame lasts 17 ms
        assert 25 <= row[f"{kind}_peak_ms"] <= 60
        assert row[f"{kind}_snr"] > 1.2
        assert (row["energy_index_data"] > 0) == complex_cells[cid]


def test_maps_of_the_model_are_its_filter(analysed) -> None:
    found = sta(str(analysed.checkpoint), asked(kinds=("gaborium",), cids=(0, 1)))
    (arrays,) = found.arrays.values()
    (rows,) = found.units.values()
    assert [row["sta_peak_lag_model"] for row in rows.values()] == [1, 1]
    assert arrays["cids"].tolist() == [0, 1]
    lags = round(0.13 * RATE)
    assert arrays["sta_model_z"].shape == (2, lags, SIZE, SIZE)
    for unit, degrees in enumerate(ORIENTATIONS):
        power = np.abs(np.fft.fftshift(np.fft.fft2(arrays["sta_model"][unit, 1], (64, 64))))
        power[:, :32] = 0
        row, column = np.unravel_index(power.argmax(), power.shape)
        assert apart(np.degrees(np.arctan2(row - 32, column - 32)), degrees) < 10
    # beyond the twin's four frames of history there is only noise
    spread = arrays["sta_model_z"][:, 4:].std((2, 3))
    assert 0.6 < spread.mean() < 1.5


def test_maps_count_the_same_frames_for_data_and_model(analysed) -> None:
    found = sta(str(analysed.checkpoint), asked(kinds=("gaborium",), cids=(3,)))
    (rows,) = found.units.values()
    assert list(rows) == [3]
    counted = evaluate(str(analysed.checkpoint), split="all", types=["gaborium"], accelerator="cpu", replicates=0)
    (session,) = counted["sessions"].values()
    assert 0.9 * session["unit_frames"]["3"] < rows[3]["n_frames"] <= session["unit_frames"]["3"]
    assert rows[3]["n_spikes"] <= session["unit_spikes"]["3"]


def test_recorded_gratings_tell_the_orientations_of_the_simulated_units(analysed) -> None:
    found = tuning(str(analysed.checkpoint), asked(kinds=("gratings",)))
    (rows,) = found.units.values()
    truth = np.degrees(analysed.truth["units"]["orientation"])
    off = apart([row["orientation"] for row in rows.values()], truth)
    assert np.median(off) < 5
    assert off.max() < 15
    complex_cells = np.array(analysed.truth["units"]["complex"])
    modulation = np.array([row["modulation"] if row["modulation"] is not None else np.nan for row in rows.values()])
    assert np.nanmin(modulation[~complex_cells]) > 0.8
    assert np.nanmedian(modulation[complex_cells]) < 0.6
    planted = apart([row["orientation_model"] for row in rows.values()], np.resize(ORIENTATIONS, UNITS))
    assert planted.max() < 6
    (arrays,) = found.arrays.values()
    assert arrays["responses_data"].shape == (UNITS, round(0.17 * RATE), 12, 4)
    assert {round(row["peak_lag_model"]) for row in rows.values()} == {1}


@pytest.mark.parametrize("motion", ["drifting", "flashed"])
def test_in_silico_tuning_is_that_of_the_planted_filters(analysed, motion) -> None:
    found = in_silico(str(analysed.checkpoint), asked(), Gratings(motion=motion))
    (rows,) = found.units.values()
    for cid, row in rows.items():
        assert apart(row["orientation"], ORIENTATIONS[cid % 2]) < 3
        assert row["period_pixels"] == pytest.approx(PERIOD, rel=0.12)
        # a linear unit with a soft threshold follows the phase
        assert row["f1_f0"] > 0.9
        assert row["osi"] > 0.5
    assert (found.arrays[next(iter(found.units))]["directions"][1] == 22.5) == (motion == "drifting")


def test_the_most_exciting_clip_of_a_linear_twin_is_its_filter(analysed, screen) -> None:
    found = mei(str(analysed.checkpoint), asked(cids=(0, 1)), Ascent(movie=True, contrast=0.02, references=40))
    (arrays,) = found.arrays.values()
    (rows,) = found.units.values()
    for place, cid in enumerate((0, 1)):
        kernel = kernel_of(screen, cid)
        shown = torch.from_numpy(arrays["mei"][place])
        cosine = float((shown * kernel).sum() / shown.norm() / kernel.norm())
        assert cosine > 0.99
        assert rows[cid]["exceeds"]
        assert rows[cid]["rms_contrast"] == pytest.approx(0.02, rel=1e-4)
        again = screen.in_pieces(shown[None])[0, 0, cid]
        assert arrays["response"][place] == pytest.approx(again, rel=1e-6)
        assert arrays["response"][place] > max(arrays["reference"][place], arrays["grey"][place])


def test_the_most_exciting_image_is_the_filter_summed_over_time(analysed, screen) -> None:
    found = mei(str(analysed.checkpoint), asked(cids=(1,)), Ascent(contrast=0.02, source="noise", references=40))
    (arrays,) = found.arrays.values()
    kernel = kernel_of(screen, 1).sum(0)
    shown = torch.from_numpy(arrays["mei"][0, 0])
    assert arrays["mei"].shape == (1, 1, SIZE, SIZE)
    assert float((shown * kernel).sum() / shown.norm() / kernel.norm()) > 0.99


def kernel_of(screen: Screen, unit: int) -> torch.Tensor:
    """The filter (T, H, W) of a unit of the linear twin: the drive's answer to single bright pixels."""
    frames = screen.context + 1
    pulses = 0.1 * torch.eye(frames * SIZE * SIZE).view(-1, frames, SIZE, SIZE)

    def drive(rates: np.ndarray) -> np.ndarray:
        return np.log(np.expm1(rates))

    grey = drive(screen.grey((unit,)))[0]
    return torch.from_numpy(drive(screen.in_pieces(pulses)[:, 0, unit]) - grey).float().view(frames, SIZE, SIZE)


def test_the_same_seed_gives_the_same_image_whichever_units_are_asked_for(analysed) -> None:
    ascent = Ascent(steps=8, starts=2, references=10, seed=4)
    alone = mei(str(analysed.checkpoint), asked(cids=(2,)), ascent)
    beside = mei(str(analysed.checkpoint), asked(cids=(0, 2)), ascent)
    other = mei(str(analysed.checkpoint), asked(cids=(2,)), Ascent(steps=8, starts=2, references=10, seed=5))
    first, second, third = (next(iter(found.arrays.values()))["mei"][-1] for found in (alone, beside, other))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


def test_an_ascent_that_gets_nowhere_is_said_to(analysed, monkeypatch) -> None:
    """With no step to speak of the best reference stays the best."""
    monkeypatch.setattr("vctrain.evaluation.analyses.mei.STEP", (1e-12, 1e-12))
    found = mei(str(analysed.checkpoint), asked(cids=(0,)), Ascent(steps=1, starts=1, references=30))
    (rows,) = found.units.values()
    assert rows[0]["exceeds"] is False
    assert found.overall["n_exceeding"] == 0
    assert "cids 0" in found.notes[0]


@pytest.mark.parametrize("contrast", [0.02, 0.2, 0.4])
def test_stimuli_keep_their_contrast_within_the_grey_levels(contrast) -> None:
    stimuli = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    kept = project(stimuli, contrast)
    assert kept.min() >= DARKEST
    assert kept.max() <= BRIGHTEST
    assert kept.square().mean((1, 2, 3)).sqrt().tolist() == pytest.approx([contrast] * 5, rel=2e-3)


@pytest.mark.parametrize("ops", [[PixelNorm(), Mul(value=2.0), SymLog()], [PixelNorm(), Diff()], [DaCones()], []])
def test_what_is_shown_passes_through_the_operations_on_the_movie(ops) -> None:
    """As a trial does that begins with a long stretch of grey; contrast without operations is taken as it is."""
    chain = StimChain(ops)
    session = types.SimpleNamespace(chain=chain, height=3, width=4)
    screen = Screen(None, session, None, None, torch.device("cpu"))  # type: ignore[arg-type]
    grey = torch.randint(0, 256, (2, 6, 3, 4), generator=torch.Generator().manual_seed(1)).float()
    contrast = ((grey - 127) / 255).requires_grad_(True)
    seen = screen._seen(contrast)
    if not ops:
        assert seen is contrast
        return
    before = torch.full((1200, 3, 4), 127.0)
    for clip, expected in zip(seen, grey, strict=True):
        whole = chain.apply(torch.cat([before, expected]))
        torch.testing.assert_close(clip, whole[1200:], rtol=1e-3, atol=1e-4)
    (gradient,) = torch.autograd.grad(seen.square().sum(), contrast)
    assert bool(gradient.isfinite().all())
    assert bool((gradient != 0).any())


def test_spikes_of_the_past_are_held_at_their_means() -> None:
    model = made_twins.config(history={"type": "mlp", "num_lags": 3}, modulator={"type": "film", "dims": [4, 4]})
    twin = made_twins.twin(model, units=(3,), behavior=2)
    session = types.SimpleNamespace(chain=StimChain([]), height=12, width=12, n_units=3, index=0, name="S")
    history, behavior = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, -0.5])
    screen = Screen(twin, session, behavior, history, torch.device("cpu"))  # type: ignore[arg-type]
    shown = 0.2 * torch.randn(2, twin.context + 4, 12, 12, generator=torch.Generator().manual_seed(1))
    part = made_twins.clips(0, 2, twin.context + 4, 4, 3, behavior=2)
    part = replace(
        part,
        stim=shown,
        behavior=behavior.expand(2, twin.context + 4, 2),
        history=history.expand(2, 3 + 4, 3),
    )
    with torch.no_grad():
        expected = twin((part,))[0]
    np.testing.assert_allclose(screen.in_pieces(shown), expected.numpy(), rtol=1e-6)
    assert screen.grey((0, 2)).shape == (2,)


def test_behaviour_without_a_modulator_cannot_be_taken_away(analysed) -> None:
    with pytest.raises(ContractError, match="no modulator"):
        ablate_behavior(str(analysed.checkpoint), asked("val"))


def test_what_recorded_behaviour_scores_is_what_eval_bps_says(tiny_run) -> None:
    found = ablate_behavior(str(tiny_run.folder), asked("val"), shuffles=2, replicates=200)
    scored = evaluate(str(tiny_run.folder), accelerator="cpu", replicates=0)
    assert found.overall["bps_overall"] == pytest.approx(scored["bps_overall"], abs=1e-12)
    for kind in ("mean", "shuffled"):
        gain = found.overall[f"gain_over_{kind}"]
        assert gain["difference"] == pytest.approx(
            found.overall["bps_overall"] - found.overall[f"bps_overall_{kind}"], abs=1e-9
        )
        for units in found.units.values():
            for row in units.values():
                if row["bps"] is not None:
                    assert row[f"gain_over_{kind}"] == pytest.approx(row["bps"] - row[f"bps_{kind}"], abs=1e-9)
                    assert row[f"gain_over_{kind}"] != 0.0


def test_shuffles_are_those_of_the_seed(tiny_run) -> None:
    first, again, other = (
        ablate_behavior(str(tiny_run.folder), asked("train"), shuffles=1, replicates=100, seed=seed).overall
        for seed in (0, 0, 1)
    )
    assert again == first
    assert other["bps_overall_mean"] == first["bps_overall_mean"]
    assert other["bps_overall_shuffled"] != first["bps_overall_shuffled"]


def opened(tiny_run) -> Session:
    return choose(str(tiny_run.folder), asked("val")).parts[0].session


def test_every_trial_gets_the_behaviour_of_another_of_its_type(tiny_run) -> None:
    session = opened(tiny_run)
    rows = list(behavior_rows(session, "val"))
    frames = np.concatenate([np.arange(start, start + len(own)) for start, own in rows])
    row = _shuffled(session, "val", frames, rng=np.random.default_rng(3))
    inside = row >= 0
    np.testing.assert_array_equal(np.flatnonzero(inside), np.sort(frames))
    mine, theirs = session.trials_at(np.flatnonzero(inside)), session.trials_at(frames[row[inside]])
    assert (mine != theirs).all()
    assert [session.labels[t][0] for t in mine.tolist()] == [session.labels[t][0] for t in theirs.tolist()]
    givers = {int(m): set(theirs[mine == m].tolist()) for m in np.unique(mine)}
    assert all(len(of) == 1 for of in givers.values())
    assert len(set.union(*givers.values())) == len(givers)


def test_clips_hold_the_other_behaviour_in_context_and_scored_frames(tiny_run) -> None:
    session = opened(tiny_run)
    mean = mean_behavior(session)
    assert mean is not None
    other = Replaced(session, mean[None], np.zeros(session.n_frames, np.int64))
    starts = session.scored("val").at(np.array([0, 50]))
    own, replaced = session.gather(starts, frames=7), other.gather(starts, frames=7)
    assert torch.equal(own.stim, replaced.stim)
    assert torch.equal(own.robs, replaced.robs)
    assert own.behavior.shape == replaced.behavior.shape
    assert torch.equal(replaced.behavior, mean.expand_as(replaced.behavior))
    assert not torch.equal(own.behavior, replaced.behavior)


def test_what_is_not_there_is_refused(analysed, tiny_run) -> None:
    with pytest.raises(UsageError, match="no such unit"):
        choose(str(analysed.checkpoint), asked(cids=(0, 77)))
    with pytest.raises(UsageError, match="no such session") as refused:
        choose(str(analysed.checkpoint), asked(sessions=("SimA_2024-01-02",)))
    assert "did you mean SimA_2024-01-01?" in refused.value.hint
    with pytest.raises(ContractError, match="ori and sf"):
        tuning(str(tiny_run.folder), asked())
    for wrong in (Gratings(motion="spun"), Gratings(contrast=0.9), Gratings(directions=2), Gratings(hertz=40.0)):
        with pytest.raises(UsageError):
            in_silico(str(analysed.checkpoint), asked(), wrong)
    for ascent in (Ascent(contrast=0.6), Ascent(steps=0), Ascent(source="thought")):
        with pytest.raises(UsageError):
            mei(str(analysed.checkpoint), asked(), ascent)
