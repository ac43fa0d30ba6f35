"""Is a recording described as it is, is what is odd named, and does "blocks" mean that vctrain refuses it?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data.made_recordings import covariates, write
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vctrain import console
from vctrain.config.datasets import load_dataset_configs
from vctrain.data.inspection.recording import Inspected, inspect_dset, plain
from vctrain.data.opening import open_sessions
from vctrain.errors import ContractError

NAN = float("nan")
Spoil = Callable[[dict[str, torch.Tensor]], Any]


def made(**more: Any) -> dict[str, torch.Tensor]:
    content = covariates(trials=(150,) * 10, units=3, **more)
    return content | {"eyepos": content["eyepos"] / 20}


def inspected(folder: Path, content: dict[str, torch.Tensor], metadata: dict[str, Any] | None = None) -> Inspected:
    path = write(folder / "Ada_2024-05-06" / "gaborium.dset", content, metadata)
    return inspect_dset(path, lambda *_: None)


def _set(name: str, index: Any, value: float) -> Spoil:
    return lambda content: content[name].__setitem__(index, value)


def _is(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Spoil:
    return lambda content: content.update({name: change(content[name])})


SPOILT: dict[str, tuple[Spoil, str]] = {
    "NaN in counts": (_set("robs", (30, 2), NAN), "robs is not finite 1 time (first at frame 30, cid 2)"),
    "negative counts": (_set("robs", (30, 1), -1), "robs is negative 1 time"),
    "rates for counts": (_is("robs", lambda x: x * 0.31), "robs is no whole number"),
    "dead unit": (_set("robs", (slice(None), 1), 0), "1 of 3 units never fire in it (cid 1)"),
    "NaN in trials": (
        _is("trial_inds", lambda x: x.double().index_fill(0, torch.tensor([7]), NAN)),
        "not finite 1 time",
    ),
    "frames without trial": (_set("trial_inds", slice(0, 20), -1), "20 frames belong to no trial"),
    "one trial": (_set("trial_inds", slice(None), 4), "one trial only"),
    "trials come back": (_set("trial_inds", slice(1350, None), 0), "trial numbers come back"),
    "NaN in gaze": (_set("eyepos", (slice(10, 14), 0), NAN), "not finite on 4 frames that dpi_valid calls valid"),
    "never tracked": (_set("dpi_valid", slice(None), 0), "dpi_valid is 0 everywhere"),
    "NaN in time": (_set("t_bins", 9, NAN), "t_bins is not finite 1 time in 1 frame, first at frame 9"),
    "backwards": (_set("t_bins", 9, 0.0), "t_bins does not increase"),
    "dropped frames": (_is("t_bins", lambda x: x + 0.05 * (torch.arange(1500) > 700)), "5 frames dropped in 1 gap"),
    "grey movie": (_set("stim", slice(None), 127), "stim is 127 everywhere"),
    "stim as float": (_is("stim", lambda x: x.float()), "stim is float32 (1500, 4, 5), not uint8"),
    "no stim": (lambda content: content.pop("stim"), "covariate stim is missing"),
    "no counts": (lambda content: content.pop("robs"), "covariate robs is missing"),
    "short counts": (_is("robs", lambda x: x[:-1]), "covariate robs has 1499 frames, stim has 1500"),
    "no units": (_is("robs", lambda x: x[:, :0]), "robs has no unit"),
    "gaze of one axis": (_is("eyepos", lambda x: x[:, :1]), "eyepos is float32 (1500, 1), not degrees (frames, 2)"),
    "NaN true rates": (
        lambda content: content.update(rate_true=torch.full((1500, 3), NAN)),
        "rate_true is not finite 4,500 times",
    ),
    "flat gaze": (_is("eyepos", lambda x: x.flatten()[:1500]), "eyepos is float32 (1500), not degrees"),
    "NaN in another": (
        lambda content: content.update(pupil=torch.full((1500,), NAN)),
        "pupil is not finite 1,500 times",
    ),
}
REFUSED = {
    *("NaN in counts", "negative counts", "NaN in trials", "one trial", "never tracked", "stim as float", "no stim"),
    *("no counts", "short counts", "no units", "flat gaze", "gaze of one axis", "NaN true rates"),
}


def test_an_ordinary_recording_has_no_problem(tmp_path):
    found = inspected(tmp_path, made(gaps=[(100, 130)]), {"rate_hz": 100.0, "ppd": 37.5})
    assert (found.findings.problems, found.findings.notes) == ([], [])
    facts = found.facts
    counts, gaze = found.dset.covariates["robs"].numpy(), found.dset.covariates["eyepos"].numpy()
    assert (facts["session"], facts["type"], facts["frames"], facts["seconds"]) == (
        "Ada_2024-05-06",
        "gaborium",
        1500,
        15,
    )
    assert (facts["size"], facts["rate_hz"], facts["trials"]["n"]) == ([4, 5], 100.0, 10)
    assert facts["units"]["spikes"] == counts.sum(axis=0).astype(int).tolist()
    assert facts["units"]["rates_hz"] == pytest.approx((counts.sum(axis=0) / 15).tolist())
    assert facts["eye"]["valid_fraction"] == pytest.approx(0.98)
    assert facts["metadata"] == {"rate_hz": 100.0, "ppd": 37.5}
    listed = {each["name"]: each for each in facts["covariates"]}
    assert (listed["eyepos"]["min"], listed["eyepos"]["max"]) == (gaze.min(), gaze.max())
    assert (listed["stim"]["dtype"], listed["stim"]["shape"]) == ("uint8", [1500, 4, 5])
    (session,) = open_sessions(load_dataset_configs(tmp_path), 0)
    assert facts["fingerprint"] == session.describe()["fingerprint"]["gaborium"]


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_odd_is_said_and_blocks_if_it_is_refused(name, tmp_path):
    spoil, said = SPOILT[name]
    content = made()
    spoil(content)
    found = inspected(tmp_path, content, {"rate_hz": 100.0})
    problems = found.findings.problems
    assert any(said in problem.what for problem in problems), problems
    assert all(problem.where == "Ada_2024-05-06 gaborium" and problem.hint for problem in problems)
    assert found.usable is (name not in REFUSED)
    try:
        open_sessions(load_dataset_configs(tmp_path), 0)
        refused = False
    except ContractError:
        refused = True
    assert refused is (name in REFUSED)
    console.to_json(found.facts)


@pytest.mark.parametrize("gone", ["trial_inds", "t_bins", "dpi_valid", "eyepos"])
def test_what_is_missing_is_noted(gone, tmp_path):
    content = made()
    del content[gone]
    found = inspected(tmp_path, content, {"rate_hz": 100.0})
    assert [f"no {gone}:" in note for note in found.findings.notes] == [True]
    assert found.findings.problems == []


def test_foreign_metadata_is_named_and_not_run(tmp_path):
    found = inspected(tmp_path, made(), {"when": np.float64(3.0), "where": Path("x")})
    assert any("foreign objects in its metadata are left unread" in note for note in found.findings.notes)
    assert "not read" in found.facts["metadata"]["where"]


@pytest.mark.parametrize("damage", ["missing", "truncated", "other"])
def test_unreadable_files_are_errors(damage, tmp_path):
    path = write(tmp_path / "gaborium.dset", made())
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3000] if damage == "truncated" else b"stim")
    with pytest.raises(ContractError, match=r"gaborium\.dset"):
        inspect_dset(path, lambda *_: None)


def test_progress_ends_at_its_total(tmp_path):
    said = []
    inspect_dset(write(tmp_path / "Ada" / "gaborium.dset", made()), lambda *told: said.append(told))
    done, total, what = zip(*said, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == total[-1] == sum(x.numel() * x.element_size() for x in made().values())
    assert set(what) == {"Ada gaborium"}


SHAPES = st.sampled_from([(), (40,), (40, 1), (40, 0), (41,), (0,), (40, 2), (40, 2, 2), (40, 2, 2, 2)])
DTYPES = st.sampled_from(
    [torch.uint8, torch.bool, torch.int16, torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
NAMES = ("stim", "robs", "trial_inds", "t_bins", "dpi_valid", "eyepos", "rate_true", "other")


@given(
    st.dictionaries(st.sampled_from(NAMES), st.tuples(SHAPES, DTYPES, st.sampled_from([0.0, 1.0, NAN]))), st.booleans()
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_covariates_are_they_are_described(tmp_path, chosen, replaced):
    """No shape or type makes inspection fail, and its facts are JSON."""
    assume("stim" not in chosen or chosen["stim"][0] != ())
    content = dict(covariates(trials=(10,) * 4)) if replaced else {}
    content |= {name: torch.full(shape, value).to(dtype) for name, (shape, dtype, value) in chosen.items()}
    found = inspected(tmp_path, content)
    assert [each["name"] for each in found.facts["covariates"]] == list(content)
    assert console.to_json(found.facts)


def test_metadata_in_plain_types():
    assert plain({"a": (1, None), "b": "x" * 300, "c": {"d": torch.zeros(2)}}) == {
        "a": [1, None],
        "b": "x" * 120 + "...",
        "c": {"d": "float32 (2,)"},
    }
