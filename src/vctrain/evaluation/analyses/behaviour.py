"""How much do predictions owe to behaviour: scores with it, with its mean, and with that of other trials?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vctrain.data.clips import SessionClips
from vctrain.data.intervals import Ints
from vctrain.data.session import Session
from vctrain.errors import ContractError, UsageError
from vctrain.evaluation.analyses.chosen import Asked, Chosen, choose
from vctrain.evaluation.analyses.findings import Arrays, Findings
from vctrain.evaluation.analyses.shown import behavior_rows, mean_behavior
from vctrain.evaluation.figures import number, seed_of
from vctrain.evaluation.paired import paired
from vctrain.evaluation.scoring import TrialSums, score
from vctrain.metrics.bps import overall
from vctrain.metrics.poisson import bits_per_spike, difference, mean_known
from vctrain.stats.bootstrap import REPLICATES, bootstrap

KINDS = ("mean", "shuffled")


class Replaced(Session):
    """A session whose frames have another behaviour: row ``row[frame]`` of ``table`` (M, D), or their own where that
    is -1."""

    def __init__(self, session: Session, table: Tensor, row: Ints) -> None:
        self.__dict__.update(session.__dict__)
        self._table, self._row = table, row

    def gather(self, starts: Sequence[int] | Ints, *, frames: int, **how: Any) -> SessionClips:
        """As of the session, with the other behaviour; what lies beyond the recording stays as it is."""
        clips = super().gather(starts, frames=frames, **how)
        assert clips.behavior is not None
        shown = np.asarray(starts)[:, None] + np.arange(frames - clips.behavior.shape[1], frames)
        inside = (shown >= 0) & (shown < self.n_frames)
        row = torch.from_numpy(np.where(inside, self._row[np.clip(shown, 0, self.n_frames - 1)], -1))
        other = self._table[row.clamp_min(0)]
        return replace(clips, behavior=torch.where((row >= 0)[..., None], other, clips.behavior))


def ablate_behavior(
    target: str, asked: Asked, *, shuffles: int = 4, replicates: int = REPLICATES, seed: int = 0
) -> Findings:
    """Bits per spike with recorded behaviour, with its mean over training frames, and with that of other trials.

    Each trial's behaviour is replaced by that of another of its type and split, frame by frame from its start, again
    from the start where that one is shorter; sums are means over ``shuffles`` such permutations. Intervals are 95 %,
    from resampled trials, alike for both. Arrays of a session: ``bps``, ``bps_mean``, ``bps_shuffled`` (U,), ``cids``.
    Raises ContractError for a twin without modulator, sessions without behaviour, or a type of a single trial,
    UsageError for numbers below 1.
    """
    if shuffles < 1:
        raise UsageError(f"--shuffles {shuffles}: there must be one at least", hint="such as --shuffles 4")
    if replicates < 1:
        raise UsageError(f"--replicates {replicates}: intervals need resamplings of trials", hint="leave it out")
    chosen = choose(target, asked)
    chosen, notes = _with_behavior(chosen, asked)
    sums: dict[str, list[TrialSums]] = {kind: [] for kind in ("recorded", *KINDS)}
    for part in chosen.parts:
        session = part.session
        mean = mean_behavior(session)
        assert mean is not None
        averaged = Replaced(session, mean[None], np.zeros(session.n_frames, np.int64))
        table, place = _usable_behavior(session, chosen.question.split)
        shuffled = [
            Replaced(session, table, _shuffled(session, chosen.question.split, place, np.random.default_rng(key)))
            for key in ([seed, k, seed_of(session.name, 0)] for k in range(shuffles))
        ]
        sums["recorded"].append(_sums(chosen, session, part.cids))
        sums["mean"].append(_sums(chosen, averaged, part.cids))
        each = [_sums(chosen, one, part.cids) for one in shuffled]
        sums["shuffled"].append(replace(each[0], sums=np.mean([one.sums for one in each], axis=0)))
    compared = {kind: paired(sums[kind], sums["recorded"], None, replicates=replicates, seed=seed) for kind in KINDS}
    units, arrays = _units(sums, replicates, seed)
    settings = {"shuffles": shuffles, "replicates": replicates, "seed": seed, "types": asked.question.types}
    return Findings("ablate-behavior", chosen, settings, units, _overall(sums, compared), arrays, tuple(notes))


def _with_behavior(chosen: Chosen, asked: Asked) -> tuple[Chosen, list[str]]:
    if chosen.twin.modulator is None:
        raise ContractError(
            f"{chosen.checkpoint.path}: this twin has no modulator, so it does not read behaviour",
            hint="analyse a twin whose model has one; vctrain inspect shows the parts of a checkpoint",
        )
    without = [part.session.name for part in chosen.parts if not part.session.behavior_dim]
    if without and (asked.sessions is not None or len(without) == len(chosen.parts)):
        raise ContractError(
            f"session {without[0]} has no behaviour, so there is none to take away",
            hint="name a session that has, or add a behavior transform to its dataset config and train on it",
        )
    notes = [f"without behaviour, left out: {', '.join(without)}"] if without else []
    return replace(chosen, parts=tuple(p for p in chosen.parts if p.session.behavior_dim)), notes


def _usable_behavior(session: Session, split: str) -> tuple[Tensor, Ints]:
    """Behaviour (M, D) of the frames of a split that can be used, and the frame of each (M,)."""
    rows = list(behavior_rows(session, split))
    frames = np.concatenate([np.arange(start, start + len(own)) for start, own in rows])
    return torch.cat([own for _, own in rows]), frames


def _shuffled(session: Session, split: str, frames: Ints, rng: np.random.Generator) -> Ints:
    """For every frame of the session the row of another trial's behaviour; -1 outside of the split."""
    trial = session.trials_at(frames)
    kinds = np.array([session.labels[number][0] for number in trial.tolist()])
    row = np.full(session.n_frames, -1, np.int64)
    for kind in dict.fromkeys(kinds.tolist()):
        rows = [np.flatnonzero((kinds == kind) & (trial == number)) for number in np.unique(trial[kinds == kind])]
        if len(rows) < 2:
            raise ContractError(
                f"session {session.name}: a single {split} trial of {kind}, whose behaviour cannot go to another",
                hint="evaluate another --split, such as all, or other --types",
            )
        # a cycle through all trials in random order: none keeps its own
        order = rng.permutation(len(rows))
        for mine, other in zip(order, np.roll(order, 1), strict=True):
            row[frames[rows[mine]]] = np.resize(rows[other], len(rows[mine]))
    return row


