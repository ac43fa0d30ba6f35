"""A signal is noted and raised; one whose exception was lost is raised again, until it is forgotten."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from vctrain import ending
from vctrain.errors import Terminated


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    ending.forget()
    yield
    ending.forget()


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated), (signal.SIGUSR1, Terminated)],
)
def test_the_first_signal_counts_until_it_is_forgotten(number: signal.Signals, raised: type[BaseException]) -> None:
    ending.check_not_told()
    for told in (number, signal.SIGTERM, signal.SIGINT):
        with pytest.raises(KeyboardInterrupt) as caught:
            ending.tell(told)
        assert caught.type is raised
    with pytest.raises(KeyboardInterrupt) as caught:
        ending.check_not_told()
    assert caught.type is raised
    assert ending.forget() == number
    assert ending.forget() is None
    ending.check_not_told()
