"""The settings of a run, and where each came from, read back from its config.yaml."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vctrain.config.layers import leaves
from vctrain.config.resolve import read_provenance, read_settings, render, resolve
from vctrain.config.schema import Settings

SETTINGS = resolve(
    "gaborium",
    sets=["data.path='a  # b: c.yaml'", "regularization=[{name: r, type: l1, strength: 1, apply_to: [features]}]"],
).settings
PATHS = [path for path, _ in leaves(SETTINGS.model_dump(mode="json"))]
SOURCES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.sampled_from(" #:'\"-"), min_size=1)


def test_settings_and_sources_read_back(tmp_path: Path) -> None:
    sources = {path: f"source {number}" for number, path in enumerate(PATHS)}
    (tmp_path / "config.yaml").write_text(render(SETTINGS, sources))
    assert read_settings(tmp_path / "config.yaml") == SETTINGS
    assert read_provenance(tmp_path / "config.yaml") == sources


@given(st.lists(SOURCES, min_size=len(PATHS), max_size=len(PATHS)))
def test_any_source_reads_back(tmp_path_factory, texts: list[str]) -> None:
    sources = {path: " ".join(text.split()) or "default" for path, text in zip(PATHS, texts, strict=True)}
    path = tmp_path_factory.mktemp("run") / "config.yaml"
    path.write_text(render(SETTINGS, sources), encoding="utf-8")
    assert read_settings(path) == SETTINGS
    assert read_provenance(path) == sources


def test_a_file_without_sources_has_none(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 4\ntrainer: {max_epochs: 3}\n")
    assert read_provenance(tmp_path / "config.yaml") == {}
    assert read_settings(tmp_path / "config.yaml") == Settings.model_validate({"seed": 4, "trainer": {"max_epochs": 3}})
