"""Which checkpoints does a path stand for, and where does each migrated one go?"""

from __future__ import annotations

from pathlib import Path

from vctrain.errors import ContractError, UsageError

SUFFIXES = (".ckpt", ".pth")


def plan(target: Path, output: Path | None) -> list[tuple[Path, Path]]:
    """The checkpoints of ``target``, a file or a directory (with all below it), and the file that each is written to.

    ``output`` is a file for a file, or a directory; by default each goes beside the old one as ``.pt``. Raises
    ContractError if there is no checkpoint, UsageError if two would be written to one file.
    """
    if target.is_dir():
        found = sorted(path for path in target.rglob("*") if path.suffix in SUFFIXES and path.is_file())
        if not found:
            raise ContractError(f"{target} holds no checkpoint (*.ckpt)", hint="give a .ckpt, or a directory of them")
        if output is not None and output.exists() and not output.is_dir():
            raise UsageError(f"-o {output} is a file, and {target} a directory", hint="give a directory")
        places = [_named(path if output is None else output / path.relative_to(target)) for path in found]
        twice = [place for place in places if places.count(place) > 1]
        if twice:
            raise UsageError(f"two checkpoints would be written to {twice[0]}", hint="migrate them one by one")
        return list(zip(found, places, strict=True))
    if not target.exists():
        raise ContractError(f"{target} is not there", hint="check the path")
    if output is None:
        return [(target, _named(target))]
    return [(target, output / _named(target).name if output.is_dir() else output)]


def _named(path: Path) -> Path:
    return path.with_suffix(".pt") if path.suffix in SUFFIXES else path.with_name(f"{path.stem}-migrated.pt")
