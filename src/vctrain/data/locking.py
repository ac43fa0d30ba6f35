"""How do processes that want to make the same file take turns?"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Let processes on one machine through one by one, so that the second finds what the first made.

    Gives False where the file system of the lock file `path` has no locks: a rename alone then keeps what is made
    whole, at the cost of double work.
    """
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            yield False
        else:
            yield True
