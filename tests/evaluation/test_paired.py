"""Figures and comparisons from sums over trials: what follows from what, and what must not depend on what."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from made_sessions import settings

from vctrain.errors import ContractError, UsageError
from vctrain.evaluation.evaluate import Question, evaluate, evaluate_all
from vctrain.evaluation.figures import figures
from vctrain.evaluation.files import COLUMNS, check_folder, rows, write_results
from vctrain.evaluation.paired import paired
from vctrain.evaluation.scoring import TrialSums
from vctrain.metrics.poisson import bits_per_spike
from vctrain.training import fit


def made(session: str, units: int, trials: int, seed: int, better: float = 0.0) -> TrialSums:
    """Sums of a model that knows the true rate up to noise, which ``better`` makes smaller."""
    generator = np.random.default_rng(seed)
    true = 0.2 * np.exp(generator.normal(scale=0.6, size=(trials, 40, units)))
    counts = generator.poisson(true)
    rate = true * np.exp(generator.normal(scale=0.5 - better, size=true.shape))
    sums = [np.full((trials, units), 40.0), counts.sum(1), rate.sum(1), (counts * np.log(rate)).sum(1)]
    oracle = [*sums[:2], true.sum(1), (counts * np.log(true)).sum(1)]
    kinds = tuple(("gaborium" if trial % 3 else "backimage", float(trial)) for trial in range(trials))
    stacked = (np.stack(part, axis=1).astype(float) for part in (sums, oracle))
    return TrialSums(session, session.split("_")[0], tuple(range(10, 10 + units)), kinds, *stacked)


SCORED = [made("A_2024-01-01", 5, 40, 1), made("A_2024-01-02", 3, 30, 2), made("B_2024-01-01", 4, 50, 3)]


def test_overall_is_the_mean_of_sessions_and_every_level_says_what_it_counts() -> None:
    found = figures(SCORED, replicates=300)
    sessions = found["sessions"]
    assert found["bps_overall"] == pytest.approx(np.mean([entry["bps"] for entry in sessions.values()]), abs=1e-14)
    units = [value for entry in sessions.values() for value in entry["units"].values()]
    assert found["bps_over_units"] == pytest.approx(np.mean(units), abs=1e-14)
    assert found["bps_over_units"] != pytest.approx(found["bps_overall"], abs=1e-6)
    assert found["subjects"]["A"]["bps"] == pytest.approx(
        (sessions["A_2024-01-01"]["bps"] + sessions["A_2024-01-02"]["bps"]) / 2, abs=1e-14
    )
    assert found["n_spikes"] == sum(int(part.sums[:, 1].sum()) for part in SCORED)
    assert sum(entry["n_frames"] for entry in found["types"].values()) == found["n_frames"]
    assert 0 < found["fraction_of_oracle"] < 1
    low, high = found["bps_overall_interval"]
    assert low < found["bps_overall"] < high
    low, high = sessions["A_2024-01-01"]["unit_intervals"]["10"]
    assert low < sessions["A_2024-01-01"]["units"]["10"] < high


def test_negative_values_are_kept_and_the_clamped_figure_stands_beside() -> None:
    bad = made("A_2024-01-01", 4, 30, 1, better=-1.0)
    found = figures([bad], replicates=0)
    assert found["bps_overall"] < 0
    assert found["bps_overall_clamped"] >= 0
    assert found["bps_overall_interval"] is None


def test_figures_do_not_depend_on_the_order_of_sessions() -> None:
    one, other = figures(SCORED, replicates=100), figures(SCORED[::-1], replicates=100)
    assert one["sessions"] == other["sessions"]
    for key in ("bps_overall", "bps_over_units", "oracle_bps_overall"):
        assert one[key] == pytest.approx(other[key], abs=1e-14)


def test_a_null_of_the_training_frames_changes_the_figure_as_the_formula_says() -> None:
    nulls = {part.session: np.full(len(part.cids), 0.1) for part in SCORED}
    found = figures(SCORED, nulls, replicates=0)
    total = SCORED[0].sums.sum(0)
    nats = total[3] - total[2] - (total[1] * np.log(0.1) - 0.1 * total[0])
    expected = nats / (total[1] * np.log(2))
    assert list(found["sessions"]["A_2024-01-01"]["units"].values()) == pytest.approx(expected.tolist(), rel=1e-12)


def test_the_better_model_is_found_on_shared_units_only() -> None:
    first = [made("A_2024-01-01", 6, 40, 1), made("B_2024-01-01", 6, 40, 2)]
    second = [made("A_2024-01-01", 6, 40, 1, better=0.3).of_cids([15, 12, 11, 14])]
    second[0].sums[:, :2] = first[0].of_cids([15, 12, 11, 14]).sums[:, :2]
    found = paired(first, second, None, replicates=500)
    assert list(found["sessions"]) == ["A_2024-01-01"]
    assert set(found["sessions"]["A_2024-01-01"]["units"]) == {"11", "12", "14", "15"}
    own = bits_per_spike(second[0].of_cids([11]).sums.sum(0)) - bits_per_spike(first[0].of_cids([11]).sums.sum(0))
    assert found["sessions"]["A_2024-01-01"]["units"]["11"] == pytest.approx(float(own[0]), abs=1e-12)
    assert found["difference"] > 0
    assert found["interval"][0] > 0
    assert found["p_bootstrap"] < 0.01


def test_models_that_saw_other_spikes_or_share_no_unit_are_not_compared() -> None:
    first, second = made("A_2024-01-01", 3, 20, 1), made("A_2024-01-01", 3, 20, 9)
    with pytest.raises(ContractError, match="same frames and spikes"):
        paired([first], [second], None, replicates=10)
    with pytest.raises(ContractError, match="share no unit"):
        paired([first], [made("B_2024-01-01", 3, 20, 1)], None, replicates=10)


def test_checkpoints_with_other_contexts_are_compared_on_the_frames_of_both(tiny_data, tiny_run, tmp_path) -> None:
    longer = settings(tiny_data, {"trainer.max_epochs": 1, "model.frontend.kernel_size": 12})
    fit.train(longer, run_dir=tmp_path / "longer", provenance={}, argv=[])
    alone = [
        evaluate(str(target), accelerator="cpu", replicates=0) for target in (tiny_run.folder, tmp_path / "longer")
    ]
    targets = [str(tiny_run.folder), str(tmp_path / "longer")]
    both = list(evaluate_all(targets, Question(accelerator="cpu"), compare=True, replicates=50))
    assert both[0]["n_frames"] == both[1]["n_frames"] == alone[1]["n_frames"] < alone[0]["n_frames"]
    assert both[1]["bps_overall"] == pytest.approx(alone[1]["bps_overall"], abs=1e-12)
    difference = both[1]["bps_overall"] - both[0]["bps_overall"]
    assert both[1]["paired"]["difference"] == pytest.approx(difference, abs=1e-12)
    # in the other order, the other sign
    turned = list(evaluate_all(targets[::-1], Question(accelerator="cpu"), compare=True, replicates=50))
    assert turned[1]["paired"]["difference"] == pytest.approx(-difference, abs=1e-12)


def test_results_are_written_once_keyed_by_cid(tmp_path: Path) -> None:
    result = {"checkpoint": "x.ckpt", "split": "val", **figures(SCORED, replicates=50)}
    written = write_results([result], tmp_path / "out")
    with (tmp_path / "out" / "units.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == list(COLUMNS)
    assert len(table) == sum(len(part.cids) for part in SCORED)
    assert float(table[0]["bps"]) == result["sessions"]["A_2024-01-01"]["units"]["10"]
    assert (
        json.loads((tmp_path / "out" / "results.json").read_text())["results"][0]["bps_overall"]
        == result["bps_overall"]
    )
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.read_table(written[2]).to_pylist() == list(rows([result]))
    with pytest.raises(UsageError, match="exists"):
        check_folder(tmp_path / "out")
