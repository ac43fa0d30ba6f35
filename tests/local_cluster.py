"""Is there a SLURM of two nodes, or can one be started here; and which job scripts do the docs show for it?"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def two_nodes() -> None:
    """Two nodes that take jobs; the test is skipped where there are none and none can be started."""
    if shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True, check=False).returncode:
        tool = Path(os.environ.get("VCTRAIN_SHARED", ROOT.parent / "shared")) / "tools" / "local_slurm.sh"
        if not tool.is_file() or os.geteuid() != 0:
            pytest.skip(f"no SLURM here, and none can be started (needs root and {tool})")
        started = subprocess.run(["bash", str(tool), "up"], capture_output=True, text=True, timeout=300, check=False)
        if started.returncode:
            pytest.skip(f"{tool} could not start a SLURM: {started.stderr.strip()[-200:]}")
    nodes = subprocess.run(["sinfo", "-h", "-N", "-o", "%N"], capture_output=True, text=True, check=True).stdout.split()
    if len(set(nodes)) < 2:
        pytest.skip(f"SLURM has the nodes {nodes}; two are needed")


def script_of(name: str, changes: dict[str, str]) -> str:
    """The job script of that name in the docs, with other settings and recordings in it."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8"), re.S)
    script: str = next(block for block in blocks if f"# {name}\n" in block)
    for old, new in changes.items():
        assert old in script
        script = script.replace(old, new)
    return script
