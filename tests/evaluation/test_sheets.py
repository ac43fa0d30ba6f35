"""Do the sheets show what is there: the splits of the session, the spikes of the window, whatever the recording?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data.made_recordings import covariates, write, write_config
from matplotlib.figure import Figure

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.inspection.recording import Inspected, inspect_dset
from vctrain.data.inspection.sessions import inspect_config
from vctrain.data.opening import open_sessions
from vctrain.errors import ContractError
from vctrain.evaluation import recording_sheet, run_sheet
from vctrain.evaluation.inspection import inspect_run, rows_of

SPLIT = (0.8,), 1002


def inspected(folder: Path, content) -> Inspected:
    return inspect_dset(write(folder / "Ada_2024-05-06" / "gaborium.dset", content), lambda *_: None)


def text_of(figure: Figure) -> str:
    return " | ".join(t.get_text() for t in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def offsets_of(figure: Figure) -> np.ndarray:
    """Time and unit of the marks of the raster."""
    (raster,) = (axes for axes in figure.axes if axes.get_title(loc="left").startswith("Spikes"))
    return np.asarray(raster.collections[0].get_offsets())


@pytest.mark.parametrize("fractions", [(0.8,), (0.5, 0.25, 0.25)])
def test_the_splits_shown_are_those_of_the_session(fractions, tmp_path):
    content = covariates(trials=(100,) * 12)
    content["trial_inds"][100:150], content["trial_inds"][150:180] = -2, -1
    write(tmp_path / "Ada_2024-05-06" / "gaborium.dset", content)
    more = {"train_val_split": list(fractions), "seed": 7}
    write_config(tmp_path, "Ada_2024-05-06", ["gaborium"], (0, 1), **more)
    ((session),) = inspect_config(tmp_path, data_root=None, types=None, context=0, tell=lambda *_: None)
    shown = recording_sheet._splits(session.recordings[0], fractions, 7)
    (opened,) = open_sessions(load_dataset_configs(tmp_path), 0)
    for split in ("train", "val", "test")[: opened.n_splits]:
        assert [[a, b] for a, b, of in shown if of == split] == opened.segments(split).tolist()
    assert [(a, b) for a, b, of in shown if of == "outside"] == [(100, 150), (150, 180)]


def test_the_raster_shows_the_spikes_of_twenty_seconds(tmp_path):
    content = covariates(trials=(500,) * 10)
    figure = recording_sheet.draw(inspected(tmp_path, content), *SPLIT)
    frame, unit = np.nonzero(content["robs"].numpy()[1500:3500])
    assert np.allclose(offsets_of(figure), np.stack([15 + (frame + 0.5) / 100, unit], 1))
    said = text_of(figure)
    assert "Ada_2024-05-06   gaborium" in said
    assert "50.0 s at 100 Hz" in said


def test_a_recording_without_anything_but_movie_and_counts(tmp_path):
    content = {name: value for name, value in covariates().items() if name in ("stim", "robs")}
    assert "no trial_inds" in text_of(recording_sheet.draw(inspected(tmp_path, content), *SPLIT))


SPOILT = {
    "no frames": {"stim": torch.zeros(0, 4, 5, dtype=torch.uint8), "robs": torch.zeros(0, 3)},
    "no stim": {"robs": torch.ones(50, 3), "t_bins": torch.arange(50) / 100},
    "no counts": {"stim": torch.zeros(50, 4, 5, dtype=torch.uint8)},
    "counts of one axis": {"stim": torch.zeros(50, 4, 5, dtype=torch.uint8), "robs": torch.ones(50)},
    "lengths that differ": covariates() | {"eyepos": torch.zeros(7, 2), "dpi_valid": torch.ones(9)},
    "NaN": covariates() | {"robs": torch.full((600, 3), float("nan")), "eyepos": torch.full((600, 2), float("nan"))},
    "one frame": {name: value[:1] for name, value in covariates().items()},
}


@pytest.mark.parametrize("name", SPOILT)
@pytest.mark.filterwarnings("error")
def test_spoilt_recordings_are_drawn_too(name, tmp_path):
    recording_sheet.write_sheets(tmp_path / "sheet.png", [(inspected(tmp_path, SPOILT[name]), *SPLIT)])
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_pdf_holds_a_page_for_each_recording(tmp_path):
    recording = (inspected(tmp_path, covariates()), *SPLIT)
    assert recording_sheet.write_sheets(tmp_path / "sheets.pdf", [recording, recording]) == 2
    assert (tmp_path / "sheets.pdf").read_bytes().count(b"/Type /Page ") == 2
    assert recording_sheet.write_sheets(tmp_path / "sheet.svg", [recording, recording]) == 1
    assert "<svg" in (tmp_path / "sheet.svg").read_text()


def test_the_sheet_of_a_run(tiny_run, tmp_path):
    facts, _ = inspect_run(tiny_run.folder)
    run_sheet.write_run_sheet(tmp_path / "run.png", facts)
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    rows = rows_of(tiny_run.folder)
    figure = run_sheet.draw(facts, rows)
    (score,) = (axes for axes in figure.axes if axes.get_title(loc="left").startswith("val_bps_overall"))
    overall = next(line for line in score.lines if str(line.get_label()).startswith("overall"))
    assert overall.get_xdata().tolist() == [6, 12, 18]
    assert overall.get_ydata().tolist() == [float(row["val_bps_overall"]) for row in rows]
    said = text_of(figure)
    assert all(session in said for session in tiny_run.result["val_bps"])


def test_the_sessions_are_those_of_the_best_validation(tiny_run):
    facts, _ = inspect_run(tiny_run.folder)
    scores = {"6": "0.1", "12": "0.3", "18": "0.2"}
    rows = [{"step": step, "val_bps_overall": score, "val_bps/Ada": score} for step, score in scores.items()]
    figure = run_sheet.draw(facts, rows)
    (sessions,) = (axes for axes in figure.axes if axes.get_title(loc="left") == "val_bps of the sessions at step 12")
    assert [bar.get_width() for bar in sessions.patches] == [0.3]


def test_figures_that_are_not_finite_are_left_out_of_the_sheet(tiny_run):
    facts, _ = inspect_run(tiny_run.folder)
    rows = [{"step": "6", "train_loss": "nan", "val_bps_overall": "", "lr": "", "val_bps/Ada": ""}]
    assert "no session has a figure" in text_of(run_sheet.draw(facts, rows))


def test_a_run_without_a_validation_has_no_sheet(tmp_path):
    with pytest.raises(ContractError, match="no validation yet"):
        run_sheet.write_run_sheet(tmp_path / "run.png", {"run": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
