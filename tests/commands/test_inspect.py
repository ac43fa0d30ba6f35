"""Does `inspect` know what it is given, show it, end with the right code, and write nothing but the sheet?"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from data.made_recordings import covariates, write, write_config

from vctrain import cli, console
from vctrain.commands.inspect import kind_of
from vctrain.errors import UsageError

ADA = "Ada_2024-05-06"


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    yield
    console.configure()


@pytest.fixture
def lab(tmp_path) -> Path:
    """A session of two types with one silent unit, and its dataset config."""
    for kind, seed in (("gaborium", 0), ("backimage", 1)):
        content = covariates(trials=(150,) * 10, seed=seed)
        content["robs"][:, 1] = 0
        content |= {"t_bins": content["t_bins"] + 100 * seed, "eyepos": content["eyepos"] / 20}
        write(tmp_path / "lab" / ADA / f"{kind}.dset", content)
    write_config(tmp_path / "lab", ADA, ["gaborium", "backimage"], (0, 1, 2))
    return tmp_path / "lab"


def end_of(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(["inspect", *map(str, arguments)])
    return int(caught.value.code or 0)


def result_of(capsys, *arguments: object) -> dict:
    assert end_of(*arguments, "--json") == 0
    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    return json.loads(out)


def paths_of(lab: Path, run: Path) -> dict[str, Path]:
    return {
        "dset": lab / ADA / "gaborium.dset",
        "session": lab / ADA,
        "config": lab,
        "run": run,
        "checkpoint": run / "checkpoints" / "best.ckpt",
    }


@pytest.mark.parametrize("kind", ["dset", "session", "config", "run", "checkpoint"])
def test_every_kind(kind, lab, tiny_run, capsys):
    path = paths_of(lab, tiny_run.folder)[kind]
    before = sorted(lab.rglob("*")) + sorted(tiny_run.folder.rglob("*"))
    shown = result_of(capsys, path)
    assert (shown["ok"], shown["command"], shown["kind"], shown["plot"]) == (True, "inspect", kind, None)
    assert all(set(problem) == {"where", "what", "hint", "blocks"} for problem in shown["problems"])
    data = kind in ("dset", "session", "config")
    assert [problem["what"].startswith("1 of 3 units never fire") for problem in shown["problems"]] == [True] * data
    assert end_of(path) == 0
    out, _ = capsys.readouterr()
    assert ("problem: " in out and "  hint: " in out) if data else "no problems found" in out
    assert "\x1b" not in out
    assert sorted(lab.rglob("*")) + sorted(tiny_run.folder.rglob("*")) == before


def test_the_tables(lab, tiny_run, capsys):
    paths = paths_of(lab, tiny_run.folder)
    assert end_of(paths["dset"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{ADA} gaborium"
    assert lines[1].split() == ["covariate", "type", "shape", "min", "max", "not", "finite"]
    assert lines[2].split() == ["stim", "uint8", "1500x4x5", "0", "255", "0"]
    assert "frames       1,500, 15.0 s at 100 Hz" in lines
    assert "trials       10 of 1.5 s (median; 1.5 to 1.5)" in lines
    assert end_of(paths["session"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 recordings, 4x5 pixels, 100 Hz"
    assert [line.split()[:5] for line in lines[2:4]] == [
        [ADA, kind, "15.0", "s", "3"] for kind in ("backimage", "gaborium")
    ]
    assert end_of(paths["config"], "--context", "20") == 0
    lines = capsys.readouterr().out.splitlines()
    title = lines.index("frames scored with a context of 20; dropped: context")
    # of every trial of 150 frames the first 20 only warm up
    assert lines[title + 2].split() == [ADA, "3", "100", "2,080", "520", "400", "14"]
    assert "behavior     eyepos (diff, maxnorm, symlog, temporal_basis, splitrelu) + eyepos" in lines
    assert "split        0.8 of trials, seed 1002" in lines
    assert end_of(paths["run"]) == 0
    out = capsys.readouterr().out
    assert "done; step 18 of 18; 3 validations; best val_bps_overall" in out
    assert "trainer.max_epochs = 3  (default 100)" in out


def test_problems_are_shown_also_when_quiet(lab, capsys):
    assert end_of(lab / ADA / "gaborium.dset", "--quiet") == 0
    assert "problem: " in capsys.readouterr().out


def test_what_is_refused_is_said_and_is_no_failure(lab, capsys):
    write_config(lab, ADA, ["gaborium"], (0, 7))
    shown = result_of(capsys, lab)
    assert shown["usable"] is False
    assert [problem["blocks"] for problem in shown["problems"]] == [True]
    assert end_of(lab) == 0
    assert "problem (vctrain refuses it as it is): " in capsys.readouterr().out


def test_types_and_roots(lab, tmp_path, capsys):
    assert result_of(capsys, lab / ADA, "--types", "backimage")["types"] == ["backimage"]
    shown = result_of(capsys, lab, "--types", "backimage")
    assert list(shown["sessions"][0]["recordings"]) == ["backimage"]
    (tmp_path / "configs").mkdir()
    config = Path(shutil.copy(lab / f"{ADA}.yaml", tmp_path / "configs"))
    assert end_of(config) == 3
    capsys.readouterr()
    assert result_of(capsys, config, "--data-root", lab)["usable"] is True


def test_a_sheet_is_drawn_over_an_older_one(lab, tiny_run, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    sheet.write_text("old")
    assert result_of(capsys, lab / ADA / "gaborium.dset", "--plot", sheet)["plot"] == str(sheet)
    assert sheet.read_bytes().startswith(b"\x89PNG")
    shown = result_of(capsys, lab, "--plot", sheet)
    assert any("shows Ada_2024-05-06 gaborium only; a .pdf holds a page for each of 2" in n for n in shown["notes"])
    shown = result_of(capsys, lab, "--plot", tmp_path / "sheets.pdf")
    assert not any("only" in note for note in shown["notes"])
    assert result_of(capsys, tiny_run.folder, "--plot", tmp_path / "run.svg")["plot"] == str(tmp_path / "run.svg")
    assert (tmp_path / "run.svg").is_file()


MISTAKES = {
    "nothing there": (["nowhere"], 2, "does not exist"),
    "no kind that is known": (["empty"], 2, "is nothing that inspect knows"),
    "another file": (["notes.txt"], 2, "is nothing that inspect knows"),
    "a sheet of another type": (["lab", "--plot", "sheet.jpg"], 2, "cannot draw .jpg"),
    "a sheet without a type": (["lab", "--plot", "sheet"], 2, "cannot draw a file without suffix"),
    "a sheet nowhere": (["lab", "--plot", "no/sheet.png"], 2, "no is not a folder"),
    "types of a file": ([f"lab/{ADA}/gaborium.dset", "--types", "a"], 2, "--types has no effect"),
    "no type": (["lab", "--types", ","], 2, "--types names no type"),
    "a type that is not there": ([f"lab/{ADA}", "--types", "fixrsvp"], 2, "no fixrsvp recording"),
    "root of a session": ([f"lab/{ADA}", "--data-root", "lab"], 2, "--data-root has no effect"),
    "context of a session": ([f"lab/{ADA}", "--context", "3"], 2, "--context has no effect"),
    "negative context": (["lab", "--context", "-3"], 2, "--context"),
    "unreadable": (["broken.dset"], 3, "broken.dset is truncated, or not a .dset"),
    "no checkpoint": (["broken.ckpt"], 3, "broken.ckpt: not a vctrain checkpoint"),
    "sheet of a checkpoint": (["broken.ckpt", "--plot", "sheet.png"], 2, "--plot has no effect"),
    "no config": (["broken.yaml"], 2, "broken.yaml"),
    "broken run": (["broken_run"], 3, "run.json"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line_and_write_nothing(name, lab, monkeypatch, capsys):
    arguments, code, said = MISTAKES[name]
    folder = lab.parent
    monkeypatch.chdir(folder)
    for broken in ("broken.dset", "broken.yaml", "notes.txt"):
        (folder / broken).write_text("a: [")
    write(folder / "broken.ckpt", {})
    (folder / "empty").mkdir()
    (folder / "broken_run").mkdir()
    (folder / "broken_run" / "run.json").write_text("{")
    before = sorted(folder.rglob("*"))
    assert end_of(*arguments) == code
    _, err = capsys.readouterr()
    assert err.count("error: ") == 1
    assert said in err
    assert "hint: " in err
    assert end_of(*arguments, "--json") == code
    shown = json.loads(capsys.readouterr().out)
    assert (shown["ok"], shown["command"], shown["error"]["code"]) == (False, "inspect", code)
    assert sorted(folder.rglob("*")) == before


def test_kinds(lab, tiny_run, tmp_path):
    for kind, path in paths_of(lab, tiny_run.folder).items():
        assert kind_of(path) == kind
    assert kind_of(lab / f"{ADA}.yaml") == "config"
    bare = tmp_path / "bare"
    shutil.copytree(tiny_run.checkpoints, bare / "checkpoints")
    assert kind_of(bare) == "checkpoint"
    shutil.move(lab / ADA, tmp_path / "sessions" / ADA)
    assert kind_of(tmp_path / "sessions") == "config"
    with pytest.raises(UsageError) as caught:
        kind_of(bare / "checkpoints")
    assert "a session folder" in caught.value.hint


def test_matplotlib_only_for_a_sheet_and_torch_not_for_mistakes(lab):
    script = (
        "import sys, atexit\n"
        "atexit.register(lambda: sys.stderr.write(repr([m for m in ('torch', 'matplotlib') if m in sys.modules])))\n"
        "from vctrain.cli import main\nmain(['inspect', *sys.argv[1:]])\n"
    )

    def imported(*arguments: object) -> str:
        command = [sys.executable, "-c", script, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()[-1]

    assert imported(lab / ADA / "gaborium.dset") == "['torch']"
    assert imported(lab / "nothing").endswith("[]")


def test_what_sessions_share_is_said_once(lab, capsys):
    """Sizes and rates that all have, settings, notes, and what to do about like problems."""
    for kind in ("gaborium", "backimage"):
        content = torch.load(lab / ADA / f"{kind}.dset", weights_only=True)["covariates"]
        content["robs"] = content["robs"].flip(0)
        content.pop("dpi_valid")
        write(lab / "Bob_1" / f"{kind}.dset", content)
    split = {"train_val_split": [0.5, 0.25, 0.25]}
    write_config(lab, "Bob_1", ["gaborium"], (0, 1, 2), **split)
    assert end_of(lab) == 0
    out, err = capsys.readouterr()
    assert "3 recordings, 4x5 pixels, 100 Hz" in out
    assert out.count("sampling     as stored") == out.count("  hint: leave them out of cids") == 1
    assert f"split        0.8 of trials, seed 1002  ({ADA})" in out
    assert "split        0.5, 0.25, 0.25 of trials, seed 1002  (Bob_1)" in out
    assert "Bob_1 gaborium: no dpi_valid: every frame counts as valid" in err
    write_config(lab, "Bob_1", ["gaborium", "backimage"], (0, 1, 2), **split)
    assert end_of(lab) == 0
    assert "Bob_1 gaborium, Bob_1 backimage: no dpi_valid: every frame counts as valid" in capsys.readouterr().err


def test_what_a_filter_leaves(lab, capsys):
    path = lab / ADA / "gaborium.dset"
    content = torch.load(path, weights_only=True)["covariates"]
    percent = torch.zeros(1500, 3)
    percent[:300, 0], percent[:, 2] = 60.0, float("nan")
    write(path, content | {"missing_pct": percent})
    filters = {"dfs": {"ops": [{"missing_pct": {"threshold": 45}}]}}
    write_config(lab, ADA, ["gaborium"], (0, 1, 2), datafilters=filters)
    assert end_of(lab, "--context", "0") == 0
    out, err = capsys.readouterr()
    assert "frames scored with a context of 0; of units, by missing_pct: missing" in out
    # a fifth of one of three units, and all of another
    assert "40.0 %" in out
    assert "filters      missing_pct below 45" in out
    assert "missing_pct leaves no frame of 1 unit (cid 2)" in err
