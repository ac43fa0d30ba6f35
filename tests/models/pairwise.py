"""Rows of choices in which every pair of choices of two factors occurs (a covering array of strength two)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

Row = dict[str, str]
Pair = frozenset[tuple[str, str]]


def pairs_of(row: Mapping[str, str]) -> Iterator[Pair]:
    """The pairs of choices that occur in ``row``."""
    return (frozenset(pair) for pair in combinations(row.items(), 2))


def all_pairs(factors: Mapping[str, Sequence[str]], allowed: Callable[[Mapping[str, str]], bool]) -> list[Pair]:
    """Every pair of choices that may occur together, in order."""
    return [
        frozenset(((first, a), (second, b)))
        for first, second in combinations(factors, 2)
        for a in factors[first]
        for b in factors[second]
        if allowed({first: a, second: b})
    ]


def covering_rows(factors: Mapping[str, Sequence[str]], allowed: Callable[[Mapping[str, str]], bool]) -> list[Row]:
    """Few rows that cover every allowed pair: each starts from a pair not yet covered, and takes of each other factor
    the choice that covers most (Cohen et al. 1997, without its random restarts).

    ``allowed`` judges rows and parts of rows. Raises ValueError where a row cannot be completed.
    """
    left = dict.fromkeys(all_pairs(factors, allowed))
    rows = []
    while left:
        row: Row = dict(sorted(next(iter(left))))
        for factor in sorted(factors, key=lambda name: -len(factors[name])):
            if factor in row:
                continue
            options = [choice for choice in factors[factor] if allowed({**row, factor: choice})]
            if not options:
                raise ValueError(f"no {factor} goes with {row}")
            at = len(rows) % len(options)
            turned = options[at:] + options[:at]  # ties go round, so that no choice is in most rows
            row[factor] = max(turned, key=lambda choice: _gain(left, row, factor, choice))
        rows.append(row)
        for pair in pairs_of(row):
            left.pop(pair, None)
    return rows


def _gain(left: Mapping[Pair, None], row: Mapping[str, str], factor: str, choice: str) -> int:
    return sum(frozenset((chosen, (factor, choice))) in left for chosen in row.items())
