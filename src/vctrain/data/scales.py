"""What are the values of a behaviour signal divided by?"""

from __future__ import annotations

from vctrain.data.session import Session
from vctrain.data.signals import Pipeline
from vctrain.errors import ContractError

_FRAMES, _PIECES = 1 << 10, 1 << 7


def fit_scales(session: Session, pipeline: Pipeline) -> None:
    """Sets the maxima of `pipeline` on valid training frames whose inputs are all valid; reads in chunks.

    Raises ContractError for a signal that is 0 on all of them.
    """
    for position, op in enumerate(pipeline.ops):
        if op.op != "maxnorm":
            continue
        left, right = pipeline.halo_before(position)
        largest = 0.0
        # A frame that is seen twice does not change the largest; pieces of one length need no mask.
        for length, starts in session.usable("train").trimmed(left, right).cover(_FRAMES):
            for first in range(0, len(starts), _PIECES):
                low = starts[first : first + _PIECES] - left
                reach = left + length + right
                window = session.windows(low, low, low + reach, reach, pipeline.source)
                values = pipeline.apply(window, upto=position)[:, left : left + length]
                largest = max(largest, float(values.abs().max()))
        if largest == 0.0:
            raise ContractError(
                f"session {session.name}: {pipeline.source} never changes on training frames, so maxnorm has no scale",
                hint="drop the behaviour of this session, or correct the covariate",
            )
        pipeline.maxima[position] = largest
