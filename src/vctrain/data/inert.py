"""What stands for a foreign class, function or object of a pickle, and which calls of a pickle ask for code to run?

Nothing that a pickle names is imported or called. A name becomes a `Reference`, an object made from one an `Inert`
that holds only its name. A pickle that calls a function which no library uses to rebuild plain data has asked for
code to run, and is refused by name.
"""

from __future__ import annotations

# What numpy, pandas, pathlib, datetime and torch call to rebuild plain values (module, name).
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
_ACTIVE_NAMES = (
    "os posix nt ntpath posixpath subprocess builtins runpy importlib imp zipimport pkgutil pty socket socketserver "
    "shutil sys ctypes _ctypes multiprocessing threading _thread asyncio concurrent pickle _pickle cPickle marshal "
    "types code codeop timeit pdb bdb profile cProfile trace webbrowser operator _operator functools itertools io _io "
    "tempfile urllib http ftplib smtplib telnetlib requests sqlite3 shelve dbm zipfile tarfile logging signal pip "
    "distutils setuptools site inspect ast platform glob fileinput linecache atexit gc weakref resource fcntl "
    "mmap"
)
_ACTIVE = frozenset(_ACTIVE_NAMES.split())


class Unreadable(Exception):
    """A file that torch wrote, or a pickle, that is damaged, hostile or beyond what is read; says why."""


class AsksToRun(Unreadable):
    """A pickle calls something that would execute code; says what."""


class Inert:
    """Stands for a foreign object; holds only the name of what it stands for."""

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what

    def __repr__(self) -> str:
        return f"<{self.what}, not read>"


class Reference(Inert):
    """Stands for a class or function that a pickle names; never the class or function itself."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = _RENAMED.get(module, module), name
        label = f"{self.module}.{name}"[:200]
        # it will be shown on terminals
        super().__init__(label if label.isprintable() else ascii(label)[1:-1])

    @property
    def key(self) -> tuple[str, str]:
        """Module and name."""
        return self.module, self.name

    @property
    def is_active(self) -> bool:
        """Whether even an instance of it could do something."""
        return self.key not in _RECONSTRUCTORS and self.module.split(".")[0] in _ACTIVE


def asks_to_run(reference: Reference) -> bool:
    """Whether calling it is a request to run code rather than to rebuild a value.

    Known reconstructors are not; anything of an active package is; elsewhere a name that says it rebuilds is not, a
    capital letter names a class (whose instances can be left inert) and a small one a function.

    >>> asks_to_run(Reference("os", "system")), asks_to_run(Reference("pandas.core.frame", "DataFrame"))
    (True, False)
    """
    if reference.key in _RECONSTRUCTORS:
        return False
    if reference.is_active:
        return True
    if any(mark in reference.name for mark in _REBUILDING):
        return False
    return not reference.name.rpartition(".")[2].lstrip("_")[:1].isupper()
