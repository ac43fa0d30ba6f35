"""Does the page for beginners lead from nothing to a report, with its very commands and at their full size?"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from walks.walking import DOCS, Walker, lines_of

pytestmark = pytest.mark.walk
PAGE = DOCS / "getting-started.md"
MINUTES = 15
"""On two cores, which is what the page and the README speak of."""


def test_from_simulated_data_to_a_report(tmp_path: Path) -> None:
    walker = Walker(tmp_path)
    train, look = lines_of(PAGE, "A first run")
    walker.type(look)
    assert not (tmp_path / "runs").exists(), "--dry-run creates nothing"
    walker.type(train, limit=3600)
    run = tmp_path / "runs" / "first"
    assert json.loads((run / "run.json").read_text())["state"] == "done"

    score, everything, report = lines_of(PAGE, "Evaluate")
    said = walker.asked(score)
    assert said["fraction_of_oracle"] > 0.7, "the README says 76 %"
    assert len(said["sessions"]) == 4
    assert walker.asked(everything)["split"] == "all"
    walker.type(report)
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert all(session in page for session in said["sessions"])
    assert f"{said['bps_overall']:.4f}" in page or f"{said['bps_overall']:.3f}" in page
    assert len(re.findall(r"<(?:img|svg)\b", page)) >= 6
    print(f"{walker.seconds():.0f} s in all, {walker.seconds_alone():.0f} s of a machine for itself")
    assert walker.seconds_alone() < MINUTES * 60
