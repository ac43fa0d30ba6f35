"""Damaged and hostile checkpoint files, each made from a number, so that any of them can be made again."""

from __future__ import annotations

import builtins
import copy
import functools
import importlib
import io
import operator
import os
import pickle
import random
import struct
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


class Calls:
    """Pickles as a call of a function, and perhaps a state set on what it returns."""

    def __init__(self, function: Any, *args: Any, state: Any = None) -> None:
        self.function, self.args, self.state = function, args, state

    def __call__(self) -> None:
        """Only that pickle takes what stands for a function for one."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (self.function, self.args) if self.state is None else (self.function, self.args, self.state)


@dataclass(frozen=True)
class Source:
    """An intact checkpoint to start from."""

    whole: bytes
    content: dict[str, Any]

    @property
    def entries(self) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(self.whole)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


Maker = Callable[[Source, random.Random, Path], bytes]
"""Makes a file from an intact one; the path is that of the file that appears if code runs."""


def saved(content: Any, protocol: int = 2) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, pickle_protocol=protocol)
    return buffer.getvalue()


def packed(entries: dict[str, bytes], **changes: Any) -> bytes:
    """An archive with right checksums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **changes) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def with_pickle(source: Source, program: bytes) -> bytes:
    """The archive with another program in it."""
    return packed({n: program if n.endswith("data.pkl") else data for n, data in source.entries.items()})


def bit_flips(source: Source, rng: random.Random, mark: Path) -> bytes:
    data = bytearray(source.whole)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def cut(source: Source, rng: random.Random, mark: Path) -> bytes:
    data = source.whole
    at = rng.randrange(len(data))
    kinds = [
        data[:at],
        data[at:],
        data + bytes(rng.randrange(1, 100)),
        data[:at] + bytes(min(50, len(data) - at)) + data[at + 50 :] + b"x",
        data[:at] + data[at + rng.randrange(1, 200) :],
        rng.randbytes(rng.randrange(2000)),
    ]
    return rng.choice(kinds)


def overwritten(source: Source, rng: random.Random, mark: Path) -> bytes:
    data = bytearray(source.whole)
    at, length = rng.randrange(len(data) - 64), rng.randrange(1, 64)
    new = rng.randbytes(length)
    data[at : at + length] = new if new != data[at : at + length] else bytes(b ^ 1 for b in new)
    return bytes(data)


def mutated_pickle(source: Source, rng: random.Random, mark: Path) -> bytes:
    name = next(name for name in source.entries if name.endswith("data.pkl"))
    program = bytearray(source.entries[name])
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(program))
        choice = rng.randrange(3)
        if choice == 0:
            program[at] = rng.randrange(256)
        elif choice == 1:
            del program[at]
        else:
            program.insert(at, rng.randrange(256))
    return with_pickle(source, bytes(program))


def mutated_numbers(source: Source, rng: random.Random, mark: Path) -> bytes:
    entries = source.entries
    name = rng.choice([name for name in entries if "/data/" in name and entries[name]])
    data = bytearray(entries[name])
    kind = rng.randrange(3)
    if kind == 0:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data = bytearray(rng.randbytes(len(data)))
    else:
        data = data[: rng.randrange(len(data))]
    return packed({**entries, name: bytes(data)})


def requests(mark: Path) -> list[Any]:
    """Objects that run something when they are unpickled the usual way."""
    touch = f"touch {mark}"
    code = f"open({str(mark)!r}, 'w').close()"
    inner = pickle.dumps(Calls(os.system, touch))
    return [
        Calls(os.system, touch),
        Calls(os.popen, touch),
        Calls(builtins.eval, code),
        Calls(builtins.exec, code),
        Calls(builtins.open, str(mark), "w"),
        Calls(subprocess.Popen, ["touch", str(mark)]),
        Calls(subprocess.run, ["touch", str(mark)]),
        Calls(os.mkdir, str(mark)),
        Calls(Path.touch, Calls(Path, str(mark))),
        Calls(builtins.getattr, Calls(importlib.import_module, "os"), "system"),
        Calls(functools.partial, os.system, touch),
        Calls(Calls(functools.partial, os.system, touch)),
        Calls(Calls(operator.methodcaller, "touch"), Path(mark)),
        Calls(builtins.map, os.system, [touch]),
        Calls(builtins.list, Calls(builtins.map, os.system, [touch])),
        Calls(pickle.loads, inner),
        Calls(torch.storage._load_from_bytes, inner),
        Calls(torch.load, str(mark)),
        Calls(torch.hub.load, "x", "y"),
        Calls(io.FileIO, str(mark), "w"),
        Calls(builtins.__import__, "antigravity"),
        Calls(builtins.type, "Evil", (), {}),
        Calls(random.seed, 1),
        Calls(dict, [(1, 2)], state={"x": Calls(os.system, touch)}),
        Calls(torch.nn.Linear, 3, 3, state={"x": Calls(os.system, touch)}),
    ]


