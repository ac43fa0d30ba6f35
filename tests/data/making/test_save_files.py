"""Is a recording written whole or not at all, never over another, and in little memory?"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_arrays import NAME, Lazy, arrays, files_in
from numpy.typing import NDArray

from vctrain import save_session
from vctrain.data.dset import open_dset
from vctrain.errors import ContractError, FaultError, UsageError


class TestFiles:
    """Whole or not at all, and never over another."""

    def test_a_recording_is_not_replaced_unasked(self, tmp_path: Path) -> None:
        first = save_session(tmp_path / NAME, type="a", **arrays())
        before = first.path.read_bytes()
        with pytest.raises(UsageError, match="exists; nothing was changed"):
            save_session(tmp_path / NAME, type="a", **arrays(seed=1))
        assert first.path.read_bytes() == before
        other = save_session(tmp_path / NAME, type="a", overwrite=True, **arrays(240))
        assert other.frames == 240
        assert len(open_dset(other.path).covariates["stim"]) == 240
        assert files_in(tmp_path) == [NAME, f"{NAME}/a.dset"]

    @pytest.mark.parametrize("there", [True, False])
    def test_a_movie_that_breaks_off_leaves_things_as_they_were(self, tmp_path: Path, there: bool) -> None:
        given = arrays()
        if there:
            save_session(tmp_path / NAME, type="a", **given)
        before = {path: (tmp_path / path).read_bytes() for path in files_in(tmp_path) if path.endswith(".dset")}
        with pytest.raises(ContractError, match="stim cannot be read from frame 0"):
            save_session(tmp_path / NAME, type="a", overwrite=True, **(given | {"stim": Lazy(given["stim"], 700)}))
        assert {path: (tmp_path / path).read_bytes() for path in before} == before
        assert files_in(tmp_path) == ([NAME, f"{NAME}/a.dset"] if there else [])

    def test_frames_of_another_type_are_refused(self, tmp_path: Path) -> None:
        class Lying(Lazy):
            def __getitem__(self, key: slice) -> NDArray[Any]:
                return super().__getitem__(key).astype(np.float32)

        with pytest.raises(ContractError, match="frames from 0 are float32"):
            save_session(tmp_path / NAME, type="a", **(arrays() | {"stim": Lying(arrays()["stim"])}))
        assert files_in(tmp_path) == []

    @pytest.mark.parametrize("limit", [100_000, 200_000])
    def test_no_space_is_a_fault(self, tmp_path: Path, limit: int) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        stim = np.zeros((1000, 20, 20), np.uint8)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            with pytest.raises(FaultError, match=r"cannot write .*a\.dset"):
                save_session(tmp_path / NAME, stim, type="a", counts=np.ones((1000, 30)), rate_hz=60)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert files_in(tmp_path) == []

    def test_where_it_cannot_write(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(FaultError, match="cannot write"):
            save_session(tmp_path / "file" / NAME, type="a", **arrays(240))
        with pytest.raises(UsageError, match="is a file"):
            save_session(tmp_path / "file", type="a", **arrays(240))
        (tmp_path / NAME / "a.dset").mkdir(parents=True)
        with pytest.raises(UsageError, match="exists"):
            save_session(tmp_path / NAME, type="a", overwrite=True, **arrays(240))

    def test_paths_name_session_and_type(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        saved = save_session(tmp_path / NAME / "datasets" / "a.dset", **arrays(240))
        assert (saved.session, saved.type) == (NAME, "a")
        monkeypatch.chdir(tmp_path / NAME)
        saved = save_session("b.dset", type="b", **arrays(240))
        assert (saved.session, str(saved.path)) == (NAME, "b.dset")
        with pytest.raises(UsageError, match="type is c, but the file is"):
            save_session("d.dset", type="c", **arrays(240))

    def test_types_that_do_not_go_together_are_told(self, tmp_path: Path) -> None:
        save_session(tmp_path / NAME, type="a", **arrays(240))
        (tmp_path / NAME / "broken.dset").write_text("no recording")
        given = arrays(240)
        given["stim"], given["spike_times"] = given["stim"][:, :3], given["spike_times"][:2]
        given["frame_times"] = np.arange(240) / 60
        saved = save_session(tmp_path / NAME, type="b", **given)
        assert "a of this session has frames of 4x5 (b: 3x5), has 3 units (2), runs at 100 Hz (60);" in saved.notes[0]
        assert "broken.dset" in saved.notes[1]

    def test_the_report_is_readable(self, tmp_path: Path) -> None:
        saved = save_session(tmp_path / NAME, type="a", **arrays())
        assert str(saved).startswith(f"{saved.path}: 1,200 frames of 4x5 at 100 Hz, 3 units, ")
        assert "in pauses left out)" in str(saved)
        assert saved.seconds == 12.0


MEMORY = """
import sys
import numpy as np
from vctrain import save_session

class Lazy:
    dtype = np.dtype(np.uint8)
    def __init__(self, frames): self.shape = (frames, 60, 60)
    def __getitem__(self, key): return np.full((key.stop - key.start, 60, 60), 127, np.uint8)

def anonymous():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"): total = int(line.split()[1])
        if line.startswith("RssAnon"): return int(line.split()[1]) / 1024

for place, frames in enumerate((10_000, 10_000, 30_000)):
    peak = 0
    class Watched(Lazy):
        def __getitem__(self, key):
            global peak
            peak = max(peak, anonymous())
            return super().__getitem__(key)
    save_session(f"{sys.argv[1]}/{place}", Watched(frames), type="a", spike_times=[np.arange(99.0)] * 50, rate_hz=60.0)
    print(max(peak, anonymous()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_the_movie(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, check=True)
    _, short, long = (float(line) for line in done.stdout.split())
    assert (tmp_path / "2" / "a.dset").stat().st_size > 100e6
    assert long - short < 12
