"""How good a checkpoint is on a split: exact bits per spike of every unit, and how sure they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.config.datasets import SessionSpec, load_dataset_configs
from vctrain.data.contract import Matched, open_for_checkpoint
from vctrain.errors import ContractError
from vctrain.evaluation.ceilings import ceilings
from vctrain.evaluation.figures import METRIC_VERSION, figures
from vctrain.evaluation.nulls import null_rates
from vctrain.evaluation.paired import paired
from vctrain.evaluation.rescaling import rescaling
from vctrain.evaluation.scoring import Scales, TrialSums, score
from vctrain.evaluation.stored import Store, machine, seen, sums_as_arrays, sums_from_arrays
from vctrain.models.build import AnyTwin
from vctrain.runs.checkpoints import Checkpoint, read_checkpoint
from vctrain.runs.supervisor import launched_externally, run_ranks
from vctrain.stats.bootstrap import REPLICATES
from vctrain.training.engine import check_devices, device_of, resolve_accelerator, world

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Question:
    """What is to be evaluated, apart from the checkpoint."""

    data: str | None = None
    data_root: str | None = None
    split: str = "val"
    types: tuple[str, ...] | None = None
    null: str = "evaluated"
    """`evaluated`: the null model is the mean rate on the evaluated frames; `training`: on those trained on."""
    devices: int = 1
    accelerator: str = "auto"
    rescale: bool = False
    """Whether the rates get the gain and offset of each unit that fit its training frames best."""
    ceilings: bool = False
    """Whether repeats are asked how near the predictions come to what they allow."""
    fresh: bool = False
    """Whether what was computed before is computed again."""


def evaluate(target: str, *, replicates: int = REPLICATES, **question: Any) -> dict[str, Any]:
    """Bits per spike of a checkpoint or run directory on ``split`` (``train``, ``val``, ``test`` or ``all``).

    ``question`` are the fields of `Question`; without ``data``, on the recordings it was trained on, and computed anew
    unless ``fresh=False``. Returns ``{"checkpoint", "split", "notes"}`` and what `figures` returns; a unit without a
    spike on the split has None. Exact on any number of ``devices``.

    Raises ContractError for a checkpoint or recordings that cannot be read or do not fit each other, UsageError for
    settings that cannot be used, NumericsError for rates that are not finite, FaultError for devices that are not there
    or a file that cannot be written.
    """
    types = question.pop("types", None)
    asked = Question(**{"fresh": True, **question}, types=None if types is None else tuple(types))
    return next(evaluate_all([target], asked, replicates=replicates))


def evaluate_all(
    targets: Sequence[str], question: Question, *, compare: bool = False, replicates: int = REPLICATES
) -> Iterator[dict[str, Any]]:
    """`evaluate` of several checkpoints, one after another as they are asked for.

    With ``compare`` all are scored on the frames that count for all of them, and each but the first says under
    ``paired`` how it differs from the first.
    """
    question = replace(question, accelerator=resolve_accelerator(question.accelerator))
    context = max(int(read_checkpoint(target).content["context"]) for target in targets) if compare else None
    first: list[TrialSums] | None = None
    for target in targets:
        checkpoint = read_checkpoint(target)
        matched = open_for(checkpoint, question)
        nulls = null_rates(matched.sessions) if question.null == "training" else None
        answer = _Answer(checkpoint, matched, question, context)
        scored = answer.sums()
        result = {
            "checkpoint": str(checkpoint.path),
            "checkpoint_sha256": answer.sha256,
            "split": question.split,
            "null": question.null,
            **figures(scored, nulls, replicates=replicates),
        }
        for session in matched.sessions:
            result["sessions"][session.name]["fingerprint"] = session.fingerprint(checkpoint.model.reads_stimulus)
        if question.rescale:
            result["rescaled"] = answer.rescaled()
        if question.ceilings:
            result["ceilings"] = answer.ceilings()
        if compare:
            if first is not None:
                result["paired"] = paired(first, scored, nulls, replicates=replicates)
            first = first or scored
        result["reused"] = answer.reused
        result["notes"] = [*matched.notes, *answer.notes]
        yield result


class _Answer:
    """What a checkpoint says on its matched sessions: computed once, and kept for the next who asks the same."""

    def __init__(self, checkpoint: Checkpoint, matched: Matched, question: Question, context: int | None) -> None:
        self.checkpoint, self.matched, self.question, self.context = checkpoint, matched, question, context
        self.sha256 = digest(checkpoint.path)
        self.reused: list[str] = []
        self.notes: list[str] = []

    @cached_property
    def twin(self) -> AnyTwin:
        return self.checkpoint.build().to(self._device)

    @property
    def _device(self) -> torch.device:
        return device_of(self.question.accelerator)

    def sums(self) -> list[TrialSums]:
        """Sums over the trials, rescaled if that was asked for."""

        def compute() -> tuple[dict[str, Any], Arrays]:
            return sums_as_arrays(_scored(self.question, self.context, self.checkpoint, self.matched, self._scales))

        return sums_from_arrays(*self._kept("sums", compute))

    def rescaled(self) -> dict[str, Any]:
        """Gain and offset of each unit."""
        found: dict[str, Any] = {}
        for session, (gain, offset) in zip(self.matched.sessions, self._scales.values(), strict=True):
            pairs = zip(session.cids, gain.tolist(), offset.tolist(), strict=True)
            found[session.name] = {str(cid): {"gain": a, "offset": b} for cid, a, b in pairs}
        return {"fitted_on": "train", "sessions": found}

    def ceilings(self) -> dict[str, Any]:
        """What repeats say, with the rates as they are evaluated."""

        def compute() -> tuple[dict[str, Any], Arrays]:
            sessions, split = self.matched.sessions, self.question.split
            return ceilings(self.twin, sessions, split, self._device, scales=self._scales), {}

        return self._kept("ceilings", compute)[0]

    @cached_property
    def _scales(self) -> Scales:
        """Gain and offset (2, U) by index of the session; empty unless asked for."""
        if not self.question.rescale:
            return {}

        def compute() -> tuple[dict[str, Any], Arrays]:
            fitted = rescaling(self.twin, self.matched.sessions, self._device)
            return {}, {name: np.stack([fit.gain, fit.offset]) for name, fit in fitted.items()}

        arrays = self._kept("scales", compute, split="train")[1]
        return {session.index: arrays[session.name] for session in self.matched.sessions}

    def _kept(
        self, what: str, compute: Callable[[], tuple[dict[str, Any], Arrays]], split: str | None = None
    ) -> tuple[dict[str, Any], Arrays]:
        """What is kept, or what ``compute`` gives, which is then kept."""
        split = split or self.question.split
        context = max(self.context or 0, int(self.checkpoint.content["context"]))
        key = {
            "metric_version": METRIC_VERSION,
            "checkpoint_sha256": self.sha256,
            "split": split,
            "context": context,
            "rescale": self.question.rescale,
            "machine": machine(self.question.accelerator),
            "sessions": [seen(session, split, context) for session in self.matched.sessions],
        }
        store = Store.of(what, self.checkpoint.path, key)
        # ranks that somebody else started must all compute, or all not
        alone = not launched_externally()
        found = store.load() if alone and not self.question.fresh else None
        if found is not None:
            self.reused.append(str(store.path))
            return found
        made = compute()
        if world()[0] == 0 and (problem := store.save(*made)) is not None:
            self.notes.append(problem)
        return made


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_for(checkpoint: Checkpoint, question: Question) -> Matched:
    """The sessions of ``checkpoint`` in the recordings asked for; ContractError if they do not fit it."""
    return open_specs(checkpoint, question, specs_for(checkpoint, question), all_required=question.data is None)


def specs_for(checkpoint: Checkpoint, question: Question, *, some: bool = False) -> tuple[SessionSpec, ...]:
    """The sessions that the recordings asked for offer; with ``some`` also those that have only some of the types.

    ContractError if they are not there.
    """
    trained_on = checkpoint.settings.data
    path = question.data or trained_on.path
    if path is None or not Path(path).exists():
        lacks = "it does not say where its recordings are" if path is None else f"its recordings ({path}) are not there"
        raise ContractError(
            f"{checkpoint.path}: {lacks}",
            hint="give --data with the recordings to evaluate on",
        )
    return load_dataset_configs(
        path,
        data_root=question.data_root or (None if question.data else trained_on.root),
        types=question.types or trained_on.types,
        max_datasets=None if question.data else trained_on.max_datasets,
        some=some,
    )


def open_specs(
    checkpoint: Checkpoint,
    question: Question,
    specs: Sequence[SessionSpec],
    *,
    all_required: bool,
    only: Collection[str] | None = None,
) -> Matched:
    """The sessions of ``checkpoint`` that ``specs`` offer, each with a frame of the split; no others than ``only`` are
    missed. ContractError if they do not fit the checkpoint.
    """
    matched = open_for_checkpoint(
        specs,
        checkpoint.sessions,
        int(checkpoint.content["context"]),
        all_required=all_required,
        only=only,
        stim=checkpoint.model.reads_stimulus,
    )
    for session in matched.sessions:
        if session.n_scored(question.split) == 0:
            raise ContractError(
                f"session {session.name} has no {question.split} frame: its trials were split "
                f"{list(session.spec.train_val_split)}",
                hint="evaluate another split; a test split is set with train_val_split: [0.7, 0.15, 0.15]",
            )
    return matched


def _scored(
    question: Question, context: int | None, checkpoint: Checkpoint, matched: Matched, scales: Scales
) -> list[TrialSums]:
    if question.devices == 1 or launched_externally():
        return _score(question, context, checkpoint, matched, scales)
    check_devices(question.accelerator, question.devices, 1)
    arguments = {
        "target": str(checkpoint.path),
        "question": asdict(question),
        "context": context,
        "scales": {str(index): scale.tolist() for index, scale in scales.items()},
    }
    found = run_ranks("vctrain.evaluation.evaluate:score_rank", arguments, question.devices)
    return [_from_plain(part) for part in found["sessions"]]


def score_rank(
    target: str, question: dict[str, Any], context: int | None, scales: dict[str, list[list[float]]]
) -> dict[str, Any]:
    """One rank of an evaluation: the sums of all ranks together, in plain values."""
    asked = Question(**{**question, "types": None if question["types"] is None else tuple(question["types"])})
    checkpoint = read_checkpoint(target)
    by_index = {int(index): np.array(scale) for index, scale in scales.items()}
    scored = _score(asked, context, checkpoint, open_for(checkpoint, asked), by_index)
    return {"sessions": [_plain(part) for part in scored]}


def _score(
    question: Question, context: int | None, checkpoint: Checkpoint, matched: Matched, scales: Scales
) -> list[TrialSums]:
    return score(
        checkpoint.build(),
        matched.sessions,
        question.split,
        context=context,
        scales=scales,
        accelerator=question.accelerator,
        devices=question.devices,
    )


def _plain(part: TrialSums) -> dict[str, Any]:
    oracle = None if part.oracle is None else part.oracle.tolist()
    return {**part.__dict__, "sums": part.sums.tolist(), "oracle": oracle}


def _from_plain(plain: dict[str, Any]) -> TrialSums:
    return TrialSums(
        plain["session"],
        plain["subject"],
        tuple(plain["cids"]),
        tuple((str(kind), float(number)) for kind, number in plain["trials"]),
        np.array(plain["sums"]),
        None if plain["oracle"] is None else np.array(plain["oracle"]),
    )
