"""Is a report whole, true to what was evaluated, and clear about what it does not show?"""

from __future__ import annotations

import base64
import copy
import dataclasses
import io
import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_sessions import settings
from PIL import Image

from vctrain import cli, console
from vctrain.config.components.adapters import AffineAdapter
from vctrain.config.datasets import load_dataset_configs
from vctrain.config.legacy_parts import AdapterParams
from vctrain.config.simulation import SimulationConfig
from vctrain.data.opening import open_sessions
from vctrain.errors import UsageError
from vctrain.evaluation.evaluate import Question, evaluate_all
from vctrain.evaluation.report import scores, tables
from vctrain.evaluation.report.checkpoint import checkpoint_sections
from vctrain.evaluation.report.material import responses, scales_of
from vctrain.evaluation.report.page import Picture, Section, render
from vctrain.evaluation.report.parts import Kernels, alignment_of, kernels_of, parts_of
from vctrain.evaluation.report.repeated import FIGURES
from vctrain.evaluation.report.write import check_report, write_report
from vctrain.models.adapter import SessionAdapter
from vctrain.models.legacy.adapter import OldAdapter
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.training.fit import train

ARGV = ["/bin/vctrain", "eval-bps", "<b>&"]
CPU = torch.device("cpu")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Page(HTMLParser):
    """What is on a page: its images, links, headings and text; fails on tags that do not match."""

    VOID = frozenset(["meta", "img", "br", "link"])

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.references: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.references += [str(given[name]) for name in ("src", "href", "data", "action") if name in given]
        if tag == "img":
            self.images.append(given)
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)
        if not self._open or self._open[-1] != "style":
            self.text += data + "\n"


