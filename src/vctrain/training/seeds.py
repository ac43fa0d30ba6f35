"""Which random numbers does a training step use? A pure function of seed, step and rank, so nothing need be stored."""

from __future__ import annotations

from hashlib import blake2b


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of torch's generators (dropout) for batch ``step`` on process ``rank``, below 2^63.

    >>> step_seed(0, 1, 0) == step_seed(0, 1, 0), step_seed(0, 1, 0) == step_seed(0, 1, 1)
    (True, False)
    """
    return int.from_bytes(blake2b(f"{seed}/{step}/{rank}".encode(), digest_size=8).digest(), "big") >> 1
