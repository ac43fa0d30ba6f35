"""Is everything of the earlier systems in docs/migration.md, and does everything exist that it names instead?"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel
from readme.migration_tables import PAGE, fault, rows

from vctrain.config import legacy, legacy_blocks, legacy_nets, legacy_parts, old_spellings, transforms
from vctrain.config.dataset_schema import FilterOp, ParentFile

ROWS = tuple(rows(PAGE.read_text(encoding="utf-8")))
SPEC = Path(__file__).parents[3] / "shared" / "reference" / "legacy_spec.md"
SECTIONS = ("Flags", "Scripts and modules", "Recipes", "Model configs", "Dataset configs")
OURS = {
    "semantics",
    "lags",
    "history_lags",
    "rms_affine",
    "softpool_temperature",
    "heads",
    "pointwise",
    "bare_shortcut",
}
"""Fields of legacy configs that vctrain adds: what old configs left to the code."""


def words_of(section: str) -> set[str]:
    """Every word that the first column of a section's tables names."""
    return {word for row in ROWS if row.section == section for word in row.old_words}


@pytest.fixture(scope="module")
def spec() -> str:
    """How the earlier systems were, if that text is at hand."""
    if not SPEC.is_file():
        pytest.skip(f"no description of the earlier systems in {SPEC}")
    return SPEC.read_text(encoding="utf-8")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.section}: {', '.join(row.then)[:50]}")
def test_what_a_row_names_exists(row) -> None:
    assert row.then or row.section in ("Scripts and modules", "Recipes")
    # a key that is read as it was has no new name
    assert row.now or row.text.startswith(("gone: ", "the same", "accepted", "flat", "within a trial", "a template"))
    assert [problem for name in (*row.now, *row.noted) if (problem := fault(name))] == []


def test_names_that_do_not_exist_would_be_noticed() -> None:
    wrong = (
        "--no-such-flag", "finetune --freez", "optim.learning_rate", "model.frontend.taps", "trainer.precision=bf17",
        "train --preset gaborum", "train --preset all --set optim.rate=1", "vctrain.models.twins", "vctrain.lod",
        "data.curriculum.start.more", "vctrain.nothing.at.all",
    )  # fmt: skip
    assert [name for name in wrong if fault(name) is None] == []
    assert {row.section for row in ROWS} >= set(SECTIONS)
    assert len(ROWS) > 120


def test_every_key_of_old_model_configs_is_there() -> None:
    fields = set()
    for module in (legacy, legacy_parts, legacy_nets, legacy_blocks):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, BaseModel) and kind.__module__ == module.__name__:
                fields |= set(kind.model_fields)
    assert fields >= OURS
    missing = fields - OURS - words_of("Model configs")
    assert missing == set()


def test_every_key_of_dataset_configs_is_there() -> None:
    named = words_of("Dataset configs")
    keys = set(ParentFile.model_fields) - {"data_root"} | set(transforms.Transform.model_fields)
    operations = {get_args(kind.model_fields["op"].annotation)[0] for kind in get_args(transforms.AnyOp)}
    assert (keys | operations | set(FilterOp.model_fields)) - named == set()
    misspelt = set(re.findall(r'"(th\w+)"', inspect.getsource(old_spellings)))
    assert misspelt == {"theshold", "threshold"}
    assert misspelt <= named


def test_every_flag_is_there(spec: str) -> None:
    listed = spec.partition("### 8.2 CLI")[2].partition("\n### ")[0].partition("\n")[2]
    first, _, newer = listed.partition("HEAD adds:")
    flags = [part.strip().split()[0].strip("*.") for part in first.split(", ")]
    newer = newer.replace("single-GPU script:", "")
    flags += [part.strip().split()[0] for part in re.split(r"[,;]", newer) if not part.strip().startswith("no resume")]
    assert len(flags) > 35, flags
    named = {flag.removeprefix("--") for row in ROWS if row.section == "Flags" for flag in row.then}
    assert [flag for flag in flags if flag not in named] == []


def test_every_recipe_is_there(spec: str) -> None:
    text = spec.partition("### 8.3 Presets")[2].partition("\n---")[0]
    listed = set(re.findall(r"^\| (\w+) \|", text, re.MULTILINE)) - {"preset"}
    newest = re.sub(r"\([^()]*\)", "", text.partition("HEAD presets:")[2])
    listed |= {name for name in re.findall(r"[\w]+", newest) if re.search(r"_|^240$", name)}
    assert {"all", "cones", "120_base", "backimage_240", "smoke_test", "train_vivit"} <= listed
    assert listed - words_of("Recipes") - words_of("Scripts and modules") == set()


def test_every_script_class_and_key_of_the_description_is_there(spec: str) -> None:
    named = words_of("Scripts and modules")
    scripts = {Path(path).stem for path in re.findall(r"[\w/]+\.py\b", spec)}
    classes = set(
        re.findall(r"\b(?:[A-Z][a-z]*)+(?:Callback|PLCore|VisionModel|CoreModel|DatasetModel|V1Model)\b", spec)
    )
    classes |= {"DictDataset", "CombinedEmbeddedDataset", "prepare_data", "initialize_model_components", "run_sta"}
    assert len(classes) > 10
    covered = {"core": "core", "MultiDatasetPLCore": "MultiDatasetPLCore"}
    assert {name for name in scripts | classes if covered.get(name, name) not in named} == set()
    top = re.findall(r"^\| ([\w,]+) \|", spec.partition("## 1.")[2].partition("### 1.1")[0], re.MULTILINE)
    keys = {key for cell in top for key in cell.split(",")} - {"key"}
    assert len(keys) > 12
    assert keys - words_of("Model configs") == set()
    top = spec.partition("Top-level: ")[2].partition("\n- ")[0]
    keys = set(re.findall(r"\b[a-z]+(?:_[a-z]+)*\b", re.sub(r"\([^()]*\)|\[[^]]*\]|\"[^\"]*\"", "", top)))
    assert keys - words_of("Dataset configs") - {"overrides", "informational"} == set()
