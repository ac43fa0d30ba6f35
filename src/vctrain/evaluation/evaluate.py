"""How good a checkpoint is on a split: exact bits per spike of every unit, and how sure they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.contract import Matched, open_for_checkpoint
from vctrain.errors import ContractError
from vctrain.evaluation.figures import figures
from vctrain.evaluation.nulls import training_rates
from vctrain.evaluation.paired import paired
from vctrain.evaluation.scoring import TrialSums, score
from vctrain.runs.checkpoints import Checkpoint, read_checkpoint
from vctrain.runs.supervisor import launched_externally, run_ranks
from vctrain.stats.bootstrap import REPLICATES
from vctrain.training.engine import check_devices, resolve_accelerator


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


def evaluate(
    target: str,
    *,
    data: str | None = None,
    data_root: str | None = None,
    split: str = "val",
    types: Sequence[str] | None = None,
    null: str = "evaluated",
    devices: int = 1,
    accelerator: str = "auto",
    replicates: int = REPLICATES,
) -> dict[str, Any]:
    """Bits per spike of a checkpoint or run directory on ``split`` (``train``, ``val``, ``test`` or ``all``).

    Without ``data``, on the recordings it was trained on. Returns ``{"checkpoint", "split", "notes"}`` and what
    `figures` returns; a unit without a spike on the split has None. Exact on any number of ``devices``.
    """
    question = Question(data, data_root, split, None if types is None else tuple(types), null, devices, accelerator)
    return next(evaluate_all([target], question, replicates=replicates))


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
        nulls = training_rates(matched.sessions) if question.null == "training" else None
        scored = _scored(question, context, checkpoint, matched)
        result = {
            "checkpoint": str(checkpoint.path),
            "checkpoint_sha256": digest(checkpoint.path),
            "split": question.split,
            "null": question.null,
            **figures(scored, nulls, replicates=replicates),
            "notes": list(matched.notes),
        }
        if compare:
            if first is not None:
                result["paired"] = paired(first, scored, nulls, replicates=replicates)
            first = first or scored
        yield result


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_for(checkpoint: Checkpoint, question: Question) -> Matched:
    """The sessions of ``checkpoint`` in the recordings asked for; ContractError if they do not fit it."""
    trained_on = checkpoint.settings.data
    path = question.data or trained_on.path
    if path is None or not Path(path).exists():
        raise ContractError(
            f"{checkpoint.path}: its recordings ({path}) are not there",
            hint="give --data with the recordings to evaluate on",
        )
    specs = load_dataset_configs(
        path,
        data_root=question.data_root or (None if question.data else trained_on.root),
        types=question.types or trained_on.types,
        max_datasets=None if question.data else trained_on.max_datasets,
    )
    matched = open_for_checkpoint(
        specs,
        checkpoint.sessions,
        int(checkpoint.content["context"]),
        all_required=question.data is None,
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


def _scored(question: Question, context: int | None, checkpoint: Checkpoint, matched: Matched) -> list[TrialSums]:
    if question.devices == 1 or launched_externally():
        return _score(question, context, checkpoint, matched)
    check_devices(question.accelerator, question.devices, 1)
    arguments = {"target": str(checkpoint.path), "question": asdict(question), "context": context}
    found = run_ranks("vctrain.evaluation.evaluate:score_rank", arguments, question.devices)
    return [_from_plain(part) for part in found["sessions"]]


def score_rank(target: str, question: dict[str, Any], context: int | None) -> dict[str, Any]:
    """One rank of an evaluation: the sums of all ranks together, in plain values."""
    asked = Question(**{**question, "types": None if question["types"] is None else tuple(question["types"])})
    checkpoint = read_checkpoint(target)
    return {"sessions": [_plain(part) for part in _score(asked, context, checkpoint, open_for(checkpoint, asked))]}


def _score(question: Question, context: int | None, checkpoint: Checkpoint, matched: Matched) -> list[TrialSums]:
    return score(
        checkpoint.build(),
        matched.sessions,
        question.split,
        context=context,
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
