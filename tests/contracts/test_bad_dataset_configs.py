"""A dataset config that cannot be used is one line that names file and key, exit 2, and nothing is written."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_labs import NAME, Lab, content, lab_in, refused

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.opening import open_sessions
from vctrain.errors import ContractError, UsageError

Spoil = Callable[[Lab], Any]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    yield from lab_in(tmp_path, monkeypatch)


def _set(*keys: str | int, to: Any) -> Spoil:
    def spoil(lab: Lab) -> None:
        place: Any = lab.config
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to

    return spoil


VALUES: dict[str, tuple[Spoil, list[str]]] = {
    "cid twice": (_set("cids", to=[0, 2, 0]), ["cids", "listed twice: 0"]),
    "negative cid": (_set("cids", to=[0, -2]), ["cids.1", "-2"]),
    "no cid": (_set("cids", to=[]), ["cids"]),
    "cids of text": (_set("cids", to=["a"]), ["cids.0", "'a'"]),
    "cids that are a mapping": (_set("cids", to={0: 1}), ["cids"]),
    "type twice": (_set("types", to=["gaborium", "gaborium"]), ["types", "listed twice: gaborium"]),
    "no type": (_set("types", to=[]), ["types"]),
    "type that leaves the folder": (_set("types", to=["../gaborium"]), ["types.0", "no slash"]),
    "session that leaves the folder": (_set("session", to=f"../{NAME}"), ["session", "no slash"]),
    "session without a name": (_set("session", to=" "), ["session"]),
    "session that is a date": (_set("session", to=20240506), ["session", "20240506"]),
    "long name": (_set("session", to="x" * 999), ["session"]),
    "lags with a hole": (_set("keys_lags", "stim", to=[0, 1, 3]), ["keys_lags", "lags of stim"]),
    "lags that go down": (_set("keys_lags", "stim", to=[3, 2, 1]), ["keys_lags", "lags of stim"]),
    "lag twice": (_set("keys_lags", "stim", to=[0, 1, 1]), ["keys_lags", "lags of stim"]),
    "negative lags": (_set("keys_lags", "stim", to=[-1, 0]), ["keys_lags", "stim has a negative lag"]),
    "negative lag": (_set("keys_lags", "robs", to=-1), ["keys_lags", "robs has a negative lag"]),
    "lags with a hole in a transform": (
        _set("transforms", "eye_pos", "keys_lags", to={"behavior": [0, 2]}),
        ["transforms.eye_pos.keys_lags", "lags of behavior"],
    ),
    "negative lag in a transform": (
        _set("transforms", "eye_pos", "keys_lags", to={"behavior": -1}),
        ["transforms.eye_pos.keys_lags", "behavior has a negative lag"],
    ),
    "negative valid_nlags": (
        _set("datafilters", "dfs", "ops", 0, to={"valid_nlags": -1}),
        ["datafilters.dfs.ops.0.valid_nlags"],
    ),
    "no lag": (_set("n_lags", to=0), ["n_lags"]),
    "split of nothing": (_set("train_val_split", to=0.0), ["train_val_split"]),
    "split of everything": (_set("train_val_split", to=1), ["train_val_split"]),
    "split that is none": (_set("train_val_split", to=float("nan")), ["train_val_split"]),
    "split beyond one": (_set("train_val_split", to=[0.8, 0.2, 0.2]), ["train_val_split", "1.2"]),
    "rates that do not divide": (_set("sampling", "target_rate", to=60), ["sampling", "100 is not a multiple of 60"]),
    "a rate that is none": (_set("sampling", "source_rate", to=float("inf")), ["sampling.source_rate"]),
    "a rate of zero": (_set("sampling", "target_rate", to=0), ["sampling.target_rate"]),
    "a negative rate": (_set("sampling", "target_rate", to=-50), ["sampling.target_rate"]),
    "a huge seed": (_set("seed", to=10**30), ["seed"]),
    "a negative seed": (_set("seed", to=-1), ["seed"]),
    "a threshold that is none": (
        _set("datafilters", "dfs", "ops", 1, to={"missing_pct": float("nan")}),
        ["datafilters.dfs.ops.1.missing_pct.threshold"],
    ),
    "a filter of gigabytes": (
        _set("transforms", "eye_vel", "ops", 3, "temporal_basis", "history_bins", to=10**9),
        ["transforms.eye_vel.ops.3.temporal_basis.history_bins"],
    ),
    "a basis of nothing": (
        _set("transforms", "eye_vel", "ops", 3, "temporal_basis", "num_cosine_funcs", to=0),
        ["transforms.eye_vel.ops.3.temporal_basis", "num_cosine_funcs"],
    ),
    "a factor that is none": (
        _set("transforms", "eye_pos", "ops", to=[{"mul": float("inf")}]),
        ["transforms.eye_pos.ops.0.mul.value"],
    ),
    "an unknown key": (_set("cidz", to=[0]), ["unknown key cidz"]),
    "transforms that are a list": (_set("transforms", to=[1]), ["transforms"]),
    "no cids at all": (lambda lab: lab.config.pop("cids"), ["cids is missing"]),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_that_cannot_be_used(case: str, lab: Lab, capfd: Any) -> None:
    spoil, says = VALUES[case]
    spoil(lab)
    lab.write()
    refused(lab, capfd, 2, [str(lab.path), *says])


def test_an_empty_split_is_an_error_of_the_data(lab: Lab, capfd: Any) -> None:
    lab.config["train_val_split"] = 0.05
    lab.write()
    refused(lab, capfd, 3, [NAME, "no train frame", "0 of its"])
    lab.config["train_val_split"] = [0.9, 0.01, 0.09]
    lab.write()
    refused(lab, capfd, 3, [NAME, "no val frame"])


def test_a_key_cannot_talk_to_the_terminal(lab: Lab, capfd: Any) -> None:
    lab.config["\x1b[2Jcids\n"] = [0]
    lab.write()
    refused(lab, capfd, 2, ["unknown key \\x1b[2Jcids"])


def test_a_type_asked_for_twice(lab: Lab, capfd: Any) -> None:
    lab.write()
    refused(lab, capfd, 2, ["listed twice: gaborium"], "--types", "gaborium,gaborium")


def _parent(lab: Lab, sessions: list[str], **children: dict[str, Any]) -> None:
    """A parent config with children that name their units only."""
    shared = {key: value for key, value in lab.config.items() if key not in ("session", "cids")}
    (lab.folder / "children").mkdir()
    for name in sessions:
        child = {"cids": [0], **children.get(name, {})}
        (lab.folder / "children" / f"{name}.yaml").write_text(yaml.safe_dump(child))
    lab.config = {**shared, "session_dir": "children", "sessions": sessions}


@pytest.mark.parametrize("case", ["in the parent", "by its name", "in two files", "no child", "child is a folder"])
def test_a_session_listed_twice_or_not_there(case: str, lab: Lab, capfd: Any) -> None:
    if case == "in the parent":
        _parent(lab, [NAME, NAME])
        says = [str(lab.path), f"sessions listed twice: {NAME}"]
    elif case == "by its name":
        _parent(lab, [NAME, "Other_1"], Other_1={"session": NAME})
        says = [f"session {NAME} is listed twice", f"{NAME}.yaml", "Other_1.yaml"]
    elif case == "in two files":
        (lab.folder / "again.yaml").write_text(yaml.safe_dump(lab.config))
        says = [f"session {NAME} is listed twice", "lab.yaml", "again.yaml"]
    else:
        _parent(lab, [NAME])
        child = lab.folder / "children" / f"{NAME}.yaml"
        child.unlink()
        if case == "child is a folder":
            child.mkdir()
        says = [f"session {NAME}", "has no config", str(child)]
    lab.write()
    refused(lab, capfd, 2, says, "--data", str(lab.folder if case == "in two files" else lab.path))


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
TEXTS: dict[str, tuple[bytes, list[str]]] = {
    "a tab": (b"session: Ada\n\tcids: [0]\n", ["line 2", "invalid YAML"]),
    "a tab in a list": (b"cids:\n\t- 0\n", ["invalid YAML"]),
    "half-written": (b"session: Ada\ncids: [0, 1", ["invalid YAML"]),
    "a key twice": (b"cids: [0]\ncids: [1]\n", ["line 2", "'cids' is written twice"]),
    "nothing": (b"", ["does not hold a mapping"]),
    "a list": (b"- 1\n", ["does not hold a mapping"]),
    "keys that are numbers": (b"1: 2\n", ["does not hold a mapping"]),
    "another encoding": ("session: Zoë\n".encode("latin-1"), ["cannot read"]),
    "not text": (bytes(range(256)), ["cannot read"]),
    "code": (b"cids: !!python/object/apply:os.mkdir [ran]\n", ["invalid YAML"]),
    "itself": (b"cids: &a [*a]\n", ["nested too deeply, or in itself"]),
    "deep": (b"cids: " + b"[" * 5000 + b"]" * 5000, ["nested too deeply"]),
    "aliases that multiply": (BOMB.encode(), ["aliases unfold to more than"]),
    "two documents": (b"cids: [0]\n---\ncids: [1]\n", ["invalid YAML"]),
}


@pytest.mark.parametrize("case", TEXTS)
def test_text_that_is_no_config(case: str, lab: Lab, capfd: Any, tmp_path: Path) -> None:
    text, says = TEXTS[case]
    lab.write()
    lab.path.write_bytes(text)
    refused(lab, capfd, 2, [str(lab.path), *says])
    assert not list(tmp_path.rglob("ran"))


FILES: dict[str, Callable[[Path], Any]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-3000]),
    "half-written": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("stim"),
    "another's": lambda path: path.write_bytes(path.read_bytes() + b"\0" * 70_000),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_no_recordings(case: str, lab: Lab, capfd: Any) -> None:
    lab.write()
    FILES[case](lab.dset())
    refused(lab, capfd, 3, [str(lab.dset())])


@pytest.mark.parametrize("case", ["gone", "a folder", "a link to nothing"])
def test_recordings_that_are_not_there(case: str, lab: Lab, capfd: Any) -> None:
    lab.write()
    lab.dset().unlink()
    if case == "a folder":
        lab.dset().mkdir()
    elif case == "a link to nothing":
        lab.dset().symlink_to(lab.folder / "nothing")
    refused(lab, capfd, 3, [f"session {NAME} has no gaborium recording", str(lab.dset())])


@contextlib.contextmanager
def _nobody() -> Iterator[None]:
    """Without the rights of root, who reads everything."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


