"""What was computed before for exactly this checkpoint, data and question, and where is it kept?"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vctrain
from vctrain.config.locate import cache_root
from vctrain.data.session import Session
from vctrain.evaluation.scoring import TrialSums


@dataclass(frozen=True)
class Store:
    """One place for what a question on a checkpoint and its data gave.

    ``key`` is everything that the result depends on, in plain types. It is kept in the file and compared as a whole;
    the name of the file, its digest, only finds it.
    """

    path: Path
    key: Mapping[str, Any]

    @classmethod
    def of(cls, what: str, checkpoint: Path, key: Mapping[str, Any]) -> Store:
        """Of a checkpoint in a run directory in its ``eval/``, of any other in the cache (``VCTRAIN_CACHE``)."""
        run = checkpoint.resolve().parent.parent
        folder = run / "eval" if (run / "run.json").is_file() else cache_root() / "evaluations"
        plain = json.loads(json.dumps({"what": what, **key}))
        name = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:24]
        return cls(folder / f"{what}-{name}.npz", plain)

    def load(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]] | None:
        """Plain values and arrays; None where nothing is kept, or not of exactly this key, or damaged."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                arrays = {name: file[name] for name in file.files if name != "about"}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None
        if not isinstance(about, dict) or about.get("key") != self.key:
            return None
        return about["values"], arrays

    def save(self, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> str | None:
        """Keep it for later; says why in a line where that is not possible."""
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")
        about = json.dumps({"key": self.key, "values": values})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                np.savez(file, about=np.array(about), **arrays)  # type: ignore[arg-type]
            os.replace(temporary, self.path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            # the figures are what was asked for; whoever has no room or right to keep them is told
            return f"the evaluation is not kept for later in {self.path.parent}: {error.strerror or error}"
        return None


def machine(accelerator: str) -> dict[str, Any]:
    """What the digits of a prediction depend on beside the twin: another of these is evaluated anew."""
    threads = torch.get_num_threads() if accelerator == "cpu" else None
    return {
        "accelerator": accelerator if accelerator == "cpu" else torch.cuda.get_device_name(),
        "threads": threads,
        "torch": str(torch.__version__),
        "vctrain": vctrain.__version__,
    }


def seen(session: Session, split: str, context: int) -> dict[str, Any]:
    """The data of a session in plain types: units, transforms, fingerprints, and the very frames that count.

    Fingerprints are of 32 frames, so the files' sizes and times stand beside them: whatever writes a recording anew has
    it evaluated anew.
    """
    frames = hashlib.sha256(session.scored(split, context).table.tobytes())
    frames.update(session.entries(split, context).tobytes())
    frames.update(repr(session.labels).encode())
    files = {}
    for recording in session.recordings:
        status = recording.path.stat()
        files[recording.kind] = [status.st_size, status.st_mtime_ns]
    return {**session.describe(), "files": files, "scored_frames": frames.hexdigest()}


def sums_as_arrays(parts: Sequence[TrialSums]) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Sums over trials as plain values and arrays."""
    values = {
        "sessions": [
            {
                "session": part.session,
                "subject": part.subject,
                "cids": list(part.cids),
                "trials": [list(trial) for trial in part.trials],
            }
            for part in parts
        ]
    }
    arrays = {f"sums_{place}": part.sums for place, part in enumerate(parts)}
    arrays |= {f"oracle_{place}": part.oracle for place, part in enumerate(parts) if part.oracle is not None}
    return values, arrays


def sums_from_arrays(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> list[TrialSums]:
    """The inverse of `sums_as_arrays`."""
    return [
        TrialSums(
            entry["session"],
            entry["subject"],
            tuple(entry["cids"]),
            tuple((str(kind), float(number)) for kind, number in entry["trials"]),
            arrays[f"sums_{place}"],
            arrays.get(f"oracle_{place}"),
        )
        for place, entry in enumerate(values["sessions"])
    ]
