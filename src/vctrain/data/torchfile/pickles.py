"""What does a pickle say, carried out one instruction at a time without calling anything it names?

Containers, numbers, strings and tensors are built; what a pickle calls is looked up in a table of builders
(`vctrain.data.torchfile.builders`), and every other name stays a `Reference`. What an instruction may cost is counted,
so that neither time nor memory grow faster than the file.
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from torch import Tensor

from vctrain.data.inert import AsksToRun, Inert, Reference, Unreadable, asks_to_run
from vctrain.data.torchfile.nesting import check_shape

MAX_PICKLE_BYTES = 1 << 26
MAX_WORK = 2_000_000
"""Instructions, and items copied by them."""
MAX_COPIED_BYTES = 1 << 28
_LONGEST_KEY = 4096
_MOST_TUPLE_KEYS = 1000
_LARGEST_INT_KEY = 1 << 60
_LARGEST_INT_BITS = 2048

_PUSHED_NAMES = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 "
    "BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 FLOAT BINFLOAT"
)
_PUSHED = frozenset(_PUSHED_NAMES.split())
"""Instructions whose argument is the value."""
_CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NOTHING_TO_DO = ("PROTO", "FRAME")
_STORED = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_FETCHED = ("GET", "BINGET", "LONG_BINGET")
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

Builder = Callable[["Machine", tuple[Any, ...]], Any]
"""Makes what a call with these arguments stands for."""
StateTaker = Callable[["Machine", Any, Any], None]
"""Gives an object that a builder made its state."""


class Fields(dict[Any, Any]):
    """The attributes of a namespace, or the items of a dictionary-like object."""


class Machine:
    """Carries out one pickle; ``storage`` answers its persistent ids, ``builders`` what it may call, and
    ``states``, by type, take the state of what those made.

    ``named`` collects the names of what was left unread. Raises Unreadable, or AsksToRun with what is asked for.
    """

    def __init__(
        self,
        builders: Mapping[tuple[str, str], Builder],
        states: Mapping[type, StateTaker],
        storage: Callable[[tuple[Any, ...]], Any],
    ) -> None:
        self.builders, self.states, self.storage = builders, states, storage
        self.named: dict[str, None] = {}
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._work, self._copied, self._tuple_keys = 0, 0, 0

    def run(self, stream: BinaryIO) -> Any:
        """The value of the pickle at the stream's position, which ends up behind it."""
        at = 0
        try:
            for instruction, argument, position in pickletools.genops(stream):
                at = position or 0
                self.spend(1)
                if instruction.name == "STOP":
                    break
                self._step(instruction.name, argument)
            value = self._stack.pop()
        except Unreadable:
            raise
        # what damaged instructions and arguments make pickletools and the steps below raise
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, AssertionError) as error:
            raise Unreadable(f"damaged at byte {at} of its pickle") from error
        check_shape(value)
        return value

    def spend(self, items: int, copied: int = 0) -> None:
        """Count instructions or copied items, and copied bytes; Unreadable when there are too many."""
        self._work += items
        self._copied += copied
        if self._work > MAX_WORK or self._copied > MAX_COPIED_BYTES:
            raise Unreadable("its pickle takes more work than any that torch writes")

    def _step(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _PUSHED:
            if isinstance(argument, int) and argument.bit_length() > _LARGEST_INT_BITS:
                raise Unreadable("its pickle holds a number of thousands of digits")
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _STORED:
            self._memo[len(self._memo) if argument is None else argument] = stack[-1]
        elif name in _FETCHED:
            stack.append(self._memo[argument])
        elif name in _TUPLES:
            self._append_tuple(_TUPLES[name])
        elif name not in _NOTHING_TO_DO:
            step = _STEPS.get(name)
            if step is None:
                raise Unreadable(f"its pickle has the instruction {name}, which torch does not write")
            step(self, argument)

    def _append_tuple(self, length: int) -> None:
        items = tuple(self._stack[len(self._stack) - length :])
        if len(items) != length:
            raise IndexError
        del self._stack[-length:]
        self._stack.append(items)

    def _marked(self) -> list[Any]:
        """What was pushed since the last mark, taken off."""
        start = self._marks.pop()
        items = self._stack[start:]
        if start > len(self._stack):
            raise IndexError
        del self._stack[start:]
        return items

    def _mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def _pop(self, _: Any) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._stack.pop()

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        self.spend(len(items))
        if type(target) is list:
            target.extend(items)
        elif type(target) is set:
            target.update(self.key(item) for item in items)
        elif not isinstance(target, Inert):
            raise TypeError

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        self.spend(len(items))
        if isinstance(target, dict):
            if len(items) % 2:
                raise IndexError
            target.update((self.key(key), value) for key, value in zip(items[::2], items[1::2], strict=True))
        elif not isinstance(target, Inert):
            raise TypeError

    def key(self, value: Any) -> Any:
        """``value`` if it can be a key; long, nested and colliding ones could take for ever to look up."""
        if isinstance(value, bool | float | Inert) or value is None:
            return value
        if isinstance(value, int) and abs(value) < _LARGEST_INT_KEY:
            return value
        if isinstance(value, str | bytes) and len(value) <= _LONGEST_KEY:
            return value
        if isinstance(value, tuple) and len(value) < 16 and self._tuple_keys < _MOST_TUPLE_KEYS:
            self._tuple_keys += 1
            return tuple(self.key(part) if not isinstance(part, tuple) else self._no_key(part) for part in value)
        return self._no_key(value)

    def _no_key(self, value: Any) -> Any:
        raise Unreadable(f"its pickle has a {type(value).__name__} as a key that is beyond what is read")

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(Reference(module, name))

    def _stack_global(self, _: Any) -> None:
        module, name = self._stack[-2:]
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError
        del self._stack[-2:]
        self._stack.append(Reference(module, name))

    def _persistent(self, _: Any) -> None:
        identity = self._stack.pop()
        if not isinstance(identity, tuple):
            raise TypeError
        self._stack.append(self.storage(identity))

    def _reduce(self, _: Any) -> None:
        arguments = self._stack.pop()
        self._stack.append(self.call(self._stack.pop(), arguments))

    def call(self, function: Any, arguments: Any) -> Any:
        """What ``function(*arguments)`` stands for: built by the table, inert, or refused."""
        if not isinstance(arguments, tuple):
            raise TypeError
        if not isinstance(function, Reference):
            # An object that is called was left inert, and so is what it would return; only classes are called else.
            if isinstance(function, Inert):
                return Inert(function.what)
            raise TypeError
        builder = self.builders.get(function.key)
        if builder is not None:
            return builder(self, arguments)
        if asks_to_run(function):
            raise AsksToRun(function.what)
        rebuilt = arguments[0] if arguments and "econstruct" in function.name else None
        return self.left(rebuilt if isinstance(rebuilt, Reference) else function)

    def _new(self, kind: Any, arguments: Any) -> None:
        if not isinstance(kind, Reference):
            raise TypeError
        if kind.is_active:
            raise AsksToRun(kind.what)
        builder = self.builders.get(kind.key)
        self._stack.append(self.left(kind) if builder is None else builder(self, arguments))

    def left(self, reference: Reference) -> Inert:
        """A stand-in for an object of a class that is not read, noted under its name."""
        self.named[reference.what] = None
        return Inert(reference.what)

    def _newobj(self, _: Any) -> None:
        arguments = self._stack.pop()
        self._new(self._stack.pop(), arguments)

    def _newobj_ex(self, _: Any) -> None:
        self._stack.pop()
        self._newobj(None)

    def _inst(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(self.call(Reference(module, name), tuple(self._marked())))

    def _obj(self, _: Any) -> None:
        function, *arguments = self._marked()
        self._stack.append(self.call(function, tuple(arguments)))

    def _build(self, _: Any) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, Reference):
            raise AsksToRun(f"a change of {target.what}")
        taker = self.states.get(type(target))
        if taker is not None:
            taker(self, target, state)
        # attributes of inert objects, ordered dictionaries and tensors are of no use; other things have none
        elif not isinstance(target, Inert | OrderedDict | Tensor):
            raise TypeError


def _append(machine: Machine, _: Any) -> None:
    item = machine._stack.pop()
    machine._extend([item])


def _setitem(machine: Machine, _: Any) -> None:
    items = machine._stack[-2:]
    del machine._stack[-2:]
    machine._set(items)


def _dict(machine: Machine, _: Any) -> None:
    items = machine._marked()
    machine._stack.append({})
    machine._set(items)


def _frozenset(machine: Machine, _: Any) -> None:
    items = machine._marked()
    machine._stack.append(frozenset(machine.key(item) for item in items))


_STEPS: Mapping[str, Callable[[Machine, Any], None]] = {
    "MARK": Machine._mark,
    "POP": Machine._pop,
    "POP_MARK": lambda machine, _: machine._marked().clear(),
    "DUP": lambda machine, _: machine._stack.append(machine._stack[-1]),
    "EMPTY_LIST": lambda machine, _: machine._stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine._stack.append(()),
    "EMPTY_DICT": lambda machine, _: machine._stack.append({}),
    "EMPTY_SET": lambda machine, _: machine._stack.append(set()),
    "LIST": lambda machine, _: machine._stack.append(machine._marked()),
    "TUPLE": lambda machine, _: machine._stack.append(tuple(machine._marked())),
    "DICT": _dict,
    "FROZENSET": _frozenset,
    "APPEND": _append,
    "APPENDS": lambda machine, _: machine._extend(machine._marked()),
    "ADDITEMS": lambda machine, _: machine._extend(machine._marked()),
    "SETITEM": _setitem,
    "SETITEMS": lambda machine, _: machine._set(machine._marked()),
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    "INST": Machine._inst,
    "OBJ": Machine._obj,
    "REDUCE": Machine._reduce,
    "NEWOBJ": Machine._newobj,
    "NEWOBJ_EX": Machine._newobj_ex,
    "BUILD": Machine._build,
    "BINPERSID": Machine._persistent,
}
