"""Streaming twin against the windowed reference: steps, evaluation, arithmetic, operators, saved activations; and
against itself in bfloat16 and compiled.

python -m benchmarks.streaming [--what train,evaluate,flops,operators,saved,bf16,compile] [--width 0.25] [--pairs 5]

Both sides have the same weights. A streaming clip has 64 scored frames; the reference gets ``--windows`` windows;
figures are per scored frame. The step is forward, loss, backward, the check for finite gradients and AdamW; evaluation
is forward and the sums of bits per spike, of groups of clips as `vctrain eval-bps` has them.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.counting import flops, operators, saved_bytes
from benchmarks.paired import paired
from benchmarks.published import batch, build, model_config, optimizer, small_config
from benchmarks.windowed import Windowed
from vctrain.data.clips import ClipBatch
from vctrain.metrics.bps import PoissonSums
from vctrain.models.build import AnyTwin
from vctrain.training.loaders import EVAL_CLIPS, MOST_EVAL_FRAMES
from vctrain.training.loss import session_losses, step_loss

SCORED = 64
BARS = {"train": 15.0, "evaluate": 25.0, "flops": 20.0, "saved": 10.0, "bf16": 1.6}
WIDE = {"train": 4.0, "evaluate": 6.0, "flops": 10.0, "saved": 5.0}
"""What `--smoke` fails below."""


def make_step(model: torch.nn.Module, twin: AnyTwin, given: ClipBatch, bf16: bool = False) -> Callable[[], None]:
    """A training step of ``model``, which has the weights of ``twin``."""
    optim = optimizer(twin)
    parameters = list(twin.parameters())

    def step() -> None:
        optim.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = step_loss(session_losses(model(given.parts), given), given, 1)
        loss.backward()
        norms = torch._foreach_norm([p.grad for p in parameters if p.grad is not None])
        if bool(torch.stack(norms).isfinite().all()):
            optim.step()

    return step


def make_evaluation(model: torch.nn.Module, given: ClipBatch) -> Callable[[], None]:
    """Rates without a gradient, and their sums."""

    def evaluate() -> None:
        with torch.inference_mode():
            for part, rate in zip(given.parts, model(given.parts), strict=True):
                PoissonSums.of(rate, part.robs, part.dfs)

    return evaluate


def frames_of(given: ClipBatch) -> int:
    """Scored frames."""
    return sum(part.robs.shape[0] * part.robs.shape[1] for part in given.parts)


def windows_a_session(sessions: int, total: int) -> int:
    """The reference's windows of each session in a step."""
    return max(1, total // sessions)


def train(options: argparse.Namespace, sessions: int) -> dict[str, Any]:
    """Seconds of a training step per scored frame."""
    twin = build(model_config(options.width), sessions)
    clips = max(1, options.clips // sessions)
    ours, theirs = batch(twin, clips, SCORED), batch(twin, 1, windows_a_session(sessions, options.windows))
    slow, fast = make_step(Windowed(twin), twin, theirs), make_step(twin, twin, ours)
    return paired(slow, fast, options.pairs, (frames_of(theirs), frames_of(ours)))


def evaluate(options: argparse.Namespace, sessions: int) -> dict[str, Any]:
    """Seconds of an evaluation per scored frame, session after session on both sides as evaluation has it."""
    twin = build(model_config(options.width), sessions).eval()
    ours = batch(twin, EVAL_CLIPS, MOST_EVAL_FRAMES)
    theirs = batch(twin, 1, options.windows)
    single = [ClipBatch(0, (part,), ours.counts) for part in ours.parts]

    def fast() -> None:
        for one in single:
            make_evaluation(twin, one)()

    slow = make_evaluation(Windowed(twin), theirs)
    return paired(slow, fast, options.pairs, (frames_of(theirs), frames_of(ours)))


def arithmetic(options: argparse.Namespace) -> dict[str, Any]:
    """FLOPs of a training step per scored frame, and of the forward pass alone."""
    twin = build(model_config(options.width), 1)
    ours, theirs = batch(twin, 1, SCORED), batch(twin, 1, 2)
    slow = flops(make_step(Windowed(twin), twin, theirs)) / frames_of(theirs)
    fast = flops(make_step(twin, twin, ours)) / frames_of(ours)
    with torch.no_grad():
        forward = [
            flops(lambda m=m, g=g: m(g.parts)) / frames_of(g)  # type: ignore[misc]
            for m, g in ((Windowed(twin), theirs), (twin, ours))
        ]
    return {"ratio": slow / fast, "forward_ratio": forward[0] / forward[1], "gflop_a_frame": [slow / 1e9, fast / 1e9]}


def saved(options: argparse.Namespace) -> dict[str, Any]:
    """Bytes kept for the backward pass per scored frame."""
    twin = build(model_config(options.width), 1)
    ours, theirs = batch(twin, 1, SCORED), batch(twin, 1, 4)
    found = []
    for model, given in ((Windowed(twin), theirs), (twin, ours)):

        def loss(model: torch.nn.Module = model, given: ClipBatch = given) -> torch.Tensor:
            return step_loss(session_losses(model(given.parts), given), given, 1)

        found.append(saved_bytes(loss, list(twin.parameters())) / frames_of(given))
    return {"ratio": found[0] / found[1], "mb_a_frame": [x / 1e6 for x in found]}


def counted(options: argparse.Namespace) -> dict[str, Any]:
    """Operators and syncs of a step with 20 sessions; the bar allows for the time steps of the recurrent stage."""
    config = model_config(min(options.width, 0.0625), grid=31)
    twin = build(config, 20, side=32)
    ours, theirs = batch(twin, 1, SCORED, side=32), batch(twin, 1, 1, side=32)
    step = make_step(twin, twin, ours)
    step()
    found = operators(step)
    time_steps = SCORED + config.recurrent.history
    reference = operators(make_step(Windowed(twin), twin, theirs))
    plain = build(model_config(min(options.width, 0.0625), recurrent=False, grid=31), 20, side=32)
    step = make_step(plain, plain, batch(plain, 1, SCORED, side=32))
    step()
    without = operators(step)
    return {
        **found,
        "time_steps": time_steps,
        "bar": 1200 + 12 * time_steps,
        "without_recurrent": {"operators": without["operators"], "syncs": without["syncs"], "bar": 1200},
        "windowed": {"operators": reference["operators"], "syncs": reference["syncs"]},
    }


def half(options: argparse.Namespace) -> dict[str, Any]:
    """float32 over bfloat16, seconds of a streaming step."""
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists() or "avx512_bf16" not in cpu.read_text():
        return {"ratio": None, "why": "this processor has no AVX512-BF16"}
    twin = build(model_config(options.width), 1)
    given = batch(twin, 1, SCORED)
    return paired(make_step(twin, twin, given), make_step(twin, twin, given, bf16=True), options.pairs)


def compiled(options: argparse.Namespace) -> dict[str, Any]:
    """A streaming step without `trainer.compile` over one with it, after the first, in float32 and in bfloat16."""
    found: dict[str, Any] = {}
    for name, config in (("published", model_config(options.width)), ("twin_small", small_config())):
        plain, fast = build(config, 1), build(config, 1)
        fast.compiles = True
        given = batch(plain, options.clips, SCORED)
        for precision, bf16 in (("float32", False), ("bfloat16", True)):
            slow, quick = make_step(plain, plain, given, bf16), make_step(fast, fast, given, bf16)
            begun = time.perf_counter()
            quick()
            seconds = time.perf_counter() - begun
            figures = {**paired(slow, quick, options.pairs), "first_step_seconds": round(seconds, 1)}
            found[f"{name}/{precision}"] = figures
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything asked for."""
    result: dict[str, Any] = {"benchmark": "streaming", "width": options.width, "threads": torch.get_num_threads()}
    result["machine"] = platform.processor() or platform.machine()
    for what in options.what.split(","):
        if what in ("train", "evaluate"):
            run = train if what == "train" else evaluate
            for sessions in options.sessions:
                result[f"{what}/{sessions}"] = {**run(options, sessions), "bar": BARS[what]}
        elif what in ("operators", "compile"):
            result[what] = (counted if what == "operators" else compiled)(options)
        else:
            run_one = {"flops": arithmetic, "saved": saved, "bf16": half}[what]
            result[what] = {**run_one(options), "bar": BARS[what]}
    return result


def broken(result: dict[str, Any]) -> list[str]:
    """What is far from its bar: the ratios below a wide margin."""
    found = []
    for name, figures in result.items():
        least = WIDE.get(name.split("/")[0])
        if least is not None and figures["ratio"] < least:
            found.append(f"{name}: {figures['ratio']:.1f} times, at least {least:g}")
    if "operators" in result and result["operators"]["operators"] > 4 * result["operators"]["bar"]:
        found.append(f"operators: {result['operators']['operators']}, at most {4 * result['operators']['bar']}")
    return found


def main() -> None:
    """Print one JSON object; with `--smoke` exit 1 on a broken ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", default="train,evaluate,flops,operators,saved,bf16,compile")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 4, 20])
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--clips", type=int, default=4, help="streaming clips in a step, at least one a session")
    parser.add_argument(
        "--windows",
        type=int,
        default=20,
        help="windows of the reference in a step, over all sessions, and in an evaluation of each session",
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.smoke:
        options.what, options.sessions, options.width = "train,evaluate,flops,operators,saved", [2], 0.0625
        options.clips, options.windows, options.pairs = 2, 8, 3
    result = measure(options)
    print(json.dumps(result))
    if options.smoke and (found := broken(result)):
        raise SystemExit("broken: " + "; ".join(found))


if __name__ == "__main__":
    main()
