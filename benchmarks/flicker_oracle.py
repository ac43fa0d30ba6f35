"""The leave-one-out PSTH oracle on recorded ganglion cells, against the values stored with the recordings.

python -m benchmarks.flicker_oracle RETINA     (the folder with PROVENANCE.md and flicker/flicker.npz)
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np

from vctrain.metrics.psth_oracle import EMPTY_BIN, oracle_sums
from vctrain.metrics.reliability import signal, split_halves
from vctrain.metrics.repeats import Repeats, arrange

RUNNING, FROZEN = 1800, 600
"""Frames of a block: running flicker, then the repeated sequence."""


def frozen(folder: Path) -> Repeats:
    """The repeats of the frozen sequence, one a block."""
    counts = np.load(folder / "flicker" / "flicker.npz")["counts"]
    block, within = np.divmod(np.arange(len(counts)), RUNNING + FROZEN)
    return arrange(within - RUNNING, block).repeats(counts, np.ones((len(counts), 1)))


def stored(folder: Path) -> list[float]:
    """The oracle of each cell as PROVENANCE.md has it; ends the program where it has none."""
    found = re.search(r"leave-one-out mean over repeats reaches ([\d. ]+)\.", (folder / "PROVENANCE.md").read_text())
    if found is None:
        raise SystemExit(f"{folder / 'PROVENANCE.md'} does not say what the leave-one-out mean reaches")
    return [float(value) for value in found[1].split()]


def main() -> None:
    """Print one JSON object: the oracle per cell with several floors for empty bins, and the ceilings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    repeats, published = frozen(folder), stored(folder)
    floors = {}
    for empty in (0.01, 0.05, 0.1, EMPTY_BIN, 0.5, 1.0):
        bps = oracle_sums(repeats, empty=empty).bits_per_spike().numpy()
        floors[str(empty)] = {
            "bps": bps.round(4).tolist(),
            "largest_difference": round(float(np.abs(bps - published).max()), 4),
        }
    print(
        json.dumps(
            {
                "benchmark": "flicker_oracle",
                "repeats_bins_units": repeats.counts.shape,
                "spikes": oracle_sums(repeats).spikes.tolist(),
                "published": published,
                "spikes_given_to_an_empty_bin": EMPTY_BIN,
                **floors[str(EMPTY_BIN)],
                "other_floors": floors,
                "cc_max": signal(repeats).cc_max().round(4).tolist(),
                "cc_max_by_halves": split_halves(repeats).cc_max().round(4).tolist(),
            }
        )
    )


if __name__ == "__main__":
    main()
