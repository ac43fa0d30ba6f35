"""How is a file of a run written so that no reader and no crash ever sees half of it?"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from vctrain.errors import UsageError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk without room says."""


def write_atomically(path: Path, text: str) -> None:
    """Replace the file at ``path`` by ``text`` (UTF-8): readers see the old file or the new one, whole."""
    write_bytes_atomically(path, text.encode("utf-8"))


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """The same of bytes."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_new(path: Path, write: Callable[[Path], None]) -> None:
    """Create ``path`` whole, or not at all: ``write`` fills a file beside it, which then takes its name.

    Never replaces a file: UsageError if there is one. Whatever ``write`` raises leaves nothing behind.
    """
    refuse_existing(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        write(temporary)
        try:
            # unlike a rename, a link cannot replace a file that appeared meanwhile
            os.link(temporary, path)
        except FileExistsError:
            refuse_existing(path)
        except OSError:
            # a file system without links
            refuse_existing(path)
            os.rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_existing(path: Path) -> None:
    """UsageError if something is at ``path``, or no folder to put it in."""
    if os.path.lexists(path):
        raise UsageError(f"{path} exists; nothing was changed", hint="choose another -o")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no folder", hint="create it, or choose another -o")
