"""What are the members of a sweep, and are their settings good? Torch-free; `write` makes the folder."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vctrain import console
from vctrain.config.datasets import load_dataset_configs
from vctrain.config.idle import refuse_idle
from vctrain.config.layers import leaves
from vctrain.config.problems import check
from vctrain.config.resolve import Resolved, render, resolve
from vctrain.config.sweep import SweepConfig
from vctrain.config.yaml_files import read_mapping
from vctrain.errors import FaultError, UsageError, VctrainError
from vctrain.runs.files import write_atomically
from vctrain.runs.listing import SWEEP
from vctrain.runs.sweep_scripts import array_script, loop_script

FORMAT = 1
MOST = 9999


@dataclass(frozen=True)
class Planned:
    """A member of a sweep: its number, its settings and what tells it from the others."""

    number: str
    resolved: Resolved
    differs: dict[str, Any]
    """Settings by the dotted path under which the sweep gives them."""

    @property
    def config(self) -> str:
        """Its settings, beside the index."""
        return f"{self.number}.yaml"


@dataclass(frozen=True)
class Sweep:
    """All members of a sweep, with settings that the schema accepts and recordings that are there."""

    source: Path
    wanted: SweepConfig
    members: tuple[Planned, ...]


def plan(grid: Path) -> Sweep:
    """The sweep that the file ``grid`` describes; nothing is written.

    UsageError for the first member whose settings cannot be used, with its number and what differs, ContractError for
    recordings that are not there.
    """
    wanted = check(SweepConfig, read_mapping(grid), lambda dotted: str(grid))
    combinations = list(wanted.combinations())
    total = len(combinations) * (wanted.seeds or 1)
    if total > MOST:
        raise UsageError(f"{grid}: {total:,} members; at most {MOST:,}", hint="leave out some values")
    members: list[Planned] = []
    for point in combinations:
        first = _resolved(grid, wanted, point, len(members), total)
        for seed in range(wanted.seeds or 1):
            full = point if wanted.seeds is None else {**point, "seed": first.settings.seed + seed}
            resolved = first if seed == 0 else _resolved(grid, wanted, full, len(members), total)
            members.append(Planned(_number(len(members), total), resolved, _as_resolved(full, resolved)))
    _refuse_twins(grid, members)
    _check_recordings(grid, members)
    return Sweep(grid, wanted, tuple(members))


def write(sweep: Sweep, out: Path) -> None:
    """Create ``out`` with numbered configs, index and scripts, whole or not at all.

    UsageError if it exists, FaultError if it cannot be made.
    """
    refuse_existing(out)
    whole = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    numbers = [member.number for member in sweep.members]
    try:
        whole.mkdir(parents=True)
        for member in sweep.members:
            write_atomically(whole / member.config, _config(sweep, member))
        write_atomically(whole / SWEEP, console.to_json(_index(sweep, out), indent=1) + "\n")
        for name, text in (
            ("sweep.sh", loop_script(out, numbers)),
            ("sweep.sbatch", array_script(out, numbers, sweep.wanted.slurm)),
        ):
            write_atomically(whole / name, text)
            (whole / name).chmod(0o755)
        refuse_existing(out)
        os.rename(whole, out)
    except OSError as error:
        raise FaultError(f"cannot write {out}: {error.strerror or error}", hint="choose another --out") from error
    finally:
        shutil.rmtree(whole, ignore_errors=True)


def refuse_existing(out: Path) -> None:
    """UsageError if something is at ``out``."""
    if os.path.lexists(out):
        raise UsageError(f"{out} exists; nothing was changed", hint="choose another --out")


def _resolved(grid: Path, wanted: SweepConfig, point: Mapping[str, Any], place: int, total: int) -> Resolved:
    folder = grid.parent
    files = [] if wanted.config is None else [_beside(folder, wanted.config)]
    data = None if wanted.data is None else _beside(folder, wanted.data)
    root = None if wanted.data_root is None else _beside(folder, wanted.data_root)
    sets = [f"{path}={_as_yaml(value)}" for path, value in {**wanted.set, **point}.items()]
    flags = {"data.path": None if data is None else str(data), "data.root": None if root is None else str(root)}
    try:
        resolved = _with_absolute_paths(resolve(wanted.preset, files, sets, flags, overlays=wanted.overlays), folder)
        refuse_idle(resolved.settings, resolved.provenance)
    except VctrainError as error:
        where = f"{grid}, member {_number(place, total)}{' (' + described(point) + ')' if point else ''}"
        raise type(error)(f"{where}: {error.message}", hint=error.hint) from error
    return Resolved(
        resolved.settings,
        {path: grid.name if source == "--set" else source for path, source in resolved.provenance.items()},
        resolved.overlays,
    )


def _beside(folder: Path, path: str) -> Path:
    return (folder / Path(path).expanduser()).absolute()


def _with_absolute_paths(resolved: Resolved, folder: Path) -> Resolved:
    """Members run in the sweep's folder."""
    settings = resolved.settings

    def absolute(path: str | None) -> str | None:
        return None if path is None else str(_beside(folder, path))

    data = settings.data.model_copy(update={"path": absolute(settings.data.path), "root": absolute(settings.data.root)})
    start = settings.start.model_copy(update={"checkpoint": absolute(settings.start.checkpoint)})
    settings = settings.model_copy(update={"data": data, "start": start})
    return Resolved(settings, resolved.provenance, resolved.overlays)


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**9).rstrip("\n").removesuffix("\n...")


