"""Whatever is done to a valid recording or its config: it opens and gives right, finite clips, or one error says why.

VCTRAIN_EXAMPLES sets how many examples each test tries.
"""

from __future__ import annotations

import copy
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from data.made_recordings import write
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from made_labs import CONFIG, NAME, content

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.opening import open_sessions
from vctrain.data.report import session_report
from vctrain.data.session import Session
from vctrain.errors import ContractError, UsageError

CONTEXT, FRAMES = 4, 8
NAN, INF = float("nan"), float("inf")
examples = settings(
    max_examples=int(os.environ.get("VCTRAIN_EXAMPLES", "30")), deadline=None, suppress_health_check=list(HealthCheck)
)


@contextmanager
def lab(recording: bytes | dict[str, Any], config: dict[str, Any] | bytes | None = None, **more: Any) -> Iterator[Path]:
    """A folder with one recording and its config; the path of the config."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        dset, path = root / NAME / "gaborium.dset", root / "lab.yaml"
        if isinstance(recording, bytes):
            dset.parent.mkdir()
            dset.write_bytes(recording)
        else:
            write(dset, recording, more.get("metadata"))
        text = config if isinstance(config, bytes) else yaml.safe_dump(config or CONFIG, sort_keys=False).encode()
        path.write_bytes(text)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VCTRAIN_CACHE", str(root / "cache"))
            patch.delenv("VCTRAIN_DATA_ROOT", raising=False)
            yield path


def opened(path: Path) -> Session | None:
    """The session, or None after one error that is as it should be; nothing is written and nothing else said."""
    before = sorted(path.parent.rglob("*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            (session,) = open_sessions(load_dataset_configs(path), CONTEXT)
        except (ContractError, UsageError) as error:
            refusal = error
        else:
            finite_clips(session)
            return session
    event(type(refusal).__name__)
    assert str(path.parent) in refusal.message or NAME in refusal.message
    assert refusal.hint
    assert len(refusal.message) < 1000
    assert sorted(path.parent.rglob("*")) == before
    return None


def finite_clips(session: Session) -> None:
    """Clips from start to end hold finite numbers in their ranges, and count what the report says."""
    segments = session.segments()
    counted = 0.0
    for start, stop in segments[:: max(1, len(segments) // 12)].tolist():
        clips = session.gather([start, stop - 1], context=CONTEXT, frames=FRAMES, rate_true=True)
        for value in (clips.robs, clips.dfs, clips.behavior, clips.rate_true, clips.levels):
            assert value is None or torch.isfinite(value).all()
        assert clips.stim is not None
        assert (clips.robs >= 0).all()
        assert set(clips.dfs.unique().tolist()) <= {0.0, 1.0}
        counted += float(clips.dfs.sum())
    report = session_report(session)
    assert sum(report["dropped"].values()) + sum(report["scored"].values()) == session.n_frames
    assert all(n > 0 for n in report["scored"].values())
    assert session.entries("train").sum() > 0


def clips_of_the_file(session: Session, made: dict[str, torch.Tensor]) -> None:
    """Scored frames are those of the file: movie, counts, and behaviour that ends with the gaze as it is."""
    factor = 2
    scored = session.scored("all")
    starts = scored.starts[:6]
    clips = session.gather(starts, context=CONTEXT, frames=1)
    valid = torch.nan_to_num(made["dpi_valid"].double(), nan=0.0) if "dpi_valid" in made else None
    for row, start in enumerate(starts.tolist()):
        at = slice(start * factor, start * factor + factor)
        assert torch.equal(clips.stim[row, -1], made["stim"][at][0])
        assert torch.equal(clips.robs[row, 0], made["robs"][at].float().sum(0)[[0, 2]])
        past = slice((start - CONTEXT) * factor, at.stop)
        if valid is not None:
            assert (valid[past] > 0).all()
        if "trial_inds" in made:
            # the trial of a bin is that of its first frame
            assert len(made["trial_inds"][past][::factor].unique()) == 1
        if clips.behavior is not None:
            gaze = made["eyepos"][at].double().mean(0)
            assert torch.allclose(clips.behavior[row, -1, -gaze.numel() :].double(), gaze, rtol=1e-5, atol=1e-5)


NAMES = sorted(content())
ANY_NUMBER = st.one_of(
    st.sampled_from([NAN, INF, -INF, 0.0, -1.0, -0.5, 0.5, 1.0, 255.0, 1e5, -1e5, 1e38, 1e300, -1e300, 2.0**63]),
    st.floats(-10, 10),
)
DTYPES = st.sampled_from(
    [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool, torch.float16, torch.bfloat16,
     torch.float32, torch.float64]
)  # fmt: skip


def _put(values: torch.Tensor, number: float, where: slice) -> torch.Tensor:
    """`values` with `number` at some places, in a type that can hold it."""
    holds = values.dtype.is_floating_point and (abs(number) < 1e4 or not np.isfinite(number))
    changed = values.clone() if holds else values.double()
    changed.reshape(-1)[where] = number
    return changed


SHAPED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "flat": lambda x: x.flatten(),
    "one more axis": lambda x: x.unsqueeze(-1),
    "one axis less": lambda x: x.flatten(1)[:, 0] if x.ndim > 1 else x[0],
    "turned": lambda x: x.transpose(0, -1),
    "no columns": lambda x: x[:, :0] if x.ndim > 1 else x[:0],
    "one column more": lambda x: torch.cat([x, x[..., :1]], -1),
    "one column less": lambda x: x[..., :-1],
    "backwards": lambda x: x.flip(0),
    "not contiguous": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "one value for all": lambda x: x[:1].expand_as(x),
    "empty": lambda x: x[:0],
}


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, str, Callable[[torch.Tensor], torch.Tensor | None]]:
    """A covariate, what is done to it in words, and the change."""
    name = draw(st.sampled_from([*NAMES, "stim", "robs", "trial_inds", "eyepos", "t_bins", "dpi_valid", "missing_pct"]))
    kind = draw(st.sampled_from(["gone", "dtype", "shape", "length", "number", "numbers", "all"]))
    if kind == "gone":
        return name, kind, lambda x: None
    if kind == "dtype":
        dtype = draw(DTYPES)
        return name, f"{dtype}", lambda x: x.to(dtype)
    if kind == "shape":
        shape = draw(st.sampled_from(sorted(SHAPED)))
        return name, shape, SHAPED[shape]
    if kind == "length":
        frames = draw(st.sampled_from([0, 1, 7, 150, 299, 301, 600]))
        return name, f"{frames} frames", lambda x: torch.cat([x, x])[:frames]
    number, first = draw(ANY_NUMBER), draw(st.integers(0, 299))
    step = {"number": 10**6, "numbers": 7, "all": 1}[kind]
    where = slice(None if kind == "all" else first, None, step)
    return name, f"{number} at {where}", lambda x: _put(x, number, where)


@given(st.lists(mutations(), min_size=1, max_size=3), st.sampled_from([{}, {"rate_hz": 100.0}]))
@examples
def test_any_covariates(changes: list[Any], metadata: dict[str, Any]) -> None:
    made: dict[str, Any] = content()
    for name, _, change in changes:
        if name in made and made[name].ndim and made[name].numel():
            made[name] = change(made[name])
            if made[name] is None:
                del made[name]
    with lab(made, metadata=metadata) as path:
        session = opened(path)
        if session is not None:
            clips_of_the_file(session, made)


@given(
    st.dictionaries(st.sampled_from(["rate_hz", "name", "type"]), ANY_NUMBER | st.text() | st.none() | st.booleans())
)
@examples
def test_any_metadata(metadata: dict[str, Any]) -> None:
    config = {key: value for key, value in CONFIG.items() if key != "sampling"}
    with lab(content(), config, metadata=metadata) as path:
        opened(path)


def _flip(data: bytearray, place: int, change: int) -> None:
    data[place % len(data)] ^= change


def _cut(data: bytearray, place: int, change: int) -> None:
    del data[place % len(data) :]


def _drop(data: bytearray, place: int, change: int) -> None:
    del data[place % len(data) : place % len(data) + change]


def _blank(data: bytearray, place: int, change: int) -> None:
    start = place % len(data)
    data[start : start + change] = bytes(len(data[start : start + change]))


def _insert(data: bytearray, place: int, change: int) -> None:
    start = place % len(data)
    data[start:start] = data[: change * 8]


def _move(data: bytearray, place: int, change: int) -> None:
    """A piece of the end, where the directory of the archive is, over another."""
    start = len(data) - 1 - place % min(len(data), 4096)
    data[start : start + change] = data[-change:]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("whole") / "gaborium.dset", content(), {"rate_hz": 100.0})


DAMAGE = st.tuples(
    st.sampled_from([_flip, _cut, _drop, _blank, _insert, _move]),
    # what holds the file together is at its start and at its end
    st.one_of(st.integers(0, 1 << 17), st.integers(0, 4000), st.integers(-4000, -1)),
    st.integers(1, 255),
)


@given(st.lists(DAMAGE, min_size=1, max_size=4))
@examples
def test_any_bytes(recorded: Path, damage: list[Any]) -> None:
    data = bytearray(recorded.read_bytes())
    for harm, place, change in damage:
        if data:
            harm(data, place, change)
    with lab(bytes(data)) as path:
        opened(path)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 30),
        st.sampled_from([10**6, 10**12, 10**30, -(10**30), NAN, INF, -INF, 0.0, 1e-300, 1e300, 0.1]),
        st.floats(-2, 300),
        st.sampled_from(["stim", "robs", "eyepos", "dfs", "cids", "gaborium", NAME, "", "a/b", "..", "\0", "x" * 300]),
        st.text(max_size=5),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)
OPS: list[Any] = [
    "diff", "symlog", {"maxnorm": {}}, {"mul": 2}, {"smooth": 1.5}, {"smooth": {"sigma": 1e9}}, {"cast": "float16"},
    {"splitrelu": {}}, {"select_units": [1]}, {"select_units": [5]}, {"temporal_basis": {"history_bins": 5}},
    {"temporal_basis": {"num_cosine_funcs": 0}}, {"temporal_basis": {"num_cosine_funcs": 1, "causal": True}},
    {"temporal_basis": {"history_bins": 10**9}}, {"dacones": {"filter_length": 3}}, {"fftwhitening": {}},
    {"dacones": {"filter_length": 10**9}}, {"mul": 1e38}, {"fftwhitening": {"n": 1e9, "f_0": 1e-9}}, {"mul": 0},
]  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested lists and mappings."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """CONFIG with a few values changed, added, renamed or gone."""
    config = copy.deepcopy(CONFIG)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from([place for place in _places(config) if place]))
        holder: Any = config
        for key in place[:-1]:
            holder = holder[key]
        what = draw(st.sampled_from(["value", "value", "gone", "renamed", "op", "twice"]))
        if what == "value":
            holder[place[-1]] = draw(VALUES)
        elif what == "gone":
            del holder[place[-1]]
        elif what == "twice" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[place[-1]]))
        elif what == "renamed" and isinstance(holder, dict):
            holder[draw(st.text(max_size=8))] = holder.pop(place[-1])
        elif what == "op":
            name = draw(st.sampled_from(["stim", "eye_vel", "eye_pos"]))
            transforms = config.get("transforms")
            transform = transforms.get(name) if isinstance(transforms, dict) else None
            if isinstance(transform, dict) and isinstance(transform.get("ops"), list):
                transform["ops"].append(copy.deepcopy(draw(st.sampled_from(OPS))))
    return config


@given(configs())
@examples
def test_any_config(config: dict[str, Any]) -> None:
    with lab(content(), config, metadata={"rate_hz": 100.0}) as path:
        opened(path)


ADDED = ["\t", "\n", ":", "- ", "[", "]", "{", "}", "&a ", "*a", "<<: *a", "#", "!!", "!!python/name:os.system "]
ADDED += ["%", "'", '"', "\0", "\xa0", "~", "1e999", ".inf", ".nan", "0x", "2024-01-01", "? ", "|", ">", ""]
EDITS = st.tuples(st.integers(0, 1200), st.integers(0, 3), st.sampled_from(ADDED))


@given(st.lists(EDITS, min_size=1, max_size=4))
@examples
def test_any_text(edits: list[tuple[int, int, str]]) -> None:
    text = yaml.safe_dump(CONFIG, sort_keys=False)
    for place, removed, added in edits:
        at = place % (len(text) + 1)
        text = text[:at] + added + text[at + removed :]
    with lab(content(), text.encode(), metadata={"rate_hz": 100.0}) as path:
        opened(path)


@given(st.binary(max_size=200))
@examples
def test_any_file_for_a_config(data: bytes) -> None:
    with lab(content(), data) as path:
        opened(path)
