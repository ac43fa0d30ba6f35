"""Can presets be listed, shown and copied, and is nothing overwritten?"""

from __future__ import annotations

import json
import sys

import pytest

from vctrain import cli, console, presets


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    (tmp_path / "presets" / "models").mkdir(parents=True)
    (tmp_path / "presets" / "recipe.yaml").write_text("# why\ndescription: A recipe\nseed: 2\n")
    (tmp_path / "presets" / "models" / "small.yaml").write_text("description: A model\noutput: exp\n")
    monkeypatch.setattr(presets, "FOLDER", tmp_path / "presets")
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    yield tmp_path
    console.configure()


def end_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(["presets", *arguments])
    return int(caught.value.code or 0)


def test_list(capsys):
    assert end_of("list") == 0
    assert [line.split(None, 2) for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["preset", "recipe", "A recipe"],
        ["model", "small", "A model"],
    ]
    assert end_of("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert (listed["ok"], listed["command"]) == (True, "presets list")
    assert [entry["name"] for entry in listed["presets"]] == ["recipe"]
    assert listed["models"][0]["description"] == "A model"


def test_show_keeps_the_comments(capsys):
    assert end_of("show", "recipe") == 0
    assert capsys.readouterr().out == "# why\ndescription: A recipe\nseed: 2\n"
    assert end_of("show", "small", "--json") == 0
    assert "output: exp" in json.loads(capsys.readouterr().out)["yaml"]


def test_copy_gives_a_config_file_and_never_overwrites(folder, capsys):
    assert end_of("copy", "recipe", str(folder / "mine.yaml")) == 0
    assert (folder / "mine.yaml").read_text().startswith("# why")
    assert end_of("copy", "recipe", str(folder), "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["path"] == str(folder / "recipe.yaml")
    (folder / "mine.yaml").write_text("precious")
    assert end_of("copy", "recipe", str(folder / "mine.yaml")) == 2
    assert "exists; nothing was changed" in capsys.readouterr().err
    assert (folder / "mine.yaml").read_text() == "precious"
    assert end_of("copy", "recipe", str(folder / "gone" / "mine.yaml")) == 2


@pytest.mark.parametrize("verb", ["show", "copy"])
def test_an_unknown_name_is_told_with_the_nearest(verb, folder, capsys):
    assert end_of(verb, "recipes", *([str(folder / "x.yaml")] if verb == "copy" else [])) == 2
    assert "did you mean recipe?" in capsys.readouterr().err


def test_presets_of_another_folder(folder):
    assert presets.names(folder / "presets") == ["recipe"]
    assert presets.find("recipe", folder / "presets").is_file()
