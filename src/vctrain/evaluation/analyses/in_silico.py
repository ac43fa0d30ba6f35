"""How is each unit of a twin tuned to gratings that nobody recorded, drifting or flashed around mean grey?"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vctrain.errors import UsageError
from vctrain.evaluation.analyses.chosen import Asked, Part, choose, needs_stimulus
from vctrain.evaluation.analyses.findings import Arrays, Findings, known, median
from vctrain.evaluation.analyses.shown import BRIGHTEST, DARKEST, ROWS, Screen
from vctrain.stats.tuning import circular_tuning, first_harmonic, peak_between

MOTIONS = ("drifting", "flashed")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gratings:
    """What is shown: sinusoids of ``contrast`` (amplitude, in ``(grey level - 127) / 255``) over the whole patch."""

    motion: str = "drifting"
    directions: int = 16
    """Evenly over 360 degrees; of flashed gratings, orientations over 180."""
    frequencies: int = 8
    """From 1.5 cycles a patch to one in four pixels, evenly in log."""
    phases: int = 8
    """Of flashed gratings."""
    hertz: float = 4.0
    """Cycles a second of drifting gratings, as near as whole frames allow."""
    seconds: float = 0.05
    """Flashes."""
    contrast: float = 0.3


def in_silico(target: str, asked: Asked, gratings: Gratings) -> Findings:
    """Tuning of ``target``'s units to ``gratings``, with behaviour held at its mean over training frames.

    Arrays of a session: ``responses`` (U, D, S), spikes a bin: the mean over a cycle of drift, or over phases and time
    from the flash on; ``f1`` (U, D, S); ``grey`` (U,); ``directions`` (D,) degrees and ``frequencies`` (S,) cycles a
    pixel; ``cids``. Raises UsageError for gratings that cannot be shown, ContractError for a twin without vision.
    """
    _check(gratings)
    chosen = choose(target, asked)
    needs_stimulus(chosen, "tuning to gratings")
    units: dict[str, dict[int, dict[str, Any]]] = {}
    arrays: dict[str, Arrays] = {}
    for part in chosen.parts:
        screen = Screen.of(chosen.twin, part.session, chosen.device)
        units[part.session.name], arrays[part.session.name] = _of_session(screen, part, gratings)
    overall: dict[str, Any] = {"n_units": sum(map(len, units.values()))}
    for key in ("osi", "f1_f0"):
        overall[f"median_{key}"] = median(units, key)
    return Findings("tuning", chosen, {"in_silico": True, **asdict(gratings)}, units, overall, arrays)


def _check(gratings: Gratings) -> None:
    if gratings.motion not in MOTIONS:
        raise UsageError(f"gratings that are {gratings.motion}: unknown", hint=f"one of {', '.join(MOTIONS)}")
    for name, least in (("directions", 4), ("frequencies", 2), ("phases", 4)):
        if getattr(gratings, name) < least:
            raise UsageError(f"--{name} {getattr(gratings, name)}: too few to tell a tuning", hint=f"{least} or more")
    if not 0.0 < gratings.contrast <= -DARKEST:
        raise UsageError(
            f"--contrast {gratings.contrast:g}: a display of 256 grey levels shows amplitudes up to {-DARKEST:.3f}",
            hint="such as --contrast 0.3",
        )


def _frames(gratings: Gratings, rate: float) -> int:
    """Of a cycle of drift, or of a flash."""
    if gratings.motion == "flashed":
        return max(1, round(gratings.seconds * rate))
    frames = round(rate / gratings.hertz) if gratings.hertz > 0 else 0
    if frames < 3:
        raise UsageError(
            f"--hertz {gratings.hertz:g}: a cycle needs three frames or more, and there are {rate:g} frames a second",
            hint="such as --hertz 4",
        )
    return frames


def _of_session(screen: Screen, part: Part, gratings: Gratings) -> tuple[dict[int, dict[str, Any]], Arrays]:
    turn = np.pi if gratings.motion == "flashed" else 2.0 * np.pi
    angles = np.arange(gratings.directions) * turn / gratings.directions
    frequencies = np.geomspace(1.5 / min(screen.size), 0.25, gratings.frequencies)
    mean, harmonic = _responses(screen, part, gratings, angles, frequencies)
    grey = screen.grey(part.places)
    driven = np.maximum(mean - grey[:, None, None], 0.0)
    rate = part.session.rate_hz
    rows = {
        cid: _figures(driven[place], harmonic[place], angles, frequencies, turn)
        | {"grey_hz": float(grey[place] * rate), "largest_hz": float(mean[place].max() * rate)}
        for place, cid in enumerate(part.cids)
    }
    arrays: Arrays = {
        "cids": np.array(part.cids),
        "responses": mean.astype(np.float32),
        "f1": harmonic.astype(np.float32),
        "grey": grey,
        "directions": np.degrees(angles),
        "frequencies": frequencies,
        "rate_hz": np.array(rate),
    }
    return rows, arrays


def _responses(
    screen: Screen, part: Part, gratings: Gratings, angles: Floats, frequencies: Floats
) -> tuple[Floats, Floats]:
    """F0 and F1 ``(U, D, S)`` in spikes a bin: over a cycle of drift, or over phases."""
    frames = _frames(gratings, part.session.rate_hz)
    drifting = gratings.motion == "drifting"
    phases = np.zeros(1) if drifting else np.arange(gratings.phases) * 2 * np.pi / gratings.phases
    shape = (len(part.places), len(angles), len(frequencies))
    mean, harmonic = np.zeros(shape), np.zeros(shape)
    for direction, angle in enumerate(angles):
        shown = [_planes(screen.size, angle, frequency, phase) for frequency in frequencies for phase in phases]
        moving = _drift if drifting else _flash
        rates = [
            screen.in_pieces(moving(torch.stack(shown[at : at + ROWS]), frames, screen.context, gratings.contrast))
            for at in range(0, len(shown), ROWS)
        ]
        # (frequencies, phases, moments, units)
        whole = np.concatenate(rates)[..., list(part.places)]
        whole = whole.reshape(len(frequencies), len(phases), whole.shape[1], -1)
        cycle = whole[:, 0] if drifting else whole.mean(2)
        f0, f1 = first_harmonic(np.moveaxis(cycle, 1, -1))
        mean[:, direction], harmonic[:, direction] = f0.T, f1.T
    return mean, harmonic


def _planes(size: tuple[int, int], angle: float, frequency: float, phase: float) -> Tensor:
    """Phase in radians of each pixel, (H, W): the wave runs along ``angle``, from rightwards to downwards, about the
    middle of the patch."""
    rows, columns = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2 for side in size)
    wave = 2.0 * math.pi * frequency
    return wave * (math.sin(angle) * rows[:, None] + math.cos(angle) * columns[None, :]) + phase


def _drift(planes: Tensor, period: int, context: int, contrast: float) -> Tensor:
    """A cycle of drift along the wave after as much of it as the twin's context holds, ``(n, T, H, W)``."""
    moment = torch.arange(-context, period, dtype=torch.float64) * (2.0 * math.pi / period)
    return _contrast(planes[:, None] - moment[None, :, None, None], contrast)


