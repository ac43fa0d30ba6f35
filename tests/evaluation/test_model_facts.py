"""The table of components says what the twin computes: channels, maps, parameters, cost, and what one frame sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vctrain.commands.model_table import operations, show_model
from vctrain.config.model import ModelConfig
from vctrain.config.schema import Settings
from vctrain.evaluation.inspection import inspect_checkpoint
from vctrain.evaluation.model_facts import model_facts
from vctrain.models.twin import StoredShape, Twin
from vctrain.runs.checkpoints import content, read_checkpoint, write_portable

SIDE = 12


def config(**parts: Any) -> ModelConfig:
    return ModelConfig.model_validate({"adapter": {"type": "adapter"}, **parts})


def session(behavior: int = 0) -> dict[str, Any]:
    return {
        "name": "S_2024-01-01",
        "subject": "S",
        "lab": "yates",
        "cids": [0, 1, 2],
        "types": None,
        "rate_hz": 60.0,
        "size": [SIDE, SIDE],
        "behavior_dim": behavior,
        "transforms": None,
        "filters": None,
        "split": None,
        "fingerprint": None,
        "adapter": None,
        "readout": None,
    }


def facts_of(tmp_path: Path, model: ModelConfig, behavior: int = 0) -> dict[str, Any]:
    twin = Twin(model, [StoredShape("S_2024-01-01", 3, SIDE, SIDE, behavior)])
    stored = content(Settings(model=model), [session(behavior)], twin.context)
    write_portable(tmp_path / "a.pt", twin.state_dict(), stored)
    checkpoint = read_checkpoint(tmp_path / "a.pt")
    return model_facts(checkpoint, checkpoint.build())


def part(facts: dict[str, Any], name: str) -> dict[str, Any]:
    return next(component for component in facts["components"] if component["part"] == name)


BANK = {"type": "learnable_temporal", "kernel_size": 5, "num_channels": 3, "window": "none"}


def one_block(**changes: Any) -> dict[str, Any]:
    block = {"channels": 4, "kernel": [3, 5, 5], "norm": "none", "activation": "none", "padding": "valid", **changes}
    return {"type": "resnet", "stem": block, "blocks": []}


def test_a_convolution_by_hand(tmp_path: Path) -> None:
    """No blur, one bank of 5 taps, one block of 3 taps, 5 rows and columns; nothing global."""
    model = config(adapter={"type": "none"}, frontend=BANK, convnet=one_block())
    facts = facts_of(tmp_path, model)
    assert facts["receptive_field"]["support"] == [5, 5]
    assert facts["receptive_field"]["frames"] == 5 + 3 - 1
    assert facts["receptive_field"]["of"] == [SIDE, SIDE]
    assert all(0 < side <= most for side, most in zip(facts["receptive_field"]["pixels"], [5, 5], strict=True))
    # a multiplication and an addition for each tap, input channel, output channel and place
    assert part(facts, "frontend")["flops"] >= 2 * 5 * 3 * SIDE * SIDE
    rows, columns = SIDE - 4, SIDE - 4
    assert part(facts, "convnet")["flops"] == 2 * 3 * 5 * 5 * 3 * 4 * rows * columns
    assert [part(facts, name)["channels"] for name in ("frontend", "convnet", "readout")] == [3, 4, 3]
    assert part(facts, "convnet")["size"] == [rows, columns]
    assert facts["flops"]["frame"] == sum(component["flops"] for component in facts["components"])
    assert part(facts, "frontend")["parameters"] == 15


def test_adapters_and_encoders_are_charged_to_their_parts(tmp_path: Path) -> None:
    """An adapter resamples rows and then columns; the encoder's layers read one frame of behaviour each."""
    model = config(frontend=BANK, convnet=one_block(), modulator={"type": "film", "dims": [6, 4]})
    facts = facts_of(tmp_path, model, behavior=5)
    assert part(facts, "adapter")["flops"] == 2 * (SIDE * SIDE * SIDE) * 2
    layers = 2 * (5 * 6 + 6 * 4)
    assert layers <= part(facts, "modulator")["flops"] <= layers + 2 * 4 * 2 * 4
    assert facts["flops"]["frame"] == sum(component["flops"] for component in facts["components"])


def test_more_channels_cost_more(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    narrow = facts_of(tmp_path / "a", config(frontend=BANK, convnet=one_block()))
    wide = facts_of(tmp_path / "b", config(frontend=BANK, convnet=one_block(channels=8)))
    assert part(wide, "convnet")["flops"] == 2 * part(narrow, "convnet")["flops"]


def test_the_checkpoint_of_a_run(tiny_run) -> None:
    facts, findings = inspect_checkpoint(tiny_run.checkpoints / "best.ckpt")
    assert not findings.problems
    parts = {component["part"]: component for component in facts["components"]}
    assert set(parts) == {"adapter", "frontend", "convnet", "modulator", "readout"}
    assert parts["modulator"]["type"] == "film"
    assert parts["readout"]["channels"] == 4
    assert facts["receptive_field"]["frames"] == facts["context"] + 1
    assert facts["flops"]["frame"] > 0
    assert (facts["resumable"], facts["step"]) == (True, torch.load(facts["path"], weights_only=True)["global_step"])


def test_the_table_is_readable(tiny_run, capsys: pytest.CaptureFixture[str]) -> None:
    facts, _ = inspect_checkpoint(tiny_run.checkpoints / "best.ckpt")
    show_model(facts)
    out = capsys.readouterr().out
    for word in ("FLOPs a frame", "convnet", "film", "receptive field", f"{facts['receptive_field']['frames']} frames"):
        assert word in out
    assert operations(2_500_000_000).strip() == "2.5 G"