def _sums(chosen: Chosen, session: Session, cids: Sequence[int]) -> TrialSums:
    question = chosen.question
    return score(chosen.twin, [session], question.split, accelerator=question.accelerator)[0].of_cids(cids)


def _units(
    sums: dict[str, list[TrialSums]], replicates: int, seed: int
) -> tuple[dict[str, dict[int, dict[str, Any]]], dict[str, Arrays]]:
    units: dict[str, dict[int, dict[str, Any]]] = {}
    arrays: dict[str, Arrays] = {}
    for recorded, *others in zip(sums["recorded"], *(sums[kind] for kind in KINDS), strict=True):
        total = recorded.sums.sum(0)
        bps = {"bps": bits_per_spike(total)}
        rows: list[dict[str, Any]] = [
            {"n_frames": int(total[0, place]), "n_spikes": int(total[1, place]), "bps": number(bps["bps"][place])}
            for place in range(len(recorded.cids))
        ]
        for kind, other in zip(KINDS, others, strict=True):
            bps[f"bps_{kind}"] = bits_per_spike(other.sums.sum(0))
            each, _ = bootstrap(
                np.concatenate([other.sums, recorded.sums], axis=1),
                partial(difference, null_rate=None),
                replicates=replicates,
                seed=seed_of(recorded.session, seed),
            )
            ends: NDArray[np.float64] = each.interval()
            for place, row in enumerate(rows):
                row[f"bps_{kind}"] = number(bps[f"bps_{kind}"][place])
                row[f"gain_over_{kind}"] = number(each.value[place])
                row[f"gain_over_{kind}_low"], row[f"gain_over_{kind}_high"] = (number(end) for end in ends[:, place])
        units[recorded.session] = dict(zip(recorded.cids, rows, strict=True))
        arrays[recorded.session] = {"cids": np.array(recorded.cids), **bps}
    return units, arrays


def _overall(sums: dict[str, list[TrialSums]], compared: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Means over sessions, and over each of them, with what `paired` says about the differences."""

    def means(kind: str) -> dict[str, float | None]:
        return {part.session: number(mean_known(bits_per_spike(part.sums.sum(0)))) for part in sums[kind]}

    found: dict[str, Any] = {"n_units": sum(len(part.cids) for part in sums["recorded"])}
    recorded = means("recorded")
    found["bps_overall"] = overall(list(recorded.values()))
    sessions: dict[str, Any] = {name: {"bps": value} for name, value in recorded.items()}
    for kind in KINDS:
        own, gain = means(kind), compared[kind]
        found[f"bps_overall_{kind}"] = overall(list(own.values()))
        kept = ("difference", "interval", "p_bootstrap", "p_wilcoxon", "n_units")
        found[f"gain_over_{kind}"] = {**{key: gain[key] for key in kept}, "n_units_better": gain["n_units_better"]}
        for name, value in own.items():
            sessions[name][f"bps_{kind}"] = value
            sessions[name][f"gain_over_{kind}"] = {key: gain["sessions"][name][key] for key in kept}
    return {**found, "sessions": sessions}
