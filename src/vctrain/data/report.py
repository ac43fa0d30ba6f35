"""What was kept of a session, and what was dropped by which rule?"""

from __future__ import annotations

from typing import Any

from vctrain.data.session import Session
from vctrain.data.splits import SPLITS


def session_report(session: Session, context: int | None = None) -> dict[str, Any]:
    """Frames and units of a session, in plain types.

    ``frames`` in all; ``dropped`` by reason, each frame once, in this order: outside trials, settling, invalid (eye
    tracking lost, or behaviour not finite), context (valid, but without enough valid frames before it in its trial);
    ``scored`` by split. Of units, ``missing_pct`` (None without the filter): the entries (frame, unit) of scored frames
    that it drops, their fraction, the cids it drops altogether and for how many units it drops something.
    """
    context = session.context if context is None else context
    dropped = dict(session.dropped)
    dropped["invalid"] = session.n_frames - sum(dropped.values()) - session.usable().total
    dropped["context"] = session.usable().total - session.n_scored("all", context)
    entries = session.entries("all", context)
    scored = session.n_scored("all", context)
    filtered = None
    if session.spec.missing_pct is not None:
        lost = int((scored - entries).sum())
        filtered = {
            "entries_dropped": lost,
            "fraction_dropped": lost / max(scored * session.n_units, 1),
            "units_touched": int((entries < scored).sum()),
            "units_dropped": [cid for cid, n in zip(session.cids, entries.tolist(), strict=True) if n == 0],
        }
    return {
        "session": session.name,
        "frames": session.n_frames,
        "dropped": dropped,
        "scored": {name: session.n_scored(name, context) for name in (SPLITS[: session.n_splits])},
        "units": session.n_units,
        "missing_pct": filtered,
    }


def report_line(report: dict[str, Any]) -> str:
    """The same in one line.

    >>> report_line({"session": "Ada", "frames": 100, "dropped": {"settling": 0, "context": 20},
    ...              "scored": {"train": 60, "val": 20}, "units": 3, "missing_pct": None})
    'Ada: 100 frames; scored 60 train, 20 val; dropped 20 context; 3 units'
    """
    scored = ", ".join(f"{n:,} {split}" for split, n in report["scored"].items())
    dropped = ", ".join(f"{n:,} {reason}" for reason, n in report["dropped"].items() if n) or "none"
    line = f"{report['session']}: {report['frames']:,} frames; scored {scored}; dropped {dropped}; "
    line += f"{report['units']} units"
    filtered = report["missing_pct"]
    if filtered is not None:
        line += f"; missing_pct drops {100 * filtered['fraction_dropped']:.1f} % of their scored frames"
        line += f" (of {filtered['units_touched']} units)"
        if filtered["units_dropped"]:
            line += f", cids {', '.join(map(str, filtered['units_dropped']))} altogether"
    return line
