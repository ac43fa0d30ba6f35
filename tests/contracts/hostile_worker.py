"""Runs ``vctrain migrate-ckpt`` on hostile files in one process of bounded memory, and says how each call ended.

Arguments: folder with the sources, folder to work in, and the numbers of the files (first:stop:step). One JSON line a
file.
"""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import resource
import signal
import sys
import time
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parent))

from made_hostile import family_of, make

MEMORY = 2 << 30
SECONDS = 60


class TooLong(BaseException):
    """A call took longer than it may."""


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TooLong


def main(sources: Path, work: Path, numbers: str) -> None:
    """See the module's text."""
    from vctrain import cli
    from vctrain.runs.migration import migrate  # noqa: F401  what is loaded now does not count

    originals = pickle.loads((sources / "sources.pickle").read_bytes())
    first, stop, step = map(int, numbers.split(":"))
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, in_use + MEMORY))
    signal.signal(signal.SIGALRM, _too_long)
    for number in range(first, stop, step):
        path, mark, output = work / f"{number}.ckpt", work / f"ran-{number}", work / f"{number}.pt"
        path.write_bytes(make(number, originals, mark))
        arguments = ["migrate-ckpt", path, "-o", output, "--dataset-configs", sources / "datasets"]
        arguments += ["--check", sources / "batch.npz", "--json", "--quiet"]
        out, code, started = io.StringIO(), -1, time.monotonic()
        signal.alarm(SECONDS)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
                cli.main(list(map(str, arguments)))
        except SystemExit as end:
            code = int(end.code or 0)
        except TooLong:
            code = -2
        except Exception as error:  # noqa: BLE001  a bug ends with exit code 1
            code, out = 1, io.StringIO(json.dumps({"error": {"message": f"{type(error).__name__}: {error}"}}))
        signal.alarm(0)
        told = {
            "number": number,
            "family": family_of(number),
            "code": code,
            "out": out.getvalue(),
            "seconds": time.monotonic() - started,
            "ran": mark.exists(),
            "left": sorted(p.name for p in work.iterdir() if p not in (path, output, mark)),
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        print(json.dumps(told), flush=True)
        for leftover in (path, output):
            leftover.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
