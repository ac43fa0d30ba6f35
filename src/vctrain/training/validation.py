"""What did a pass over a split find, per unit, session and overall?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vctrain.metrics.bps import PoissonSums, mean_over_units, overall


class ValidationResult:
    """Exact figures of one pass over a split, from merged sums; ``oracle`` is None where the true rate is unknown."""

    def __init__(self, names: Sequence[str], sums: Sequence[PoissonSums], oracle: Sequence[PoissonSums | None]) -> None:
        self.names = tuple(names)
        self.sums = tuple(sums)
        self.oracle_sums = tuple(oracle)
        self.bps = [s.bits_per_spike() for s in sums]
        self.by_session = {name: mean_over_units(bps) for name, bps in zip(names, self.bps, strict=True)}
        self.bps_overall = overall(list(self.by_session.values()))
        known = [o for o in oracle if o is not None]
        self.oracle_overall: float | None = None
        self.fraction_of_oracle: float | None = None
        if known:
            self.oracle_overall = overall([mean_over_units(o.bits_per_spike()) for o in known])
            # The ratio compares the same units and frames: sessions without a known rate stay out of both.
            same = overall([mean_over_units(b) for b, o in zip(self.bps, oracle, strict=True) if o is not None])
            if same is not None and self.oracle_overall:
                self.fraction_of_oracle = same / self.oracle_overall


@dataclass(frozen=True)
class Scores:
    """The figures of a validation, without the sums they come from."""

    bps_overall: float
    by_session: dict[str, float | None]
    oracle_overall: float | None
    fraction_of_oracle: float | None

    @classmethod
    def of(cls, result: ValidationResult) -> Scores:
        """Those of ``result``, which has units with spikes."""
        assert result.bps_overall is not None
        return cls(result.bps_overall, result.by_session, result.oracle_overall, result.fraction_of_oracle)

    def state(self) -> dict[str, Any]:
        """Plain numbers, of which `Scores` can be made again."""
        return dict(self.__dict__)
