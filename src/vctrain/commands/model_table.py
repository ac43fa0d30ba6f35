"""How are the components of a twin shown to people?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vctrain import console


def show_model(facts: Mapping[str, Any]) -> None:
    """A table of components, and lines on the receptive field and the cost, from `model_facts`."""
    rows = [
        [
            component["part"],
            component["type"],
            _or_dash(component["channels"]),
            _sides(component["size"]),
            f"{component['parameters']:,}",
            operations(component["flops"]),
        ]
        for component in facts["components"]
    ]
    columns = ["component", "type", "channels", "map", "parameters", "FLOPs a frame"]
    console.table(
        "components (adapter and readout of the first session; channels of a readout are units)", columns, rows
    )
    field, flops = facts["receptive_field"], facts["flops"]
    if field is None:
        console.result("receptive field  none: it reads no stimulus, or nothing of it reaches the features")
    else:
        of, support = _sides(field["of"]), _sides(field["support"])
        box = f"{_sides(field['pixels'])} pixels of {of} hold 99 % of it, its support is {support}"
        console.result(f"receptive field  {box}; {field['frames']} frames")
    console.result(
        f"cost             {operations(flops['frame'])}FLOP a scored frame, {operations(flops['start'])}FLOP a clip"
    )


def operations(count: int) -> str:
    """A number of operations for people.

    >>> operations(0), operations(1_234_567), operations(98_700_000_000)
    ('0 ', '1.23 M', '98.7 G')
    """
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return f"{count} "


def _sides(size: list[int] | None) -> str:
    return "-" if size is None else "x".join(map(str, size))


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)
