"""Which image, or clip, of a given contrast excites a unit of the twin most?"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vctrain.errors import ContractError, UsageError
from vctrain.evaluation.analyses.chosen import Asked, Chosen, Part, choose, needs_stimulus
from vctrain.evaluation.analyses.findings import Arrays, Findings, known
from vctrain.evaluation.analyses.shown import BRIGHTEST, DARKEST, ROWS, Screen

SOURCES = ("data", "noise")
STEP = (0.5, 0.02)
"""Length of the first and the last step of the ascent, in multiples of the norm."""
_TINY = 1e-8
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ascent:
    """How a most exciting stimulus is looked for."""

    movie: bool = False
    """A clip as long as the twin's context and the scored frame; otherwise one image held for as long."""
    contrast: float = 0.05
    """Root mean square over pixels, and frames of a clip, in ``(grey level - 127) / 255``."""
    steps: int = 100
    starts: int = 3
    """From noise; one more starts from the best reference."""
    references: int = 200
    """Stimuli of the same norm that it is compared with."""
    source: str = "data"
    """Of references: frames or clips of the recordings, or noise."""
    seed: int = 0


def mei(target: str, asked: Asked, ascent: Ascent) -> Findings:
    """Most exciting image or clip of each unit, by gradient ascent on the log of its rate with the norm held.

    The response is the rate at the last frame; behaviour is held at its mean over training frames. Arrays of a session:
    ``mei`` (U, T, H, W) contrast, T = 1 for an image; ``response``, ``grey``, ``reference`` (U,) spikes a bin, the last
    the best of the references; ``reference_stimulus`` (U, T, H, W); ``cids``. The same ``seed`` gives the same result.
    Raises UsageError for settings that cannot be met, ContractError for a twin without vision or a session whose movie
    is grey throughout.
    """
    _check(ascent)
    chosen = choose(target, asked)
    needs_stimulus(chosen, "most exciting image")
    units: dict[str, dict[int, dict[str, Any]]] = {}
    arrays: dict[str, Arrays] = {}
    notes = []
    for part in chosen.parts:
        units[part.session.name], arrays[part.session.name] = _of_session(chosen, part, ascent)
        short = [str(cid) for cid, row in units[part.session.name].items() if not row["exceeds"]]
        if short:
            notes.append(f"session {part.session.name}: no better than the best reference: cids {', '.join(short)}")
    rows = [row for own in units.values() for row in own.values()]
    gains = [row["over_reference"] for row in rows if row["over_reference"] is not None]
    overall = {
        "n_units": len(rows),
        "n_exceeding": sum(row["exceeds"] for row in rows),
        "median_over_reference": float(np.median(gains)) if gains else None,
    }
    return Findings("mei", chosen, asdict(ascent), units, overall, arrays, tuple(notes))


def _check(ascent: Ascent) -> None:
    if ascent.source not in SOURCES:
        raise UsageError(f"--references-from {ascent.source}: unknown", hint=f"one of {', '.join(SOURCES)}")
    for name in ("steps", "starts", "references"):
        if getattr(ascent, name) < 1:
            raise UsageError(
                f"--{name} {getattr(ascent, name)}: there must be one at least", hint=f"such as --{name} 3"
            )
    if not 0.0 < ascent.contrast <= 0.4:
        raise UsageError(
            f"--contrast {ascent.contrast:g}: a root mean square contrast lies above 0 and up to 0.4, so that most "
            "pixels can be shown with 256 grey levels",
            hint="such as --contrast 0.05",
        )


def _of_session(chosen: Chosen, part: Part, ascent: Ascent) -> tuple[dict[int, dict[str, Any]], Arrays]:
    session = part.session
    rng = np.random.default_rng([ascent.seed, zlib.crc32(session.name.encode())])
    screen = Screen.of(chosen.twin, session, chosen.device)
    references = project(_references(chosen, part, screen, ascent, rng), ascent.contrast)
    # by its number alone, so that a unit's result does not depend on which others were asked for
    noise = {cid: [ascent.seed, zlib.crc32(session.name.encode()), cid] for cid in part.cids}
    answers = _responses(screen, references)[:, list(part.places)]
    grey = screen.grey(part.places)
    found, rates = [], []
    for place, (cid, column) in enumerate(zip(part.cids, part.places, strict=True)):
        best = references[int(answers[:, place].argmax())]
        starts = np.random.default_rng(noise[cid]).standard_normal((ascent.starts, *best.shape))
        first = torch.cat([torch.from_numpy(starts).float(), best[None]])
        image, rate = _climb(screen, column, first, ascent)
        found.append(image)
        rates.append(rate)
    response, reference = np.array(rates), answers.max(0)
    hertz = session.rate_hz
    rows = {
        cid: {
            "response_hz": float(response[place] * hertz),
            "grey_hz": float(grey[place] * hertz),
            "reference_hz": float(reference[place] * hertz),
            "n_references": len(references),
            "over_reference": known(response[place] / reference[place]) if reference[place] > 0 else None,
            "exceeds": bool(response[place] > max(reference[place], grey[place]) * (1 + 1e-6)),
            "rms_contrast": float(found[place].square().mean().sqrt()),
        }
        for place, cid in enumerate(part.cids)
    }
    arrays: Arrays = {
        "cids": np.array(part.cids),
        "mei": torch.stack(found).numpy(),
        "response": response,
        "grey": grey,
        "reference": reference,
        "reference_stimulus": references[answers.argmax(0)].numpy(),
        "rate_hz": np.array(hertz),
    }
    return rows, arrays


