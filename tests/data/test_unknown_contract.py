"""What a checkpoint does not know of its sessions is taken from the recordings, and said; what it knows is compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_recordings import EYE_VELOCITY, covariates

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.contract import open_for_checkpoint
from vctrain.errors import ContractError

UNKNOWN = ("types", "rate_hz", "size", "n_frames", "transforms", "filters", "split", "fingerprint", "behavior_dim")


@pytest.fixture
def opened(session_config: Callable[..., Path]) -> tuple[Any, dict[str, Any]]:
    """Specs of a session with eye movements, and how a checkpoint that knows everything describes it."""
    path = session_config({"gaborium": covariates()}, transforms=EYE_VELOCITY)
    specs = load_dataset_configs(path)
    stored: dict[str, Any] = {key: None for key in UNKNOWN}
    stored |= {"name": specs[0].name, "subject": specs[0].subject, "cids": [2, 0], "adapter": None, "readout": None}
    return specs, stored


def test_nothing_but_units_is_needed(opened: tuple[Any, dict[str, Any]]) -> None:
    specs, stored = opened
    matched = open_for_checkpoint(specs, [stored], 3, all_required=True)
    (session,) = matched.sessions
    assert session.cids == (2, 0)
    assert any("transforms, filters, split" in note for note in matched.notes)
    assert not any("other recordings" in note for note in matched.notes)


def test_unknown_maxima_are_fitted_and_said(opened: tuple[Any, dict[str, Any]]) -> None:
    specs, stored = opened
    known = open_for_checkpoint(specs, [stored], 3, all_required=True).sessions[0].describe()
    fitted = [signal["maxima"] for signal in known["transforms"]["behavior"]]
    for signal in known["transforms"]["behavior"]:
        signal["maxima"] = {}
    matched = open_for_checkpoint(specs, [{**known, "fingerprint": None}], 3, all_required=True)
    assert sum("does not know the largest eyepos" in note for note in matched.notes) == 1
    again = matched.sessions[0].describe()["transforms"]["behavior"]
    assert [signal["maxima"] for signal in again] == fitted


@pytest.mark.parametrize(
    ("key", "value", "message"), [("size", [9, 9], "size"), ("rate_hz", 7.0, "rate"), ("behavior_dim", 5, "behavior")]
)
def test_what_is_known_is_compared(opened: tuple[Any, dict[str, Any]], key: str, value: Any, message: str) -> None:
    specs, stored = opened
    with pytest.raises(ContractError, match=message):
        open_for_checkpoint(specs, [{**stored, key: value}], 3, all_required=True)
