"""Do all public names say what they are: shapes, units and errors of the Python API, sources of formulas?"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from raised_errors import plain, raised_by, raises_of

import vctrain
from vctrain import api

_METHOD = (property, classmethod, staticmethod, functools.cached_property)
CITED = re.compile(r"\b[A-Z][\w-]+(?:'s)?(?: et al\.)?(?:,? (?:and|&) [A-Z]\w+)*,? \(?(?:18|19|20)\d\d\b|Source: \S")
"""``(Efron and Tibshirani 1993)``, ``Kish's (1965)``, or a line that begins with its source."""
SHAPE = re.compile(r"\((?:F|n)\b(?:, (?:\w+|\.\.\.))*,?\)")
UNIT = re.compile(
    r"spikes a bin|seconds|degrees|grey|whole numbers|of 0 or 1|number of|above 0 where|in units of|in the units"
)
ARRAYS = re.compile(r"ArrayLike|Tensor|NDArray|Numbers|SpikeTimes")
PLAIN = {
    "metrics.bps": "poisson_sums PoissonSums.zeros PoissonSums.of PoissonSums.stacked PoissonSums.from_stacked "
    "mean_over_units overall",
    "metrics.ceilings": "NormalisedCorrelation.cc_norm",
    "metrics.masked": "groups centred covariance variance ratio",
    "metrics.poisson": "difference mean_known",
    "metrics.psth_oracle": "oracle_sums",
    "metrics.reliability": "products_of_repeats",
    "metrics.repeats": "Repeats.of Repeats.repeats_per_bin Repeats.psth Repeats.mean Repeats.variance Repeats.used "
    "Repeats.predicted Arrangement.place Arrangement.repeats arrange",
    "stats.bootstrap": "mean_of",
}
"""Sums, means, sample moments and rearrangements: what they compute is their first line, and nobody's result."""