@dataclasses.dataclass(frozen=True)
class Made:
    """Two checkpoints of a run on sessions with noise and repeats, their results, and the report of both."""

    data: Path
    run: Path
    targets: list[str]
    results: list[dict[str, Any]]
    folder: Path

    @property
    def page(self) -> Page:
        return Page((self.folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    from vctrain.data.simulation import simulate

    folder = tmp_path_factory.mktemp("reported")
    kinds = ("gaborium", "fixrsvp")
    simulate(
        folder / "sessions",
        SimulationConfig(sessions=2, units=4, minutes=3.0, size=16, rate=60.0, types=kinds, seed=5),
    )
    data = folder / "sessions" / "dataset.yaml"
    chosen = settings(data, {"data.types": list(kinds), "trainer.max_epochs": 2, "data.train_val_split": None})
    train(chosen, run_dir=folder / "run", provenance={}, argv=["vctrain", "train"])
    targets = [str(folder / "run"), str(folder / "run" / "checkpoints" / "last.ckpt")]
    results = list(evaluate_all(targets, Question(split="all", accelerator="cpu"), replicates=50))
    write_report(folder / "report", results, targets, Question(split="all", accelerator="cpu"), ARGV)
    return Made(data, folder / "run", targets, results, folder / "report")


def test_it_is_one_page_that_needs_nothing_beside_it(made: Made) -> None:
    page = made.page
    assert all(name.startswith(("data:image/png;base64,", "#")) for name in page.references)
    text = (made.folder / "report.html").read_text(encoding="utf-8")
    assert "http" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert "<b>&" in page.text  # what the command line holds is text, not markup
    assert len(text) < 5_000_000


def test_every_picture_is_on_the_page_and_beside_it_and_shows_something(made: Made) -> None:
    embedded = [base64.b64decode(str(image["src"]).partition(",")[2]) for image in made.page.images]
    files = {path.stem: path.read_bytes() for path in (made.folder / "figures").iterdir()}
    assert sorted(embedded) == sorted(files.values())
    assert all(image["alt"] for image in made.page.images)
    for name, content in files.items():
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L"), float)
        assert pixels.std() > 5, name
        assert min(pixels.shape) > 200, name
    names = [name for name in made.results[0]["sessions"]]
    of_each = ["units", "kernels", "readouts", "adapters", "training"]
    of_each += [f"{what}-{name}" for name in names for what in ("trials", "psth-fixrsvp", "sta")]
    expected = {f"{label}-{what}" for label in "ab" for what in of_each} | {"sessions", "a-b-units"}
    assert set(files) == expected


def test_the_numbers_are_those_of_the_evaluation(made: Made) -> None:
    said = made.page.text
    for result in made.results:
        assert f"{result['bps_overall']:.4f}" in said
        assert result["checkpoint_sha256"] in said
        assert f"{result['n_spikes']:,}" in said
        for session in result["sessions"].values():
            for cid, bps in session["units"].items():
                low, high = session["unit_intervals"][cid]
                assert f"{bps:.4f}\n{low:.4f} to {high:.4f}" in said


def test_a_report_is_not_replaced_nor_put_where_no_folder_can_be(made: Made, tmp_path: Path, monkeypatch) -> None:
    before = (made.folder / "report.html").read_bytes()
    with pytest.raises(UsageError, match=r"report\.html exists"):
        check_report(made.folder)
    (tmp_path / "figures").mkdir()
    with pytest.raises(UsageError, match="figures exists"):
        check_report(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="no folder"):
        check_report(tmp_path / "file" / "report")
    check_report(tmp_path / "new" / "deep")
    monkeypatch.setattr("vctrain.evaluation.evaluate.evaluate_all", lambda *_, **__: pytest.fail("was evaluated"))
    with pytest.raises(SystemExit) as leaving:
        cli.main(["eval-bps", str(made.run), "--report", str(made.folder)])
    assert leaving.value.code == 2
    assert (made.folder / "report.html").read_bytes() == before


def test_the_command_writes_it(made: Made, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "new" / "report"
    with pytest.raises(SystemExit) as leaving:
        cli.main(["eval-bps", str(made.run), "--replicates", "0", "--report", str(folder), "--json"])
    console.configure()
    assert leaving.value.code == 0
    assert json.loads(capsys.readouterr().out)["command"] == "eval-bps"
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert "there is no other to compare it with" in page.text
    assert "no intervals" in page.text


def test_units_are_joined_by_session_and_cid_never_by_place(made: Made) -> None:
    first, second = made.results[0], copy.deepcopy(made.results[1])
    name, session = next(iter(second["sessions"].items()))
    session["units"] = dict(reversed(session["units"].items()))
    session["units"].pop("1")
    session["units"]["99"] = 3.0
    session["units"]["2"] = None
    second["sessions"] = dict(reversed(second["sessions"].items()))
    pairs = scores.joined(first, second)
    assert {(s, cid) for s, cid, *_ in pairs if s == name} == {(name, 0), (name, 3)}
    for of, cid, a, b in pairs:
        assert a == first["sessions"][of]["units"][str(cid)]
        assert b == made.results[1]["sessions"][of]["units"][str(cid)]
    axes = scores.scatter(pairs, "A", "B").axes[0]
    drawn = np.concatenate([np.asarray(found.get_offsets()) for found in axes.collections])
    assert sorted(map(tuple, drawn.tolist())) == sorted((a, b) for *_, a, b in pairs)


def test_averages_are_those_of_counts_and_rates_on_the_same_frames(made: Made) -> None:
    """Against sums frame by frame, from the recording and the twin alone."""
    checkpoint = read_checkpoint(made.run)
    twin, (session, _) = (
        checkpoint.build(),
        open_sessions(load_dataset_configs(made.data), checkpoint.content["context"]),
    )
    found = responses(twin, session, "val", [(3, 0.2), (1, 0.1)], CPU).triggered
    assert found is not None
    assert found.kinds == ("gaborium",)
    units, lags = [session.cids.index(3), session.cids.index(1)], len(found.data)
    frames = session.scored("val").at(np.arange(session.n_scored("val")))
    frames = np.array([frame for frame in frames if session.place_of(int(frame))[0] == session.types.index("gaborium")])
    part = session.gather(frames, frames=1)
    assert part.stim is not None
    with torch.no_grad():
        rate = twin([part])[0][:, 0, units].double().numpy()
    counts = part.robs[:, 0, units].double().numpy()
    movie = ((part.stim.double() - 127) / 255).numpy()
    assert found.frames == len(frames)
    assert found.spikes.tolist() == counts.sum(0).tolist()
    for lag in range(lags):
        image = movie[:, movie.shape[1] - 1 - lag]
        for weights, average in ((counts, found.data), (rate, found.twin)):
            expected = np.einsum("nu,nyx->uyx", weights, image) / weights.sum(0)[:, None, None] - image.mean(0)
            assert np.abs(average[lag] - expected).max() < 1e-5
    agreement = [np.corrcoef(found.data[:, u].ravel(), found.twin[:, u].ravel())[0, 1] for u in (0, 1)]
    assert found.agreement() == pytest.approx(agreement)


def test_means_over_repeats_and_trials_are_those_of_the_recording(made: Made) -> None:
    checkpoint = read_checkpoint(made.run)
    context = checkpoint.content["context"]
    twin, (session, _) = checkpoint.build(), open_sessions(load_dataset_configs(made.data), context)
    found = responses(twin, session, "all", [(2, 0.1)], CPU)
    (psth,) = found.psths
    covariates = torch.load(made.data.parent / session.name / "fixrsvp.dset", weights_only=True)["covariates"]
    offset = session.recordings[0].n_frames
    scored = session.scored("all")
    scored_frames = scored.at(np.arange(scored.total)) - offset
    scored_frames = scored_frames[scored_frames >= 0]
    numbers = covariates["psth_inds"].numpy()[scored_frames]
    counts = covariates["robs"].numpy()[scored_frames, session.cids.index(2)].astype(float)
    for number in (context, 100, 300):
        mine = counts[numbers == number]
        place = psth.numbers.tolist().index(number)
        assert psth.repeats[place, 0] == len(mine) > 1
        assert psth.observed[place, 0] == pytest.approx(mine.mean())
        assert psth.error[place, 0] == pytest.approx(mine.std(ddof=1) / len(mine) ** 0.5)
    assert psth.n_repeats == len(np.unique(covariates["trial_inds"].numpy()[scored_frames]))
    assert [stretch.place.kind for stretch in found.stretches] == ["gaborium", "fixrsvp"]
    stretch = found.stretches[1]
    rows = slice(stretch.place.start - offset, stretch.place.stop - offset)
    assert set(covariates["trial_inds"].numpy()[rows].tolist()) == {stretch.place.trial}
    assert stretch.robs[:, 0].tolist() == covariates["robs"].numpy()[rows, session.cids.index(2)].tolist()
    with torch.no_grad():
        rate = twin([session.gather([stretch.place.start], frames=len(stretch.rhat))])[0][0, :, session.cids.index(2)]
    assert stretch.rhat[:, 0] == pytest.approx(rate.numpy(), rel=1e-4)


def test_rescaled_rates_and_ceilings_of_the_evaluation_are_shown(made: Made) -> None:
    checkpoint = read_checkpoint(made.run)
    twin = checkpoint.build()
    (session, _) = open_sessions(load_dataset_configs(made.data), checkpoint.content["context"])
    fitted = {str(cid): {"gain": 2.0 + cid, "offset": 0.25 * cid} for cid in session.cids}
    units = [(3, 0.2), (1, 0.1)]
    scales = scales_of({"rescaled": {"sessions": {session.name: fitted}}}, session.name, units)
    plain, scaled = (responses(twin, session, "val", units, CPU, given).stretches[0] for given in (None, scales))
    assert scaled.rhat == pytest.approx(plain.rhat * [5.0, 3.0] + [0.75, 0.25], rel=1e-5)
    assert scaled.robs.tolist() == plain.robs.tolist()
    assert scales_of({}, session.name, units) is None
    mean = {name: number / 8 for number, name in enumerate(FIGURES)}
    found = {"n_repeats": 9, "n_units_with_value": 3, "units": dict.fromkeys("0123"), "mean": mean}
    table = tables.ceilings({"ceilings": {"sessions": {"s": {"fixrsvp": found}}}}, "A")
    assert table is not None
    (row,) = table.rows
    assert row == ["s", "fixrsvp", "9", "3 of 4", *(f"{number / 8:.4f}" for number in range(len(FIGURES)))]
    assert tables.ceilings({}, "A") is None


@pytest.mark.parametrize("transform", ["scale", "affine"])
def test_a_point_of_the_grid_lies_where_the_adapter_reads_it(transform: str) -> None:
    new = SessionAdapter(AffineAdapter(type="adapter", transform=transform), 41)
    old = OldAdapter(AdapterParams(grid_size=41, transform=transform, init_sigma=1e-4))
    with torch.no_grad():
        new.scale.copy_(torch.tensor([0.8, 0.6]))
        new.shift.copy_(torch.tensor([0.15, -0.2]))
        if new.shear is not None:
            new.shear.copy_(torch.tensor([0.2, -0.1]))
            old.affine.copy_(torch.tensor([[0.6, -0.1, -0.2], [0.2, 0.8, 0.15]]))
    axis = torch.linspace(-1, 1, 61)
    # the old blur moves the image by a pixel, of 60 across the patch
    for adapter, off in ((new, 0.005), (old, 2 / 60 / 0.5)):
        for point in ([0.5, -0.25], [-0.4, 0.3]):
            y, x = alignment_of(adapter).to_patch(np.array(point))
            blob = torch.exp(-((axis[:, None] - y) ** 2 + (axis[None] - x) ** 2) / 0.02)[None, None]
            with torch.no_grad():
                seen = adapter(blob if adapter is new else blob[:, None]).reshape(41, 41).clamp_min(0).double()
            where = torch.linspace(-1, 1, 41, dtype=torch.float64)
            centre = [float((seen.sum(1 - k) * where).sum() / seen.sum()) for k in (0, 1)]
            assert centre == pytest.approx(point, abs=off)


def test_readouts_and_kernels_are_where_they_were_put(made: Made) -> None:
    twin = read_checkpoint(made.run).build()
    wanted = torch.tensor([[0.0, 0.0], [0.5, -0.25], [-0.5, 0.1], [0.2, 0.4]])
    with torch.no_grad():
        for adapter in twin.adapters:
            adapter.scale.fill_(1.0)  # type: ignore[union-attr, operator]
            adapter.shift.zero_()  # type: ignore[union-attr, operator]
        twin.frontend.kernel.set_effective(torch.eye(6)[[5, 3]][:, None])
    twin.set_positions(1, wanted)
    first, second = parts_of(twin, [twin.names[1], twin.names[0]])
    assert (first.session, second.session) == (twin.names[1], twin.names[0])
    (masks,) = first.masks
    assert masks.centres == pytest.approx(wanted.numpy(), abs=1e-6)
    assert masks.outlines.mean(1) == pytest.approx(masks.centres, abs=0.05)
    kernels = kernels_of(twin)
    assert isinstance(kernels, Kernels)
    # newest tap last in the frontend, lag 0 first here
    assert kernels.values.argmax(1).tolist() == [0, 2]


def test_what_a_twin_of_behaviour_alone_lacks_is_said(tiny_data: Path, tmp_path: Path) -> None:
    alone = {
        "stimulus": False, "adapter": {"type": "none"}, "frontend": {"type": "none"}, "convnet": {"type": "none"},
        "modulator": {"type": "film", "dims": [6, 4]}, "readout": {"type": "linear"},
    }  # fmt: skip
    train(settings(tiny_data, {"model": alone}), run_dir=tmp_path / "run", provenance={}, argv=["vctrain"])
    question = Question(accelerator="cpu")
    target = str(tmp_path / "run")
    (result,) = evaluate_all([target], question, replicates=0)
    sections = checkpoint_sections("A", result, target, question)
    said = {section.heading: " ".join(item for item in section.items if isinstance(item, str)) for section in sections}
    for heading in ("Spike-triggered averages", "Temporal kernels", "Readout positions", "Adapters"):
        assert "reads no stimulus" in said[heading]
    assert "No repeats (psth_inds)" in said["Repeats"]
    drawn = {section.heading: [i for i in section.items if isinstance(i, Picture)] for section in sections}
    assert len(drawn["Predicted and observed rates"]) == 2
    assert len(drawn["Training"]) == 1


def test_a_split_and_a_file_without_anything_to_show_say_so(tiny_run, tmp_path: Path) -> None:
    alone = tmp_path / "alone.ckpt"
    shutil.copy(tiny_run.checkpoints / "best.ckpt", alone)
    question = Question(accelerator="cpu", types=("backimage",))
    (result,) = evaluate_all([str(alone)], question, replicates=0)
    for session in result["sessions"].values():
        session["units"] = dict.fromkeys(session["units"])
        session["bps"] = None
    result["bps_overall"] = result["bps_over_units"] = None
    write_report(tmp_path / "silent", [result], [str(alone)], question, ARGV)
    assert "No session has a unit with a spike" in Page((tmp_path / "silent" / "report.html").read_text()).text
    silent = checkpoint_sections("A", result, str(alone), question)
    said = {section.heading: section.items for section in silent}
    assert (
        said["Predicted and observed rates"] == said["Repeats"] == ["No session has a unit with a spike on this split."]
    )
    assert "no run directory" in str(said["Training"])
    (result,) = evaluate_all([str(alone)], question, replicates=0)
    said = {section.heading: section.items for section in checkpoint_sections("A", result, str(alone), question)}
    assert all("none of its stimuli is noise" in str(item) for item in said["Spike-triggered averages"])


def test_what_is_written_on_a_page_is_never_markup() -> None:
    page = Page(render("a < b & c", [("<i>", "</dl>")], [Section("<script>", ["</section>"])]))
    assert page.headings[0] == "a < b & c"
    assert {"<i>", "</dl>", "</section>"} <= set(page.text.split("\n"))
    assert not page.images


def test_a_browser_shows_it_at_any_width(made: Made, tmp_path: Path) -> None:
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    for width in (1400, 500):
        shot = tmp_path / f"{width}.png"
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},3000"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={shot}"]
        subprocess.run([*command, (made.folder / "report.html").as_uri()], check=True, capture_output=True, timeout=60)
        pixels = np.asarray(Image.open(shot).convert("L"), float)
        assert pixels.shape[1] == width
        thirds = np.array_split(pixels, 3)
        assert all(part.std() > 5 for part in thirds)
