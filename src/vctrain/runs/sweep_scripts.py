"""How are the members of a sweep run: as a SLURM array, or one after the other?"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

_LOOP = """#!/bin/bash
# All members one after the other. One that fails does not end the loop; start it again, and members that are done stay
# as they are, the others go on. Ends with 75 when it was stopped, 1 if a member failed.
cd "$(dirname "${{BASH_SOURCE[0]}}")" || exit 5
failed=()
for number in {numbers}; do
  vctrain resume {prefix}"$number" --or-start --config "$number.yaml"
  code=$?
  echo $code > "$number.exit"
  case $code in
    0) ;;
    75|130|143) echo "stopped at $number; start this script again to go on" >&2; exit $code ;;
    *) echo "$number ended with $code; going on" >&2; failed+=("$number") ;;
  esac
done
if [ ${{#failed[@]}} -gt 0 ]; then echo "failed: ${{failed[*]}}; vctrain table . shows why" >&2; exit 1; fi
"""

_ARRAY = """#!/bin/bash
#SBATCH --job-name={job}
#SBATCH --array=0-{last}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={job}-%A_%a.log
{options}
# A task trains one member; 75 means saved, and the task is put into the queue again.
cd {folder} || exit 5
number=$(printf '%0{digits}d' "$SLURM_ARRAY_TASK_ID")
srun vctrain resume {prefix}"$number" --or-start --config "$number.yaml"
code=$?
echo $code > "$number.exit"
if [ $code = 75 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $code
"""


def loop_script(out: Path, numbers: Sequence[str]) -> str:
    """A plain bash loop over the members, for the folder ``out``; it may be moved with it."""
    return _LOOP.format(numbers=" ".join(numbers), prefix=_prefix(out))


def array_script(out: Path, numbers: Sequence[str], options: Sequence[str]) -> str:
    """An array for sbatch, a task a member; it stays where ``out`` is."""
    return _ARRAY.format(
        job=re.sub(r"[^A-Za-z0-9._-]+", "_", out.absolute().name),
        last=len(numbers) - 1,
        options="".join(f"#SBATCH {option}\n" for option in options),
        folder=shlex.quote(str(out.absolute())),
        digits=len(numbers[0]),
        prefix=_prefix(out),
    )


def _prefix(out: Path) -> str:
    return shlex.quote(f"runs/{out.absolute().name}-")
