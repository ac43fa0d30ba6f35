"""Where in a run is step s, in the counters of Lightning's loops?

Lightning's own counters depend on the hook in which a checkpoint was written, and after an epoch's last step it would
go on without the validation. A run's place is its optimizer step alone; the counters follow from it.
"""

from __future__ import annotations

from typing import Any


def loops_at(step: int, steps_per_epoch: int, accumulate: int = 1) -> dict[str, Any]:
    """The state of Lightning's fit loop after optimizer step ``step``, in its epoch or at the end of one.

    >>> state = loops_at(7, steps_per_epoch=3)
    >>> state["epoch_progress"]["current"]
    {'ready': 3, 'completed': 2, 'started': 3, 'processed': 2}
    >>> state["epoch_loop.batch_progress"]["current"]["completed"]
    1
    >>> loops_at(6, steps_per_epoch=3)["epoch_progress"]["current"]
    {'ready': 2, 'completed': 2, 'started': 2, 'processed': 2}
    """
    epochs, within = divmod(step, steps_per_epoch)
    begun = epochs + (within > 0)
    epoch = {"ready": begun, "completed": epochs, "started": begun, "processed": epochs}
    return {
        "state_dict": {},
        "epoch_progress": {"total": dict(epoch), "current": dict(epoch)},
        "epoch_loop.state_dict": {"_batches_that_stepped": step},
        "epoch_loop.batch_progress": {
            "total": _all(step * accumulate),
            "current": _all(within * accumulate),
            "is_last_batch": False,
        },
        "epoch_loop.scheduler_progress": {"total": _pair(step), "current": _pair(within)},
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {
                "step": {"total": _pair(step), "current": _pair(within)},
                "zero_grad": {"total": _started(step), "current": _started(within)},
            }
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": {"total": _pair(0), "current": _pair(0)},
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": {"total": _all(0), "current": _all(0), "is_last_batch": False},
    }


def _pair(n: int) -> dict[str, int]:
    return {"ready": n, "completed": n}


def _started(n: int) -> dict[str, int]:
    return _pair(n) | {"started": n}


def _all(n: int) -> dict[str, int]:
    return _started(n) | {"processed": n}
