"""A training step with and without keeping freed memory: the paired ratio of two runs in alternating processes.

python -m benchmarks.allocator
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

STEP = """
import sys, time
import torch
from vctrain.config.resolve import resolve
from vctrain.data.clips import SessionClips
from vctrain.models.twin import StoredShape, Twin
from vctrain.training.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
settings = resolve("checkerboard", [], [], {}).settings
torch.manual_seed(0)
twin = Twin(settings.model, [StoredShape(f"S{i}", 30, 48, 48, 0) for i in range(4)])
stim = torch.randint(0, 255, (1, twin.context + 48, 48, 48), dtype=torch.uint8)
clips = [SessionClips(i, stim, torch.zeros(1, 48, 30), torch.ones(1, 48, 1)) for i in range(4)]
seconds = []
for _ in range(12):
    started = time.perf_counter()
    sum(rate.sum() for rate in twin(clips)).backward()
    seconds.append(time.perf_counter() - started)
print(sorted(seconds[2:])[5])
"""
PAIRS = 5


def main() -> None:
    """Print one JSON object: the median over pairs of (without / with)."""
    ratios = []
    for _ in range(PAIRS):
        seconds = {
            how: float(
                subprocess.run([sys.executable, "-c", STEP, how], check=True, capture_output=True, text=True).stdout
            )
            for how in ("free", "keep")
        }
        ratios.append(seconds["free"] / seconds["keep"])
    print(json.dumps({"benchmark": "allocator", "speedup": statistics.median(ratios), "pairs": ratios}))


if __name__ == "__main__":
    main()
