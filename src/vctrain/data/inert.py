"""How is a pickle read whose metadata holds foreign objects, without running anything that it names?

Only the functions that put tensors together exist here; every other global becomes a class made on the spot whose
instances hold nothing. Nothing is imported, so nothing foreign can run. A pickle that calls a function which no
library uses to rebuild plain data has asked for code to run, and is refused by name.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch._utils import _rebuild_tensor_v2

# What numpy, pandas, pathlib, datetime and torch call to rebuild plain values (module, name); all become inert.
_RECONSTRUCTORS = {
    ("_codecs", "encode"),
    ("copyreg", "_reconstructor"),
    ("copyreg", "__newobj__"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("pandas.core.indexes.base", "_new_Index"),
    ("datetime", "datetime"),
    ("datetime", "date"),
    ("datetime", "time"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
    ("collections", "deque"),
    ("collections", "defaultdict"),
    ("torch", "device"),
    ("torch", "dtype"),
    ("torch.serialization", "_get_layout"),
    ("types", "SimpleNamespace"),
    ("types", "MappingProxyType"),
}
_RECONSTRUCTORS |= {
    (module, name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
    for name in ("_reconstruct", "scalar", "_frombuffer")
}
_RECONSTRUCTORS |= {
    (module, name)
    for module, names in {
        "builtins": "set frozenset list tuple dict slice range complex bytearray bytes str int float bool object",
        "torch": "Size",
    }.items()
    for name in names.split()
}
# Names that protocol 2, which torch writes, still spells as Python 2 did.
_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg", "commands": "subprocess"}
_REBUILDING = ("unpickle", "reconstruct", "_rebuild_", "_ctor")
# Packages whose very classes exist to run, load or open something: naming them as a callable is a request.
_ACTIVE = frozenset(
    (
        *(
            "os",
            "posix",
            "nt",
            "ntpath",
            "posixpath",
            "subprocess",
            "builtins",
            "runpy",
            "importlib",
            "imp",
            "zipimport",
        ),
        *(
            "pkgutil",
            "pty",
            "socket",
            "socketserver",
            "shutil",
            "sys",
            "ctypes",
            "_ctypes",
            "multiprocessing",
            "threading",
        ),
        *("_thread", "asyncio", "concurrent", "pickle", "_pickle", "cPickle", "marshal", "types", "code", "codeop"),
        *("timeit", "pdb", "bdb", "profile", "cProfile", "trace", "webbrowser", "operator", "_operator", "functools"),
        *(
            "itertools",
            "io",
            "_io",
            "tempfile",
            "urllib",
            "http",
            "ftplib",
            "smtplib",
            "telnetlib",
            "requests",
            "sqlite3",
        ),
        *(
            "shelve",
            "dbm",
            "zipfile",
            "tarfile",
            "logging",
            "signal",
            "pip",
            "distutils",
            "setuptools",
            "site",
            "inspect",
        ),
        *("ast", "platform", "glob", "fileinput", "linecache", "atexit", "gc", "weakref", "resource", "fcntl", "mmap"),
    )
)


class AsksToRun(pickle.UnpicklingError):
    """A pickle calls something that would execute code."""


def asks_to_run(module: str, name: str) -> bool:
    """Whether calling ``module.name`` is a request to run code rather than to rebuild a value.

    Known reconstructors are not; anything of an active package is; elsewhere a name that says it rebuilds is not, a
    capital letter names a class (whose instances can be left inert) and a small one a function.
    """
    if (module, name) in _RECONSTRUCTORS:
        return False
    if module.split(".")[0] in _ACTIVE:
        return True
    if any(mark in name for mark in _REBUILDING):
        return False
    return not name.rpartition(".")[2].lstrip("_")[:1].isupper()


class _InertType(type):
    """The class of made-up classes: calling one is judged by its name, and never does anything."""

    label: str
    runs: bool
    active: bool

    def __call__(cls, *args: object, **kwargs: object) -> Any:
        if cls.runs:
            raise AsksToRun(cls.label)
        made: Any = cls.__new__(cls)  # type: ignore[call-overload]
        if args and isinstance(args[0], _InertType) and "econstruct" in cls.label:
            object.__setattr__(made, "what", args[0].label)
        return made


class Inert(metaclass=_InertType):
    """Stands for a foreign object; holds only the name of what it stands for."""

    label = ""
    runs = False
    active = False
    __slots__ = ("what",)
    what: str

    def __new__(cls, *args: object, **kwargs: object) -> Inert:
        if cls.active:
            raise AsksToRun(cls.label)
        made = object.__new__(cls)
        object.__setattr__(made, "what", cls.label)
        return made

    def __setstate__(self, state: object) -> None:
        """State is dropped."""

    def __setattr__(self, name: str, value: object) -> None:
        """Attributes are dropped."""

    def __setitem__(self, key: object, value: object) -> None:
        """Items are dropped."""

    def append(self, value: object) -> None:
        """Items are dropped."""

    def extend(self, values: object) -> None:
        """Items are dropped."""

    def add(self, value: object) -> None:
        """Items are dropped."""

    def __repr__(self) -> str:
        return f"<{self.what}, not read>"


class _Rebuild:
    """A tensor function as a callable without attributes, so that a pickle cannot alter the function itself."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setattr__(self, name: str, value: object) -> None:
        raise AsksToRun(f"a change of {self._function.__name__}")

    def __setstate__(self, state: object) -> None:
        raise AsksToRun(f"a change of {self._function.__name__}")


def _rebuild_tensor(*args: Any) -> torch.Tensor:
    # hooks are the one argument through which a tensor could carry a callable
    storage, offset, size, stride, _requires_grad, *_hooks = args
    tensor: torch.Tensor = _rebuild_tensor_v2(storage, offset, size, stride, False, OrderedDict())
    return tensor


def _rebuild_parameter(data: torch.Tensor, *_rest: Any) -> torch.Tensor:
    return data


_ALLOWED: dict[tuple[str, str], Callable[[], Any]] = {
    ("collections", "OrderedDict"): lambda: OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): lambda: _Rebuild(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): lambda: _Rebuild(_rebuild_parameter),
}


class InertPickle:
    """A stand-in for the pickle module in ``torch.load``; `foreign` lists what was left unread.

    torch subclasses ``Unpickler`` to attach the mapped storages, and asks nothing else of the module.
    """

    def __init__(self) -> None:
        self.foreign: dict[str, _InertType] = {}
        foreign = self.foreign

        class Unpickler(pickle.Unpickler):
            def find_class(self, module: str, name: str) -> Any:
                module = _RENAMED.get(module, module)
                if (module, name) in _ALLOWED:
                    return _ALLOWED[module, name]()
                label = f"{module}.{name}"
                if label not in foreign:
                    known = (module, name) in _RECONSTRUCTORS
                    foreign[label] = _InertType(
                        "Foreign",
                        (Inert,),
                        {
                            "__slots__": (),
                            "label": label,
                            "runs": asks_to_run(module, name),
                            "active": not known and module.split(".")[0] in _ACTIVE,
                        },
                    )
                return foreign[label]

        self.Unpickler = Unpickler
        self.__name__ = "vctrain.data.inert"
