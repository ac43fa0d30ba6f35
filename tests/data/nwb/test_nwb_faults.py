"""Is a file that cannot be imported one error that says what to do, with nothing on disk?"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynwb")

import h5py
import made_nwb as made
from made_arrays import files_in
from pynwb import NWBFile
from pynwb.base import Images

from vctrain.config.nwb import NwbImport
from vctrain.data.dset import open_dset
from vctrain.data.nwb import import_nwb
from vctrain.errors import ContractError, FaultError, UsageError, VctrainError


def external(nwb: NWBFile) -> None:
    nwb.add_stimulus(
        made.ImageSeries(name="m", external_file=["m.avi"], format="external", unit="n.a.", timestamps=[0.0, 1.0])
    )
    made.add_units(nwb)


def unordered(nwb: NWBFile) -> None:
    images = Images(name="scenes", images=[made.GrayscaleImage(name="one", data=made.movie(1)[0])])
    made.add_index(nwb, "shown", [0, 0], images, rate=9.0)
    made.add_units(nwb)


def unequal(nwb: NWBFile) -> None:
    listed = [made.GrayscaleImage(name=f"i{n}", data=made.movie(1, (4, n))[0]) for n in (5, 6)]
    order = made.ImageReferences(name="order_of_images", data=listed)
    made.add_index(nwb, "shown", [0, 1, 0], Images(name="s", images=listed, order_of_images=order), rate=9.0)
    made.add_units(nwb)


def shown(index: Any, **timing: Any) -> Callable[[NWBFile], None]:
    def change(nwb: NWBFile) -> None:
        made.add_index(nwb, "shown", index, made.images("scenes", made.movie(5)), **(timing or {"rate": 60.0}))
        made.add_units(nwb)

    return change


def movie(data: Any = None, spikes: Any = None, **timing: Any) -> Callable[[NWBFile], None]:
    def change(nwb: NWBFile) -> None:
        made.add_movie(nwb, "movie", data, **timing)
        made.add_units(nwb, spikes)

    return change


def no_spike_times(nwb: NWBFile) -> None:
    made.add_movie(nwb)
    nwb.add_unit_column("depth", "made")
    nwb.add_unit(depth=3.0)


def two_sizes(nwb: NWBFile) -> None:
    made.add_movie(nwb, "a")
    made.add_movie(nwb, "b", made.movie(size=(5, 5)))
    made.add_units(nwb)


def two_rates(nwb: NWBFile) -> None:
    made.add_movie(nwb, "a")
    made.add_movie(nwb, "b", rate=30.0)
    made.add_movie(nwb, "c d")
    made.add_movie(nwb, "c_d")
    made.add_units(nwb)


def late_fault(nwb: NWBFile) -> None:
    data = np.random.default_rng(0).random((900, 6, 8))
    data[877, 0, 0] = np.nan
    made.add_movie(nwb, "a")
    made.add_movie(nwb, "b", data)
    made.add_units(nwb)


def trials(times: Any) -> Callable[[NWBFile], None]:
    def change(nwb: NWBFile) -> None:
        movie()(nwb)
        made.add_trials(nwb, times)

    return change


BOTH = {"stimulus": ("a", "b")}
FAULTS: dict[str, tuple[Callable[[NWBFile], None], dict[str, Any], type[VctrainError], str]] = {
    "external": (external, {}, ContractError, "frames of ImageSeries m are in m.avi, outside the file"),
    "unordered": (unordered, {}, ContractError, "no order_of_images"),
    "unequal": (unequal, {}, ContractError, r"image i6 is \(4, 6\), i5 \(4, 5\)"),
    "beyond": (shown([0, 1, 5, 2]), {}, ContractError, "shows image 5 at frame 2; Images scenes has 5"),
    "one": (shown([3]), {}, ContractError, "1 frame"),
    "same time": (shown([0, 1, 2], timestamps=[0.0, 1.0, 1.0]), {}, ContractError, "timestamps go from 1 to 1"),
    "NaN time": (shown([0, 1, 2], timestamps=[0.0, np.nan, 1.0]), {}, ContractError, "timestamps go from 0 to nan"),
    "no rate": (movie(rate=0.0), {}, ContractError, "neither timestamps nor a rate"),
    "slow": (shown([0, 1, 2, 1], rate=0.5), {}, UsageError, "0.5 a second"),
    "depth": (movie(made.movie(9, (6, 8, 7))), {}, ContractError, r"is \(9, 6, 8, 7\)"),
    "range": (movie(made.movie().astype(np.uint16) * 200), {}, ContractError, "values between 0 and 51000"),
    "no units": (made.add_movie, {}, ContractError, "holds no units"),
    "no spike times": (no_spike_times, {}, ContractError, "holds no spike_times"),
    "NaN spike": (movie(spikes=[[1.0, np.nan]]), {}, ContractError, r"spike_times\[0\] is nan"),
    "other clock": (movie(spikes=[[1e5, 2e5]]), {}, ContractError, "none of 2 spikes is in a frame"),
    "no stimulus": (made.add_units, {}, ContractError, "no stimulus made of images; under stimulus: nothing"),
    "no column": (movie(), {"where": {"quality": ("good",)}}, UsageError, "units have no column quality"),
    "a choice": (two_sizes, {}, UsageError, "2 stimuli: a, b"),
    "another": (two_sizes, {"stimulus": ("c",)}, UsageError, "no stimulus c"),
    "two sizes": (two_sizes, BOTH, UsageError, "a is 6x8, b is 5x5"),
    "two rates": (two_rates, BOTH, UsageError, "a runs at 60 Hz, b at 30 Hz"),
    "one name": (two_rates, {"stimulus": ("c d", "c_d")}, UsageError, "needs a name of its own"),
    "late": (late_fault, BOTH, ContractError, "b is nan in image 877"),
    "no trials": (movie(), {"trials": "blocks"}, UsageError, "no intervals blocks"),
    "overlap": (trials([[0, 5], [4, 6]]), {}, ContractError, "before trial 0 stops"),
    "elsewhere": (trials([[900, 901]]), {}, ContractError, "no frame lies in a trial"),
    "endless": (trials([[0, np.nan]]), {}, ContractError, "no row with start and stop"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_line_and_writes_nothing(tmp_path: Path, fault: str) -> None:
    change, options, kind, message = FAULTS[fault]
    nwb = made.nwb_file()
    change(nwb)
    path = made.written(nwb, tmp_path / "a.nwb")
    with pytest.raises(kind, match=message) as error:
        import_nwb(path, tmp_path / "out", NwbImport(**options))
    assert error.value.hint
    assert "\n" not in error.value.message + error.value.hint
    assert files_in(tmp_path) == ["a.nwb"]


@pytest.mark.parametrize("kind", ["float32", "int32"])
def test_indices_that_pynwb_would_not_write(tmp_path: Path, kind: str) -> None:
    nwb = made.nwb_file()
    shown([0, 1, 2, 3, 4] * 60)(nwb)
    path = made.written(nwb, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        series = file["stimulus/presentation/shown"]
        index, attributes = series["data"][:].astype(kind), dict(series["data"].attrs)
        index[::5] = -1
        del series["data"]
        series.create_dataset("data", data=index).attrs.update(attributes)
    if kind == "float32":
        with pytest.raises(ContractError, match="IndexSeries shown is float32, no index"):
            import_nwb(path, tmp_path / "out")
        return
    report = import_nwb(path, tmp_path / "out")
    assert "IndexSeries shown: 60 frames with a negative index, taken for mean grey" in report.notes
    stim = open_dset(report.saved[0].path).covariates["stim"].numpy()
    assert (stim[::5] == 127).all()
    np.testing.assert_array_equal(stim[1::5], np.stack([made.movie(5)[1]] * 60))


def test_no_subject_needs_a_name(tmp_path: Path) -> None:
    path = made.whole_file(tmp_path / "a.nwb", subject=None)
    with pytest.raises(ContractError, match="names no subject") as error:
        import_nwb(path, tmp_path / "out")
    assert "--session" in error.value.hint


def test_units_that_nobody_has(tmp_path: Path) -> None:
    nwb = made.nwb_file()
    made.add_movie(nwb)
    made.add_units(nwb, quality=["good", "mua", "good"])
    nwb.add_unit_column("layer", "made", data=[4.0, 5.0, 5.0])
    path = made.written(nwb, tmp_path / "a.nwb")
    with pytest.raises(UsageError, match="--where quality=best: no unit has it") as error:
        import_nwb(path, tmp_path / "out", NwbImport(where={"quality": ("best",)}))
    assert error.value.hint == "values: good, mua"
    with pytest.raises(UsageError, match="no unit has all that --where asks for"):
        import_nwb(path, tmp_path / "out", NwbImport(where={"quality": ("mua",), "layer": ("4",)}))
    with pytest.raises(UsageError, match="several values a unit"):
        import_nwb(path, tmp_path / "out", NwbImport(where={"spike_times": ("4",)}))


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = made.whole_file(tmp_path / "a.nwb")
    (saved,) = import_nwb(path, tmp_path / "out").saved
    before = saved.path.read_bytes()
    for dry_run in (True, False):
        with pytest.raises(UsageError, match="exists; nothing was changed"):
            import_nwb(path, tmp_path / "out", dry_run=dry_run)
    import_nwb(path, tmp_path / "out", overwrite=True)
    assert saved.path.read_bytes() == before
    with pytest.raises(UsageError, match="is a file"):
        import_nwb(path, path)


def test_what_is_no_nwb_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        import_nwb(tmp_path / "none.nwb", tmp_path / "out")
    with pytest.raises(UsageError, match="is a folder; only NWB files in HDF5"):
        import_nwb(tmp_path, tmp_path / "out")
    (tmp_path / "text.nwb").write_text("no HDF5 at all")
    (tmp_path / "empty.nwb").touch()
    with h5py.File(tmp_path / "plain.nwb", "w") as file:
        file["data"] = np.arange(5)
    with h5py.File(tmp_path / "old.nwb", "w") as file:
        file["nwb_version"] = "NWB-1.0.6"
        file.create_group("stimulus/presentation")
    for name in ("text", "empty", "plain", "old"):
        with pytest.raises(ContractError, match=rf"{name}\.nwb cannot be read as an NWB file") as error:
            import_nwb(tmp_path / f"{name}.nwb", tmp_path / "out")
        assert "\n" not in error.value.message


def test_half_a_file_is_an_error(tmp_path: Path) -> None:
    path = made.whole_file(tmp_path / "a.nwb")
    content = path.read_bytes()
    for share in np.linspace(0, 0.999, 25):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ContractError, match="cannot be read as an NWB file") as error:
            import_nwb(path, tmp_path / "out")
        assert error.value.hint
    path.write_bytes(content)
    assert import_nwb(path, tmp_path / "out").written


@pytest.mark.parametrize("group", ["units", "intervals/trials", "stimulus/presentation/movie", "general/subject"])
def test_parts_that_were_cut_out(tmp_path: Path, group: str) -> None:
    path = made.whole_file(tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        inside = list(file[group])
    assert inside
    for name in inside:
        made.whole_file(path)
        with h5py.File(path, "r+") as file:
            del file[group][name]
        raised: VctrainError | None = None
        try:
            report = import_nwb(path, tmp_path / "out", overwrite=True)
        except VctrainError as error:
            raised = error
        if raised is None:
            # what is missing is not needed
            assert report.saved[0].spikes > 0, name
            assert name in ("id", "sex", "age", "species", "description", "resolution", "starting_time"), name
        else:
            assert raised.code == 3, name
            assert "\n" not in raised.message


def test_data_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = made.whole_file(tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        series = file["stimulus/presentation/movie"]
        stored, attributes = series["data"][:], dict(series["data"].attrs)
        del series["data"]
        packed = series.create_dataset("data", data=stored, chunks=(100, 6, 8), compression="gzip", fletcher32=True)
        packed.attrs.update(attributes)
        offset, size = packed.id.get_chunk_info(7).byte_offset, packed.id.get_chunk_info(7).size
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = bytes(size)
    path.write_bytes(content)
    with pytest.raises(ContractError, match="ImageSeries movie cannot be read"):
        import_nwb(path, tmp_path / "out", NwbImport(grey=(0, 255)))
    assert files_in(tmp_path) == ["a.nwb"]


def test_without_pynwb_the_command_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, *more: Any) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(FaultError, match="import-nwb needs pynwb, and pynwb is not installed") as error:
        import_nwb(tmp_path / "a.nwb", tmp_path / "out")
    assert error.value.hint == "pip install 'vctrain[nwb]'"
