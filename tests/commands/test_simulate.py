"""Does `simulate` pass on its options, and the cache keep what was simulated once?"""

from __future__ import annotations

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from vctrain import cli, console
from vctrain.config.simulation import SimulationConfig
from vctrain.data import locking, simulation
from vctrain.data.simulation import cache
from vctrain.errors import FaultError


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    yield tmp_path
    console.configure()


def test_options_reach_the_simulation(monkeypatch, folder, capsys):
    seen = []

    def simulate(out, config, on_progress):
        seen.append(config)
        on_progress("one of two")
        return SimpleNamespace(out=out, dataset=out / "dataset.yaml", oracle=0.75)

    monkeypatch.setattr(simulation, "simulate", simulate)
    options = ["--sessions", "2", "--units", "3", "--minutes", "0.5", "--size", "16", "--rate", "60"]
    options += ["--types", "gratings,fixrsvp", "--seed", "4", "--json"]
    with pytest.raises(SystemExit) as caught:
        cli.main(["simulate", str(folder / "out"), *options])
    assert caught.value.code == 0
    out, err = capsys.readouterr()
    assert err == "one of two\n"
    shown = json.loads(out)
    assert shown["dataset"] == str(folder / "out" / "dataset.yaml")
    assert shown["oracle_bps_overall"] == 0.75
    wanted = {"sessions": 2, "units": 3, "minutes": 0.5, "size": 16, "rate": 60.0, "types": ["gratings", "fixrsvp"]}
    assert seen == [SimulationConfig.model_validate({**wanted, "seed": 4})]


def counting(monkeypatch, on_start=lambda: None):
    calls = []

    def simulate(out, config, on_progress=None):
        calls.append(out)
        on_start()
        out.mkdir()
        (out / "dataset.yaml").write_text("done")

    monkeypatch.setattr(cache, "simulate", simulate)
    return calls


def test_the_cache_is_filled_once_and_for_each_config(monkeypatch, folder):
    calls = counting(monkeypatch)
    first, other = SimulationConfig(seed=1), SimulationConfig(seed=2)
    assert not cache.is_cached(first)
    assert cache.cached_sessions(first) == cache.cached_sessions(first) == cache.cache_folder(first)
    assert len(calls) == 1
    assert cache.cached_sessions(other) != cache.cache_folder(first)
    assert cache.is_cached(first)
    assert cache.cache_folder(first).parent == folder / "cache" / "vctrain"


def test_a_simulation_that_breaks_off_leaves_no_cache(monkeypatch):
    def full():
        raise OSError(28, "No space left on device")

    counting(monkeypatch, full)
    with pytest.raises(FaultError, match="No space left"):
        cache.cached_sessions(SimulationConfig())
    assert not cache.is_cached(SimulationConfig())
    assert [path.suffix for path in cache.cache_root().iterdir()] == [".lock"]


@pytest.mark.parametrize("locks", [True, False])
def test_two_at_once_are_harmless(monkeypatch, locks):
    both = threading.Barrier(2, timeout=20)
    calls = counting(monkeypatch, (lambda: None) if locks else both.wait)
    if not locks:

        def refuse(*arguments):
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(locking.fcntl, "flock", refuse)
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(cache.cached_sessions, [SimulationConfig()] * 2))
    assert folders[0] == folders[1]
    assert (folders[0] / "dataset.yaml").read_text() == "done"
    assert len(calls) == (1 if locks else 2)
    assert not [path for path in cache.cache_root().iterdir() if path.is_dir() and path != folders[0]]


def test_where_the_cache_is(monkeypatch, folder):
    monkeypatch.delenv("VCTRAIN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "xdg"))
    assert cache.cache_root() == folder / "xdg" / "vctrain"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert str(cache.cache_root()) == os.path.expanduser("~/.cache/vctrain")