def calls(source: Source, rng: random.Random, mark: Path) -> bytes:
    content = {**source.content, "hyper_parameters": dict(source.content["hyper_parameters"])}
    content["state_dict"] = dict(content["state_dict"])
    evil = rng.choice(requests(mark))
    place = rng.randrange(6)
    if place == 0:
        return saved(evil, rng.choice([2, 3, 4, 5]))
    if place == 1:
        content["hyper_parameters"]["model_class"] = evil
    elif place == 2:
        content["state_dict"]["model.readouts.0.bias"] = evil
    elif place == 3:
        content["optimizer_states"] = [{"state": {0: evil}, "param_groups": []}]
    elif place == 4:
        content["callbacks"] = {"x": [({"y": evil},)]}
    else:
        content["hyper_parameters"] = {"deep": [[[{"a": (1, evil)}]]]}
    return saved(content, rng.choice([2, 3, 4, 5]))


def raw_calls(source: Source, rng: random.Random, mark: Path) -> bytes:
    """Instructions that Python's own pickler does not write."""
    touch = f"touch {mark}".encode()
    text = b"X" + struct.pack("<I", len(touch)) + touch
    programs = [
        b"\x80\x02(" + text + b"ios\nsystem\n.",
        b"\x80\x02(cos\nsystem\n" + text + b"o.",
        b"\x80\x02csubprocess\nPopen\n)\x81.",
        b"\x80\x02cos\nsystem\n" + text + b"\x85R.",
        b"\x80\x02cposix\nsystem\n" + text + b"\x85R.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93" + text + b"\x85R.",
        b"\x80\x02ccopy_reg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR" + text + b"\x85R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}U\x0c__defaults__U\x01xs\x86b.",
        b"\x80\x02c__builtin__\ngetattr\nc__builtin__\n__import__\nU\x08__call__\x86R.",
        b"\x80\x02cvctrain.errors\nContractError\nU\x01x\x85R}U\x05hints" + text + b"b.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02P12\n.",
        b"\x80\x02cnumpy\ndtype\nU\x02O8\x85RU\x01x\x86R.",
        b"\x80\x02ctorch\nload\nU\x01x\x85R.",
        b"\x80\x02ctorch._C\n_cuda_init\n)R.",
        b"\x80\x02cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\nU\x02i8\x85RU\x01xtR.",
    ]
    return with_pickle(source, rng.choice(programs))


def many(rng: random.Random) -> int:
    return rng.choice([10_000, 100_000, 300_000])