def _as_resolved(point: Mapping[str, Any], resolved: Resolved) -> dict[str, Any]:
    values = dict(leaves(resolved.settings.model_dump(mode="json")))
    return {path: values.get(path, value) for path, value in point.items()}


def _number(place: int, total: int) -> str:
    return f"{place:0{max(3, len(str(total - 1)))}d}"


def described(differs: Mapping[str, Any]) -> str:
    """What differs, in one line."""
    return ", ".join(f"{path} {console.to_json(value)}" for path, value in differs.items()) or "nothing differs"


def _refuse_twins(grid: Path, members: Sequence[Planned]) -> None:
    known: dict[str, str] = {}
    for member in members:
        content = member.resolved.settings.model_dump_json()
        if content in known:
            raise UsageError(
                f"{grid}: members {known[content]} and {member.number} have the same settings "
                f"({described(member.differs)})",
                hint="leave one of them out",
            )
        known[content] = member.number


def _check_recordings(grid: Path, members: Sequence[Planned]) -> None:
    seen: set[tuple[Any, ...]] = set()
    for member in members:
        data = member.resolved.settings.data
        asked = (data.path, data.root, data.types, data.max_datasets)
        if data.path is not None and asked not in seen:
            seen.add(asked)
            try:
                load_dataset_configs(data.path, data_root=data.root, types=data.types, max_datasets=data.max_datasets)
            except VctrainError as error:
                message = f"{grid}, member {member.number}: {error.message}"
                raise type(error)(message, hint=error.hint) from error


def _config(sweep: Sweep, member: Planned) -> str:
    head = f"# {member.number} of {sweep.source.name}: {described(member.differs)}\n"
    return head + render(member.resolved.settings, member.resolved.provenance)


def run_of_member(out: Path, number: str) -> str:
    """The run directory of a member, relative to the sweep's folder; told from those of other sweeps by its name."""
    return f"runs/{out.absolute().name}-{number}"


def _index(sweep: Sweep, out: Path) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "source": str(sweep.source.absolute()),
        "verb": sweep.wanted.verb,
        "members": [
            {
                "number": member.number,
                "config": member.config,
                "run": run_of_member(out, member.number),
                "differs": member.differs,
            }
            for member in sweep.members
        ],
    }
