"""A compiled vision computes what the uncompiled one does, again and again the same, and says where it cannot."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from made_sessions import BEHAVIOUR_ALONE, settings
from models.made_twins import clips, config, twin
from training.test_module import batch, new_module

from benchmarks.same_run import differing
from vctrain.errors import FaultError, UsageError
from vctrain.models import twin as twin_file
from vctrain.training import fit
from vctrain.training.faults import as_fault

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
COMPILED = {"trainer.compile": True}


def gradients(compiles: bool) -> tuple[float, dict[str, torch.Tensor]]:
    from vctrain.training.loss import session_losses, step_loss

    module, given = new_module(), batch(0)
    module.twin.train()
    module.twin.compiles = compiles
    loss = step_loss(session_losses(module.twin(given.parts), given), given, 1)
    loss.backward()
    found = {name: p.grad for name, p in module.twin.named_parameters() if p.grad is not None}
    return float(loss.detach()), found


@needs_compiler
def test_losses_and_gradients_are_those_of_the_uncompiled_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    compiled = twin_file.compiled_vision()
    monkeypatch.setattr(twin_file, "compiled_vision", lambda: calls.append(1) or compiled)
    expected, wanted = gradients(False)
    assert not calls
    loss, found = gradients(True)
    assert calls
    assert loss == pytest.approx(expected, rel=1e-6)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert (found[name] - gradient).norm() <= 1e-5 * gradient.norm().clamp_min(1e-6), name


def test_what_is_not_trained_on_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation has clips of other lengths, and its digits do not depend on how the twin was trained."""
    calls: list[int] = []
    monkeypatch.setattr(twin_file, "compiled_vision", lambda: calls.append(1) or twin_file.vision)
    model = twin(config()).train()
    model.compiles = True
    given = [clips(0, 2, model.context + 5, 5, 3)]
    model(given)
    assert len(calls) == 1
    with torch.no_grad():
        model(given)
        model.eval()(given)
    model(given)
    assert len(calls) == 1


@needs_compiler
def test_compiled_runs_are_the_same_run(tiny_data: Path, tiny_run, tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("one", "two")]
    for run in runs:
        result = fit.train(settings(tiny_data, COMPILED), run_dir=run, provenance={}, argv=[])
        assert result["val_bps_overall"] == pytest.approx(tiny_run.result["val_bps_overall"], abs=1e-4)
    assert differing(*runs) == []
    assert "kernels for frontend and convnet" in (runs[0] / "run.log").read_text()


def test_where_nothing_would_be_compiled_it_is_refused(tiny_data: Path, tmp_path: Path) -> None:
    chosen = settings(tiny_data, {"model": BEHAVIOUR_ALONE, **COMPILED})
    with pytest.raises(UsageError, match=r"trainer\.compile: there is no frontend or convnet"):
        fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("change", [COMPILED, {"data.residency": "host"}])
def test_kept_features_leave_nothing_to_compile_or_hold(
    change: dict[str, object], tiny_data: Path, tiny_run, tmp_path: Path
) -> None:
    kept = {"start.checkpoint": str(tiny_run.folder), "start.freeze_vision": True, "start.cache_features": True}
    with pytest.raises(UsageError, match="|".join(change)) as caught:
        fit.train(settings(tiny_data, {**kept, **change}), run_dir=tmp_path / "run", provenance={}, argv=[])
    assert "--set" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_a_fault_of_the_compiler_is_one_of_the_run(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch._dynamo.exc as failures

    def broken() -> object:
        raise failures.Unsupported("graph break in a part")

    monkeypatch.setattr(twin_file, "compiled_vision", broken)
    with pytest.raises(FaultError, match=r"torch could not compile this twin \(.*step 0"):
        fit.train(settings(tiny_data, COMPILED), run_dir=tmp_path / "run", provenance={}, argv=[])
    # so it is where the speed is measured first
    with pytest.raises(FaultError, match=r"torch could not compile this twin \(measuring"):
        fit.train(
            settings(tiny_data, {**COMPILED, "trainer.max_minutes": 1}), run_dir=tmp_path / "fitted", provenance={},
            argv=[],
        )  # fmt: skip


def test_what_cannot_be_compiled_ends_the_run_in_words() -> None:
    import torch._dynamo.exc as failures

    fault = as_fault(failures.Unsupported("graph break in a part"), "step 0: computing rates", Path("runs/x"))
    assert isinstance(fault, FaultError)
    assert fault.message.startswith("trainer.compile: torch could not compile this twin (step 0: computing rates)")
    assert "graph break in a part" in fault.message
    assert fault.hint
