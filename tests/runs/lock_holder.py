"""Holds the lock of the run directory that is named, until it is killed or its input closes."""

from __future__ import annotations

import sys
from pathlib import Path

from vctrain.errors import VctrainError
from vctrain.runs.lock import locked

if __name__ == "__main__":
    try:
        with locked(Path(sys.argv[1])):
            print("held", flush=True)
            sys.stdin.read()
    except VctrainError as error:
        print(error.message, flush=True)
        sys.exit(error.code)