def _flash(planes: Tensor, frames: int, context: int, contrast: float) -> Tensor:
    """Grey, a flash, grey until it is out of sight: all of its response is in the scored frames."""
    shown = _contrast(planes, contrast)
    clip = shown.new_zeros(len(planes), 2 * context + frames, *planes.shape[1:])
    clip[:, context : context + frames] = shown[:, None]
    return clip


def _contrast(phase: Tensor, amplitude: float) -> Tensor:
    return (amplitude * torch.cos(phase)).clamp(DARKEST, BRIGHTEST).float()


def _figures(driven: Floats, harmonic: Floats, angles: Floats, frequencies: Floats, turn: float) -> dict[str, Any]:
    """Of one unit, from its responses less that to grey, ``(D, S)``."""
    direction, place = np.unravel_index(int(np.argmax(driven)), driven.shape)
    by_angle, by_frequency = driven[:, place], driven[direction]
    orientation, osi = circular_tuning(angles, by_angle)
    octave, _ = peak_between(np.log2(frequencies), by_frequency)
    moving = turn > np.pi
    preferred, dsi = circular_tuning(angles, by_angle, fold=1) if moving else (np.array(np.nan), np.array(np.nan))
    best = float(driven[direction, place])
    return {
        "orientation": known(np.degrees(orientation)),
        "osi": known(osi),
        "direction": known(np.degrees(preferred)),
        "dsi": known(dsi),
        "frequency": 2.0**octave if best > 0 else None,
        "period_pixels": 2.0**-octave if best > 0 else None,
        "f1_f0": float(harmonic[direction, place] / best) if best > 0 else None,
    }
