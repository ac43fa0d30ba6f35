"""What an offline run of Weights & Biases holds on the disk, read as its own format."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def records(run: Path) -> Iterator[Any]:
    """What the files of an offline run hold: a log of protocol buffers in blocks of 32 KiB, as LevelDB writes them."""
    from wandb.proto import wandb_internal_pb2

    for path in sorted((run / "wandb").glob("offline-run-*/run-*.wandb")):
        data, place, record = path.read_bytes(), 7, b""
        while place + 7 <= len(data):
            if (left := 32768 - place % 32768) < 7:
                place += left
                continue
            _, size, kind = struct.unpack("<IHB", data[place : place + 7])
            record += data[place + 7 : place + 7 + size]
            place += 7 + size
            if kind in (1, 4):
                read = wandb_internal_pb2.Record()
                read.ParseFromString(record)
                record = b""
                yield read


def rows_of(run: Path) -> list[dict[str, Any]]:
    """The rows of history, in order."""
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records(run)
        if record.WhichOneof("record_type") == "history"
    ]


def history(run: Path) -> dict[int, dict[str, Any]]:
    """The figures by step."""
    found: dict[int, dict[str, Any]] = {}
    for row in rows_of(run):
        found.setdefault(row["step"], {}).update(row)
    return found


def media(run: Path, key: str) -> list[tuple[int, bytes]]:
    """Steps and contents of what is shown under ``key``: images, or pages."""
    found = []
    for row in rows_of(run):
        if f"{key}/path" in row:
            (file,) = (run / "wandb").glob(f"offline-run-*/files/{row[f'{key}/path']}")
            found.append((row["step"], file.read_bytes()))
    return found
