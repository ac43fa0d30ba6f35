"""A checkpoint whose self-description was edited is used as it is or refused with exit code 3; it is never a bug."""

from __future__ import annotations

import contextlib
import copy
import io
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from vctrain import cli, console

JUNK: list[Any] = [
    *(None, "x", "", -1, 0, 1e308, float("nan"), [], {}, {"a": 1}, [1, "b"], 1 << 40, True, b"x", "\x1b[31m", (1, 2)),
    torch.zeros(2),
]


def paths(value: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*so_far, key)
        yield from paths(value[key], (*so_far, key))


def edited(content: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The checkpoint with one value of its self-description replaced or taken out."""
    changed = copy.deepcopy(content)
    *way, last = rng.choice(list(paths(changed["vctrain"])))
    holder: Any = changed["vctrain"]
    for key in way:
        holder = holder[key]
    if isinstance(holder, dict) and rng.random() < 0.2:
        del holder[last]
    else:
        holder[last] = rng.choice(JUNK)
    return changed


@pytest.mark.parametrize("verb", ["inspect", "export"])
def test_edited_values_end_in_one_error(tiny_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    content = torch.load(tiny_run.checkpoints / "best.ckpt", weights_only=True)
    ends: dict[int, int] = {}
    for number in range(25 if verb == "inspect" else 60):
        path = tmp_path / f"{number}.ckpt"
        rng = random.Random(number)
        torch.save(edited(content, rng), path)
        said = io.StringIO()
        more = ["--json"] if number % 2 else []
        with pytest.raises(SystemExit) as end, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            cli.main([verb, str(path), *more])
        code = int(end.value.code or 0)
        assert code in (0, 3), (number, code, said.getvalue())
        assert "\x1b" not in said.getvalue()
        ends[code] = ends.get(code, 0) + 1
    console.configure()
    assert ends[3] >= 10
