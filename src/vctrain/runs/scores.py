"""What is the best figure of a run, and its interval where the run's ``eval/`` holds one?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAME = 1e-5
"""Evaluated elsewhere, the same checkpoint gives the same figure within this."""


@dataclass(frozen=True)
class Best:
    """The best validation of a run; bits per spike. What is not known is None."""

    val_bps_overall: float | None = None
    interval: tuple[float, float] | None = None
    """95 %, of the same checkpoint on the same split, if it was evaluated into ``eval/``."""
    fraction_of_oracle: float | None = None
    step: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "best_val_bps_overall": self.val_bps_overall,
            "best_interval": None if self.interval is None else list(self.interval),
            "fraction_of_oracle": self.fraction_of_oracle,
            "best_step": self.step,
        }


def best_of(run: Path, validated: Sequence[Mapping[str, Any]], known: object) -> Best:
    """Of the validations that hold, the first with the largest val_bps_overall; ``known`` (run.json's) without any."""
    scored = [event for event in validated if isinstance(event.get("val_bps_overall"), int | float)]
    if not scored:
        return Best(float(known)) if isinstance(known, int | float) else Best()
    best = max(scored, key=lambda event: float(event["val_bps_overall"]))
    score = float(best["val_bps_overall"])
    share = best.get("fraction_of_oracle")
    return Best(score, _interval(run, score), None if share is None else float(share), int(best["step"]))


def _interval(run: Path, score: float) -> tuple[float, float] | None:
    """That of an evaluation of the validation split which gave this very figure; another one is of another twin."""
    for found in _evaluations(run):
        ends, value = found.get("bps_overall_interval"), found.get("bps_overall")
        if (
            found.get("split") == "val"
            and isinstance(value, int | float)
            and abs(value - score) <= SAME
            and isinstance(ends, list)
            and len(ends) == 2
        ):
            return float(ends[0]), float(ends[1])
    return None


def _evaluations(run: Path) -> Iterator[Mapping[str, Any]]:
    """What ``vctrain eval-bps RUN --out RUN/eval`` (or a folder in it) left, newest first."""
    files = [*(run / "eval").glob("results.json"), *(run / "eval").glob("*/results.json")]
    for file in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        results = content.get("results") if isinstance(content, dict) else None
        yield from (result for result in results or () if isinstance(result, Mapping))
