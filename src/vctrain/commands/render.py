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


def duration(seconds: float | None) -> str:
    """Seconds for people.

    >>> duration(31.24), duration(958.7), duration(7300.0), duration(None)
    ('31.2 s', '16.0 min', '2.03 h', '-')
    """
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.2f} h"
