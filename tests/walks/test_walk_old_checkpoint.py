"""Does the page on old checkpoints lead from one of them, with its configs and recordings, to a fine-tuned run?"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from readme.readme_commands import README
from walks.walking import DOCS, Walker, lines_of

pytestmark = pytest.mark.walk
PAGE = DOCS / "old-checkpoints.md"
FIXTURES = Path(os.environ.get("VCTRAIN_SHARED", README.parent.parent / "shared")) / "fixtures"
OLD = FIXTURES / "legacy" / "d03_active_gaborium_resnet_convgrumod"
RECORDINGS = FIXTURES / "dsets"


def test_from_an_old_checkpoint_to_a_fine_tuned_run(tmp_path: Path) -> None:
    for needed in (OLD, RECORDINGS):
        if not needed.is_dir():
            pytest.skip(f"no checkpoint of the earlier system with its recordings: {needed} is missing")
    walker = Walker(tmp_path)
    heading = "From an old checkpoint to predictions"
    migrate, inspect, score, tune, again = (
        line.replace("/recordings", str(RECORDINGS)) for line in lines_of(PAGE, heading)
    )
    # under the names that the page gives them
    shutil.copy(next(OLD.glob("*.ckpt")), tmp_path / "epoch=37-val_bps_overall=0.4211.ckpt")
    shutil.copy(OLD / "model_config.yaml", tmp_path / "learned_res_small_gru.yaml")
    shutil.copytree(OLD / "dataset_configs", tmp_path / "multi_gaborium_120")

    said = walker.type(migrate)
    assert "mapped 36 tensors" in said
    assert "Allen_2022-01-03 6 units, Logan_2020-01-05 4 units" in said
    assert "no problems found" in walker.type(inspect)
    before = walker.asked(score)
    assert {name: each["n_units"] for name, each in before["sessions"].items()} == {
        "Allen_2022-01-03": 6,
        "Logan_2020-01-05": 4,
    }
    walker.type(tune)
    events = [json.loads(line) for line in (tmp_path / "runs" / "tuned" / "events.jsonl").read_text().splitlines()]
    assert events[-1]["event"] == "finished"
    after = walker.asked(again)
    assert after["sessions"].keys() == before["sessions"].keys()
    assert after["bps_overall"] > before["bps_overall"], "it was hardly trained before"
