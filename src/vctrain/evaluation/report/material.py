"""What does a report show of a twin? Arrays from one pass over each session that is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from vctrain.data.session import Session
from vctrain.evaluation.passes import predictions
from vctrain.evaluation.report.repeated import Psth, RepeatReader
from vctrain.evaluation.report.stretches import Stretch, StretchReader, choose
from vctrain.evaluation.report.triggered import Triggered, TriggeredReader
from vctrain.models.build import AnyTwin

SESSIONS = 6
"""Sessions whose responses are shown at most."""
UNITS = 12
"""Units of a session that are shown at most."""


@dataclass(frozen=True)
class Responses:
    """What some units of a session did and what was predicted, on the frames of a split."""

    session: str
    rate_hz: float
    cids: tuple[int, ...]
    """The units shown, best first."""
    bps: tuple[float, ...]
    types: tuple[str, ...]
    repeated: tuple[str, ...]
    """Types of stimulus that have repeats."""
    stretches: list[Stretch]
    psths: list[Psth]
    triggered: Triggered | None


def best_units(figures: Mapping[str, Any], count: int = UNITS) -> list[tuple[int, float]]:
    """The ``count`` units of a session with most bits per spike, and these, best first; of equal ones the smaller
    cid.

    >>> best_units({"units": {"4": 0.5, "7": None, "2": 0.5, "9": 0.75}}, 2)
    [(9, 0.75), (2, 0.5)]
    """
    known = [(int(cid), bps) for cid, bps in figures["units"].items() if bps is not None]
    return sorted(known, key=lambda unit: (-unit[1], unit[0]))[:count]


def spread(result: Mapping[str, Any], count: int = SESSIONS) -> list[str]:
    """At most ``count`` sessions with a value, evenly spaced from the best to the worst, in the order of the result.

    >>> spread({"sessions": {name: {"bps": bps} for name, bps in zip("abcde", [5, 4, None, 1, 2])}}, 3)
    ['a', 'd', 'e']
    """
    known = [name for name, found in result["sessions"].items() if found["bps"] is not None]
    ranked = sorted(known, key=lambda name: -result["sessions"][name]["bps"])
    if len(ranked) > count:
        last = len(ranked) - 1
        ranked = [ranked[round(place * last / max(count - 1, 1))] for place in range(count)]
    return [name for name in known if name in ranked]


def scales_of(
    result: Mapping[str, Any], session: str, units: Sequence[tuple[int, float]]
) -> tuple[list[float], list[float]] | None:
    """Gain and offset of ``units`` where the evaluation rescaled rates; None where it did not."""
    if result.get("rescaled") is None:
        return None
    fitted = result["rescaled"]["sessions"][session]
    return [fitted[str(cid)]["gain"] for cid, _ in units], [fitted[str(cid)]["offset"] for cid, _ in units]


def responses(
    twin: AnyTwin,
    session: Session,
    split: str,
    units: Sequence[tuple[int, float]],
    device: torch.device,
    scales: tuple[list[float], list[float]] | None = None,
) -> Responses:
    """The responses of ``units`` (cid and bits per spike) of ``session``, from one pass over the clips that matter;
    rates get the gains and offsets of ``scales`` first."""
    stretches = StretchReader(choose(session, split, twin.context))
    repeats = RepeatReader(session, split, twin.context, len(units))
    triggered = TriggeredReader(session, twin.context, twin.reads_stimulus)
    readers = (stretches, repeats, triggered)
    columns = [session.cids.index(cid) for cid, _ in units]

    def wanted(start: int, stop: int, kind: str) -> bool:
        return any(reader.wants(start, stop, kind) for reader in readers)

    gain, offset = (torch.tensor(part) for part in scales or ([1.0], [0.0]))
    for found in predictions(twin, session, split, device, units=columns, wanted=wanted):
        clips = replace(found, rhat=gain * found.rhat + offset)
        for reader in readers:
            reader.add(clips)
    return Responses(
        session=session.name,
        rate_hz=session.rate_hz,
        cids=tuple(cid for cid, _ in units),
        bps=tuple(bps for _, bps in units),
        types=session.types,
        repeated=repeats.kinds,
        stretches=stretches.result(),
        psths=repeats.result(),
        triggered=triggered.result(),
    )
