"""Do the pages on recordings lead from somebody's own arrays to a score?"""

from __future__ import annotations

from pathlib import Path

import pytest
from readme.readme_commands import README, snippets
from walks.walking import DOCS, Walker, files_of, lines_of, section

pytestmark = pytest.mark.walk
FORMAT, MAKING = DOCS / "data-format.md", DOCS / "making-sessions.md"


def test_from_dset_files_and_a_dataset_config_to_a_score(tmp_path: Path) -> None:
    walker = Walker(tmp_path)
    heading = "From arrays to a score"
    walker.write(files_of(FORMAT, heading))
    make, inspect, train, score = lines_of(FORMAT, heading)
    walker.type(make)
    assert walker.asked(inspect)["usable"] is True
    walker.type(train)
    said = walker.asked(score)
    (session,) = said["sessions"].values()
    assert session["n_units"] == 8
    assert min(session["units"].values()) > 0.1, "each unit follows a pixel, and the twin finds it"


def test_from_arrays_of_a_spike_sorter_to_a_folder_that_trains(tmp_path: Path) -> None:
    walker = Walker(tmp_path)
    (snippet,) = snippets(section(MAKING, "From arrays"))
    walker.write({"make.py": snippet})
    said = walker.type("python make.py")
    assert "12,000 frames of 32x32 at 120 Hz, 8 units" in said
    inspect, look = lines_of(MAKING, "From arrays")
    assert walker.asked(inspect)["usable"] is True
    walker.asked(look)
    assert not (tmp_path / "runs").exists()
    # the command that was looked at, with what the README says of CPUs, and short
    smaller = "--set model=twin_small --set data.batch_clips=8 --set trainer.precision=32-true"
    assert smaller in README.read_text(encoding="utf-8")
    short = "--set trainer.max_epochs=2 --set trainer.steps_per_epoch=10 --run-dir runs/ada"
    walker.type(f"{look.replace(' --dry-run', '')} {smaller} {short}")
    assert walker.asked("vctrain eval-bps runs/ada")["sessions"]["Ada_2024-05-06"]["n_units"] == 8
