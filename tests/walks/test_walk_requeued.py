"""Does the page on clusters lead to a run that outlives its jobs, with nobody watching?"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from local_cluster import script_of, two_nodes
from readme.readme_commands import README, shell_lines
from walks.walking import Walker

pytestmark = [pytest.mark.walk, pytest.mark.slurm]
FOR_CPUS = "--set model=twin_small --set data.batch_clips=8 --set trainer.precision=32-true"
LONGER_THAN_A_JOB = "--set optim.warmup_steps=20 --set trainer.steps_per_epoch=20 --set trainer.max_minutes=2.5"
"""SLURM gives each job two minutes, the start included."""
MINUTES = 12


def field(walker: Walker, job: str, name: str) -> str:
    """A field of ``scontrol show job``."""
    found = re.search(rf"\b{name}=(\S+)", walker.type(f"scontrol show job {job}"))
    assert found
    return found[1]


def test_a_job_that_runs_out_of_time_is_requeued_until_the_run_is_done(tmp_path: Path) -> None:
    two_nodes()
    walker = Walker(tmp_path)
    readme = README.read_text(encoding="utf-8")
    assert FOR_CPUS in readme
    simulate = next(line for line in shell_lines(readme) if line.startswith("vctrain simulate"))
    walker.type(f"{simulate} --minutes 2")
    changes = {
        "--data sessions.yaml": "--data recordings/dataset.yaml",
        "--preset gaborium": f"--preset gaborium {FOR_CPUS} {LONGER_THAN_A_JOB}",
    }
    walker.write({"twin.sbatch": script_of("twin.sbatch", changes)})
    walker.environment["OMP_NUM_THREADS"] = "1"
    job = walker.type("sbatch --parsable --time=2 --signal=USR1@30 twin.sbatch").strip()
    try:
        while (state := field(walker, job, "JobState")) not in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"):
            assert walker.seconds() < MINUTES * 60, state
            time.sleep(5)
        said = "".join(path.read_text() for path in tmp_path.glob("*.log"))
        assert (state, field(walker, job, "ExitCode")) == ("COMPLETED", "0:0"), said
        assert int(field(walker, job, "Restarts")) >= 1, said
    finally:
        walker.type(f"scancel {job}")
    (run,) = (tmp_path / "runs").iterdir()
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds.count("created") == kinds.count("finished") == 1
    assert kinds.count("resumed") == kinds.count("preempted") >= 1
    assert all(event["step"] > 0 for event in events if event["event"] == "resumed")
    assert walker.asked("vctrain eval-bps runs/mine")["fraction_of_oracle"] is not None
    assert re.search(r"\bmine\b.*\bdone\b", walker.type("vctrain status"))