@pytest.mark.parametrize("what", ["config", "recording", "session folder", "data folder"])
def test_what_is_forbidden_to_read(what: str, lab: Lab) -> None:
    lab.write()
    open_sessions(load_dataset_configs(lab.path), 0)
    for folder in (lab.folder, *lab.folder.parents[:3]):
        folder.chmod(0o755)
    path = {"config": lab.path, "recording": lab.dset(), "session folder": lab.session, "data folder": lab.folder}[what]
    path.chmod(0)
    try:
        with _nobody(), pytest.raises(UsageError if what in ("config", "data folder") else ContractError) as caught:
            open_sessions(load_dataset_configs(lab.folder if what == "data folder" else lab.path), 0)
    finally:
        path.chmod(0o755)
    assert str(path) in caught.value.message
    assert "ermission" in caught.value.message
    assert caught.value.hint


def test_a_folder_that_holds_nothing(lab: Lab, capfd: Any) -> None:
    lab.write()
    lab.path.unlink()
    shutil.rmtree(lab.session)
    refused(lab, capfd, 2, [str(lab.folder), "neither dataset configs"], "--data", str(lab.folder))


def test_two_sessions_at_other_rates(lab: Lab, capfd: Any) -> None:
    lab.write()
    other = Lab(lab.folder)
    other.session, other.path = lab.folder / "Bob_1", lab.folder / "bob.yaml"
    other.recordings = {"gaborium": content(1)}
    other.config |= {"session": "Bob_1", "sampling": {"source_rate": 100, "target_rate": 100}}
    other.write()
    refused(lab, capfd, 3, [NAME, "Bob_1", "50 Hz", "100 Hz"], "--data", str(lab.folder))
