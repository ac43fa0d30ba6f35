"""Where are sessions kept that were simulated because no recordings were given?"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from vctrain.config.locate import cache_root
from vctrain.config.simulation import SimulationConfig
from vctrain.data.locking import alone
from vctrain.data.simulation.sessions import simulate
from vctrain.errors import FaultError


def cache_folder(config: SimulationConfig) -> Path:
    """The folder in which the sessions of ``config`` are or will be; it changes when the simulator's code does."""
    return cache_root() / f"simulated-{_fingerprint(config)}"


def is_cached(config: SimulationConfig) -> bool:
    """Whether the sessions of ``config`` are there, complete."""
    return (cache_folder(config) / "dataset.yaml").is_file()


def cached_sessions(config: SimulationConfig, on_progress: Callable[[str], None] | None = None) -> Path:
    """The folder of the sessions of ``config``, simulated if they are not there; ``dataset.yaml`` is in it.

    They are simulated in a sibling folder that is then renamed, so the folder is complete whenever it is there, whoever
    else simulates at the same time. Raises FaultError if the cache cannot be written.
    """
    folder = cache_folder(config)
    if is_cached(config):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder.with_name(f".{folder.name}.lock")):
            if not is_cached(config):
                _fill(folder, config, on_progress)
    except OSError as error:
        hint = "set VCTRAIN_CACHE to a folder you may write to, or give --data"
        raise FaultError(f"cannot write the cache {folder}: {error.strerror or error}", hint=hint) from error
    return folder


def _fill(folder: Path, config: SimulationConfig, on_progress: Callable[[str], None] | None) -> None:
    workplace = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        simulate(workplace, config, on_progress)
        os.rename(workplace, folder)
    except OSError:
        # Where locks do not work, somebody else may have been faster.
        if not is_cached(config):
            raise
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _fingerprint(config: SimulationConfig) -> str:
    digest = hashlib.sha256(config.model_dump_json().encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:12]