def project(stimuli: Tensor, contrast: float) -> Tensor:
    """Stimuli (n, T, H, W), none of them grey throughout, at the root mean square ``contrast`` and within the grey
    levels of a display: scaled and clipped in turn."""
    for _ in range(20):
        norm = stimuli.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(_TINY)
        stimuli = stimuli * (contrast / norm)
        clipped = stimuli.clamp(DARKEST, BRIGHTEST)
        if torch.equal(clipped, stimuli):
            break
        stimuli = clipped
    return stimuli


def _held(stimuli: Tensor, frames: int) -> Tensor:
    """An image (n, 1, H, W) for as many frames; a clip as it is."""
    return stimuli if stimuli.shape[1] == frames else stimuli.expand(-1, frames, -1, -1)


def _responses(screen: Screen, stimuli: Tensor) -> Floats:
    """Rates (n, U) at the last frame of stimuli that are held or shown until then."""
    frames = screen.context + 1
    found = [screen.in_pieces(_held(stimuli[at : at + ROWS], frames))[:, 0] for at in range(0, len(stimuli), ROWS)]
    return np.concatenate(found)


def _climb(screen: Screen, column: int, stimuli: Tensor, ascent: Ascent) -> tuple[Tensor, float]:
    """The best of what is reached from each of ``stimuli`` (n, T, H, W), and its rate.

    Steps have a length in multiples of the norm, which falls from the first to the last, in the direction of the
    gradient of the log of the rate, whose size says nothing where the output saturates or is nearly off.
    """
    current = project(stimuli, ascent.contrast)
    frames = screen.context + 1
    best, most = current[-1], -1.0
    for step in range(ascent.steps + 1):
        shown = current.clone().requires_grad_(True)
        rates = screen.rates(_held(shown, frames))[:, 0, column]
        reached = rates.detach()
        top = int(reached.argmax())
        if float(reached[top]) > most:
            best, most = current[top].clone(), float(reached[top])
        if step == ascent.steps:
            break
        (gradient,) = torch.autograd.grad(rates.clamp_min(_TINY).log().sum(), shown)
        size = gradient.square().mean((1, 2, 3), keepdim=True).sqrt()
        length = ascent.contrast * STEP[0] * (STEP[1] / STEP[0]) ** (step / max(ascent.steps - 1, 1))
        # without a gradient a stimulus stays where it is
        current = project(current + length * gradient / size.clamp_min(1e-30), ascent.contrast)
    return best, most


def _references(chosen: Chosen, part: Part, screen: Screen, ascent: Ascent, rng: np.random.Generator) -> Tensor:
    """Stimuli (n, T, H, W) to compare with, not yet of the norm."""
    frames = screen.context + 1 if ascent.movie else 1
    if ascent.source == "noise":
        return torch.from_numpy(rng.standard_normal((ascent.references, frames, *screen.size))).float()
    session = part.session
    # frames with what a clip needs before them, whatever the split: only the movie is read
    scored = session.scored(chosen.question.split, frames - 1)
    number = min(ascent.references, scored.total)
    at = scored.at(np.sort(rng.choice(scored.total, number, replace=False)))
    grey, found = 127.0, []
    for start in at.tolist():
        place, own = session.place_of(start)
        recording = session.recordings[place]
        movie = np.empty((frames, *screen.size), np.uint8)
        recording.movie_into(movie, own - frames + 1, own + 1)
        found.append((torch.from_numpy(movie).float() - grey) / 255.0)
    stimuli = torch.stack(found)
    varied = stimuli.flatten(1).std(1) > 1e-3
    if not bool(varied.any()):
        raise ContractError(
            f"session {session.name}: all {number} {chosen.question.split} stimuli that were drawn are grey throughout",
            hint="compare with --references-from noise",
        )
    return stimuli[varied]
