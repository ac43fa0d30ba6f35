"""How are figures written for people?"""

from __future__ import annotations


def figure(value: float | None) -> str:
    """Bits per spike with four decimals; a figure that is not defined is a dash.

    >>> figure(0.51234), figure(None)
    ('0.5123', '-')
    """
    return "-" if value is None else f"{value:.4f}"


def share(value: float | None) -> str:
    """A fraction in per cent.

    >>> share(0.8123)
    '81.2 %'
    """
    return "-" if value is None else f"{value:.1%}".replace("%", " %")
