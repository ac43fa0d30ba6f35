"""Can content that was read be walked through, by code that does not expect the worst?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vctrain.data.inert import Unreadable

MAX_DEPTH = 64
MAX_UNFOLDED = 4_000_000
"""Items met when everything is walked through, shared parts as often as they are shared."""


def check_shape(value: Any) -> None:
    """Unreadable for what nobody could walk through: nested too deep, holding itself, or endless when unfolded."""
    done: dict[int, tuple[int, int]] = {}
    open_now: set[int] = set()
    walk: list[tuple[Any, Iterator[Any]]] = [(value, _inside(value))]
    while walk:
        holder, inside = walk[-1]
        open_now.add(id(holder))
        for item in inside:
            if isinstance(item, dict | list | tuple | set | frozenset) and item and id(item) not in done:
                if id(item) in open_now or len(walk) >= MAX_DEPTH:
                    raise Unreadable(f"its content holds itself, or is nested more than {MAX_DEPTH} deep")
                walk.append((item, _inside(item)))
                break
        else:
            walk.pop()
            open_now.discard(id(holder))
            parts = [done.get(id(item), (1, 0)) for item in _inside(holder)]
            size = 1 + sum(part for part, _ in parts)
            depth = 1 + max((deep for _, deep in parts), default=0)
            if size > MAX_UNFOLDED or depth > MAX_DEPTH:
                raise Unreadable("its content is nested beyond what is read")
            done[id(holder)] = (size, depth)


def _inside(holder: Any) -> Iterator[Any]:
    if isinstance(holder, dict):
        return iter([*holder.keys(), *holder.values()])
    return iter(holder) if isinstance(holder, list | tuple | set | frozenset) else iter(())