def modules() -> list[ModuleType]:
    """All of vctrain but what runs when it is imported."""
    names = [found.name for found in pkgutil.walk_packages(vctrain.__path__, "vctrain.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def defined(module: ModuleType) -> Iterator[tuple[str, Any, type | None]]:
    """Public functions, classes and methods that ``module`` defines, by qualified name, with the class of a method."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(thing) or inspect.isfunction(thing):
            yield name, thing, None
        for inner, method in vars(thing).items() if inspect.isclass(thing) else ():
            if not inner.startswith("_") and (inspect.isfunction(method) or isinstance(method, _METHOD)):
                yield f"{name}.{inner}", method, thing


def said_of(name: str, thing: Any, owner: type | None) -> str:
    """Its docstring; that of what it overrides where it has none. A signature that dataclasses write does not count."""
    if owner is not None:
        inner = name.rpartition(".")[2]
        documented = (plain(vars(kind)[inner]).__doc__ for kind in owner.__mro__ if inner in vars(kind))
        return next((text for text in documented if text), "")
    text = thing.__doc__ or ""
    return "" if text.startswith(f"{name}(") else text


def promised() -> list[tuple[str, Any, type | None]]:
    """Functions and methods that may be called from Python, with the class of a method."""
    found: list[tuple[str, Any, type | None]] = []
    for name in api.__all__:
        thing = getattr(api, name)
        if inspect.isfunction(thing):
            found.append((name, thing, None))
        else:
            methods = ((inner, method) for inner, method in vars(thing).items() if inspect.isfunction(plain(method)))
            found += [(f"{name}.{inner}", method, thing) for inner, method in methods if not inner.startswith("_")]
    return found


def entries(text: str) -> dict[str, str]:
    """What a docstring says under ``Args:`` of each argument.

    >>> entries("Do it.\\n\\nArgs:\\n    a: one\\n        thing.\\n    b: two.\\n\\nRaises nothing.")
    {'a': 'one thing.', 'b': 'two.'}
    """
    section = re.search(r"^Args:\n((?: +.*\n?)+)", inspect.cleandoc(text), re.MULTILINE)
    parts = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section[1] if section else "", re.MULTILINE)
    return {name: re.sub(r"\s+", " ", said) for name, said in parts}


def test_every_public_name_says_what_it_is() -> None:
    silent = [module.__name__ for module in modules() if not (module.__doc__ or "").strip()]
    for module in modules():
        silent += [f"{module.__name__}.{name}" for name, *rest in defined(module) if not said_of(name, *rest).strip()]
    assert silent == []


def test_all_names_of_the_package_are_reached_and_documented() -> None:
    assert set(vctrain.__all__) == {*api.__all__, "__version__"}
    for name in api.__all__:
        thing = getattr(vctrain, name)
        assert thing is getattr(api, name)
        assert said_of(name, thing, None), name


@pytest.mark.parametrize(("name", "thing", "owner"), promised(), ids=[name for name, *_ in promised()])
def test_the_python_api_says_shapes_units_and_errors(name: str, thing: Any, owner: type | None) -> None:
    text = said_of(name, thing, owner)
    arrays = {
        parameter.name
        for parameter in inspect.signature(plain(thing)).parameters.values()
        if ARRAYS.search(str(parameter.annotation))
    }
    said = entries(text)
    assert arrays <= set(said), f"{name} says nothing under Args: of {arrays - set(said)}"
    for argument in arrays:
        assert SHAPE.search(said[argument]), f"{name} says no shape of {argument}: {said[argument]}"
        assert UNIT.search(said[argument]), f"{name} says no unit of {argument}: {said[argument]}"
    missing = {error for error in raised_by(thing, owner) if not re.search(rf"\b{error}\b", text)}
    assert not missing, f"{name} may raise {missing}"


def test_errors_are_found_in_what_a_function_calls() -> None:
    assert raised_by(api.save_session) >= {"UsageError", "ContractError", "FaultError"}
    assert raised_by(api.LoadedTwin.predict, api.LoadedTwin) == {"UsageError", "ContractError", "NumericsError"}
    assert raised_by(api.LoadedTwin.to, api.LoadedTwin) == set()


def test_functions_name_the_errors_that_they_raise_themselves() -> None:
    """Those of commands do not: their docstrings are what ``--help`` prints."""
    silent = []
    for module in modules():
        for name, thing, owner in defined(module):
            if inspect.isclass(thing) or module.__name__.startswith("vctrain.commands."):
                continue
            raised = raises_of(ast.parse(textwrap.dedent(inspect.getsource(plain(thing)))))
            missing = {error for error in raised if error not in said_of(name, thing, owner)}
            silent += [f"{module.__name__}.{name} raises {error}" for error in sorted(missing)]
    assert silent == []


def test_formulas_name_their_source() -> None:
    cited, plainly = set(), {f"{place}.{name}" for place, names in PLAIN.items() for name in names.split()}
    found = set()
    for module in modules():
        place = module.__name__.removeprefix("vctrain.")
        if place.partition(".")[0] not in ("metrics", "stats"):
            continue
        for name, thing, owner in defined(module):
            if not inspect.isclass(thing):
                found.add(f"{place}.{name}")
                cited |= {f"{place}.{name}"} if CITED.search(" ".join(said_of(name, thing, owner).split())) else set()
    assert found - cited - plainly == set(), "cite a source, (Author Year) or Source:, or list it in PLAIN"
    assert plainly - found == set(), "PLAIN lists what is not there"
    assert plainly & cited == set(), "PLAIN lists what cites a source"
    assert len(cited) > 20


@pytest.mark.parametrize(
    ("text", "is_cited"),
    [
        ("its ceiling (Schoppe et al. 2016)", True),
        ("Kish's (1965, Survey Sampling) number", True),
        ("that of Efron and Tibshirani (1993, 12.5)", True),
        ("Ringach, Shapley and Hawken 2002", True),
        ("Sahani & Linden (2003)", True),
        ("Source: docs/evaluation.md", True),
        ("the mean of 2000 replicates", False),
        ("in 2016", False),
    ],
)
def test_what_counts_as_a_source(text: str, is_cited: bool) -> None:
    assert bool(CITED.search(text)) is is_cited
