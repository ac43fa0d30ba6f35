"""Which errors of vctrain may a function raise, as far as its source and that of what it calls by name tell?"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from vctrain import errors

ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}


def plain(thing: Any) -> Any:
    """The function below a method, property or decorator."""
    if isinstance(thing, classmethod | staticmethod):
        return thing.__func__
    if isinstance(thing, property):
        return thing.fget
    if isinstance(thing, functools.cached_property):
        return thing.func
    return inspect.unwrap(thing) if callable(thing) else thing


def raises_of(tree: ast.AST) -> set[str]:
    """The errors of vctrain in the ``raise`` statements of ``tree``."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            named = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            found |= {named.id} & ERRORS if isinstance(named, ast.Name) else set()
    return found


def raised_by(function: Callable[..., Any], owner: type | None = None) -> set[str]:
    """Errors of ``function`` and of every function of vctrain that it reaches by name, ``self.name`` or class.

    Methods of other objects are not followed, so the answer may lack some; what is caught on the way is counted.
    """
    found: set[str] = set()
    seen: set[Any] = set()
    ahead: list[tuple[Any, type | None]] = [(function, owner)]
    while ahead:
        thing, owner = ahead.pop()
        thing = plain(thing)
        if not inspect.isfunction(thing) or thing in seen or not thing.__module__.startswith("vctrain"):
            continue
        seen.add(thing)
        if thing.__code__.co_filename == "<string>":  # written by dataclasses
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
        found |= raises_of(tree)
        ahead += _reached(tree, thing.__globals__, owner)
    return found


def _reached(tree: ast.AST, names: dict[str, Any], owner: type | None) -> Iterator[tuple[Any, type | None]]:
    for node in ast.walk(tree):
        target, where = _resolved(node, names, owner)
        if inspect.isclass(target) and target.__module__.startswith("vctrain"):
            yield from ((vars(target)[name], target) for name in ("__init__", "__post_init__") if name in vars(target))
        else:
            yield target, where


def _resolved(node: ast.AST, names: dict[str, Any], owner: type | None) -> tuple[Any, type | None]:
    """What a name stands for, and the class that a method belongs to."""
    if isinstance(node, ast.Name):
        return names.get(node.id), None
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.value.id in ("self", "cls") and owner is not None:
            return inspect.getattr_static(owner, node.attr, None), owner
        base = names.get(node.value.id)
        if inspect.isclass(base):
            return inspect.getattr_static(base, node.attr, None), base
        if inspect.ismodule(base):
            return getattr(base, node.attr, None), None
    return None, None