def long_programs(source: Source, rng: random.Random, mark: Path) -> bytes:
    """Programs whose cost would grow faster than their length."""
    n, string = many(rng), b"X" + struct.pack("<I", 1_000_000) + b"a" * 1_000_000
    laughs = b"".join(b"(" + (b"h" + bytes([i])) * 9 + b"lq" + bytes([i + 1]) for i in range(rng.randrange(20, 200)))
    programs = [
        b"]" * n + b"a" * (n - 1) + b".",
        b")" + b"\x85" * n + b".",
        b"}" * n + b"Ns" * 3 + b".",
        b"\x80\x02" + b"(" * n + b"t" * n + b".",
        b"\x80\x02]q\x00" + laughs + b".",
        b"\x80\x02}K\x01\x85q\x00" + laughs.replace(b"l", b"t") + b"K\x01s.",
        b"\x80\x02(]q\x00h\x00ah\x00K\x01t.",
        b"\x80\x02]r\xff\xff\xff\xff.",
        b"\x80\x02]p99999999999999999999\n.",
        b"\x80\x04\x95" + struct.pack("<Q", rng.choice([1 << 40, (1 << 64) - 1])) + b"].",
        b"\x80\x04\x8e" + struct.pack("<Q", rng.choice([1 << 33, 1 << 62])) + b"abc.",
        b"\x80\x04\x8d" + struct.pack("<Q", 1 << 50) + b"abc.",
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"abc.",
        b"\x80\x02\x8b" + struct.pack("<i", 1_000_000) + b"\x7f" * 1_000_000 + b".",
        b"\x80\x02\x8b" + struct.pack("<i", -5) + b".",
        b"I" + b"9" * n + b"\n.",
        b"\x80\x02" + string + b"q\x00](" + b"c_codecs\nencode\nh\x00U\x06latin1\x86R" * 3000 + b"e.",
        b"\x80\x02](" + b"N" * 50_000 + b"eq\x000](" + b"cbuiltins\nset\nh\x00\x85R" * 1000 + b"e.",
        b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + (1 << 40).to_bytes(6, "little") + b"\x85R.",
        b"\x80\x02cbuiltins\nrange\n\x8a\x06" + (1 << 40).to_bytes(6, "little") + b"\x85R.",
        b"\x80\x02}("
        + b"".join(b"\x8a\x0b" + (k * ((1 << 61) - 1)).to_bytes(11, "little") + b"N" for k in range(n // 10))
        + b"u.",
        b"0" * n + b".",
        b"1" * 50 + b".",
        b"\x80\x02(" + b"2" * n + b".",
        b"\x80\x02" + b"N" * n + b".",
        b"",
        b".",
        rng.randbytes(rng.randrange(1, 3000)),
    ]
    return with_pickle(source, rng.choice(programs))


_REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def _int(value: int) -> bytes:
    data = value.to_bytes(20, "little", signed=True)
    return b"\x8a\x14" + data


def tensor_program(size: list[int], stride: list[int], offset: int, numel: int, kind: bytes, key: bytes) -> bytes:
    """A tensor of any shape over any storage."""
    identity = b"((U\x07storagectorch\n" + kind + b"\nU" + bytes([len(key)]) + key + b"U\x03cpu" + _int(numel) + b"tQ"
    shape = b"(" + b"".join(map(_int, size)) + b"t(" + b"".join(map(_int, stride)) + b"t"
    return _REBUILD + identity + _int(offset) + shape + b"\x89ccollections\nOrderedDict\n)RtR"


def tensors(source: Source, rng: random.Random, mark: Path) -> bytes:
    """Tensors that reach beyond what is stored, or claim to be endless."""
    held = len(source.entries[next(n for n in source.entries if n.endswith("/data/0"))]) // 4
    shapes = [
        ([1 << 60], [0], 0, held),
        ([1 << 31, 1 << 31], [0, 0], 0, held),
        ([held + 1], [1], 0, held),
        ([held], [1], 1, held),
        ([held], [1], -1, held),
        ([held], [-1], 0, held),
        ([-5], [1], 0, held),
        ([2, 2], [1 << 62, 1], 0, held),
        ([held], [1], 0, held * 2),
        ([held], [1], 0, 1 << 60),
        ([held], [1], 0, -1),
        ([1] * 1000, [1] * 1000, 0, held),
        ([1 << 90], [1 << 90], 0, held),
    ]
    size, stride, offset, numel = rng.choice(shapes)
    kind = rng.choice([b"FloatStorage", b"FloatStorage", b"DoubleStorage", b"OddStorage", b"UntypedStorage"])
    one = tensor_program(size, stride, offset, numel, kind, rng.choice([b"0", b"0", b"99", b"../data.pkl"]))
    return with_pickle(source, b"\x80\x02}U\nstate_dict}U\x15model.readouts.0.bias" + one + b"ss.")


def zips(source: Source, rng: random.Random, mark: Path) -> bytes:
    """Archives that claim, hide or repeat something."""
    entries = source.entries
    root = next(iter(entries)).partition("/")[0]
    kind = rng.randrange(9)
    if kind == 0:
        return packed(entries, compression=zipfile.ZIP_DEFLATED)
    if kind == 1:
        bomb = {f"{root}/data/0": bytes(30_000_000)}
        return packed({**entries, **bomb}, compression=zipfile.ZIP_DEFLATED, compresslevel=9)
    if kind == 2:
        return packed({**entries, **{f"{root}/data/x{i}": b"" for i in range(20_000)}}) + b"\0"
    whole = bytearray(packed(entries))
    end = whole.rfind(b"PK\x05\x06")
    if kind == 3:
        struct.pack_into("<HHII", whole, end + 8, 65535, 65535, 0xFFFFFFFE, 0)
    elif kind == 4:
        central = whole.find(b"PK\x01\x02")
        struct.pack_into("<II", whole, central + 20, 0x7FFFFFFF, 0x7FFFFFFF)
    elif kind == 5:
        # two entries over the same bytes
        first, second = whole.find(b"PK\x01\x02"), whole.rfind(b"PK\x01\x02")
        whole[second + 42 : second + 46] = whole[first + 42 : first + 46]
    elif kind == 6:
        return bytes(whole[:end]) + whole[end : end + 20] + struct.pack("<H", 4) + b"evil"
    elif kind == 7:
        return rng.randbytes(1000) + bytes(whole)
    else:
        evil = pickle.dumps(Calls(os.system, f"touch {mark}"), protocol=2)
        return packed({**entries, "second/data.pkl": evil})
    return bytes(whole)


def descriptions(source: Source, rng: random.Random, mark: Path) -> bytes:
    """A model description that asks for layers of absurd size, or for nonsense."""
    content = {**source.content, "hyper_parameters": copy.deepcopy(source.content["hyper_parameters"])}
    hyper = content["hyper_parameters"]
    model = hyper.get("model_config_dict") or hyper.get("model_config")
    huge = rng.choice([1 << 20, 1 << 31, 1 << 40, -1, 0, 65_000])
    spots: list[Callable[[], Any]] = [
        lambda: model["convnet"]["params"].update(channels=[huge] * len(model["convnet"]["params"]["channels"])),
        lambda: model["convnet"]["params"].update(channels=[3] * 20_000),
        lambda: model["recurrent"].update(params={"hidden_dim": huge}),
        lambda: model["recurrent"].update(params={"hidden_dim": 3, "n_layers": huge, "kernel_size": 3}),
        lambda: model["adapter"]["params"].update(grid_size=huge),
        lambda: model["adapter"]["params"].update(init_sigma=1e300),
        lambda: model["frontend"]["params"].update(kernel_size=huge),
        lambda: model["frontend"]["params"].update(num_channels=huge),
        lambda: model.update(initial_input_channels=huge),
        lambda: model.update(frontend={"type": "temporal_basis", "params": {"history_bins": 1e15}}),
        lambda: model.update(frontend={"type": "da", "params": {"filter_length": huge}}),
        lambda: model.update(modulator={"type": "concat", "params": {"behavior_dim": huge}}),
        lambda: model.update(convnet={"type": "x3d", "params": {"channels": [4], "depth": huge}}),
        lambda: model.update(output_activation="AdaptiveLogSoftmaxWithLoss"),
        lambda: model.update(readout={"type": "gaussian", "params": {"initial_std": "x"}}),
        lambda: model.clear(),
    ]
    rng.choice(spots)()
    return saved(content)


def old_format(source: Source, rng: random.Random, mark: Path) -> bytes:
    """What torch wrote before archives: damaged, or asking for something."""
    buffer = io.BytesIO()
    content: Any = source.content if rng.random() < 0.7 else {**source.content, "x": rng.choice(requests(mark))}
    hostile = content is not source.content
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    data = bytearray(buffer.getvalue())
    if hostile:
        return bytes(data)
    kind = rng.randrange(3)
    if kind == 0:
        return bytes(data[: rng.randrange(len(data))])
    if kind == 1:
        return bytes(data) + b"\0"
    # the pickles at the start have no checksum; what follows are numbers
    data[rng.randrange(40)] ^= 1 << rng.randrange(8)
    return bytes(data)


FAMILIES: dict[str, tuple[Maker, int]] = {
    "bit flips": (bit_flips, 520),
    "cut": (cut, 160),
    "overwritten": (overwritten, 160),
    "mutated pickle": (mutated_pickle, 260),
    "mutated numbers": (mutated_numbers, 100),
    "calls": (calls, 280),
    "raw calls": (raw_calls, 100),
    "long programs": (long_programs, 120),
    "tensors": (tensors, 100),
    "zips": (zips, 80),
    "descriptions": (descriptions, 60),
    "old format": (old_format, 60),
}
"""How each kind is made, and how many of 2,000 are of it."""
MAY_BE_HARMLESS = ("mutated pickle", "mutated numbers", "old format", "descriptions")
"""Kinds whose change may touch nothing that matters; then the rates must be right."""
TOTAL = sum(count for _, count in FAMILIES.values())


def family_of(number: int) -> str:
    """The kind of the file with this number, 0 to `TOTAL` - 1."""
    for name, (_, count) in FAMILIES.items():
        if number < count:
            return name
        number -= count
    raise IndexError(number)


def make(number: int, sources: list[Source], mark: Path) -> bytes:
    """The file with this number."""
    rng = random.Random(number)
    source = rng.choice(sources)
    return FAMILIES[family_of(number)][0](source, rng, mark)
