"""What must agree between a twin and the data it is used on?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vctrain.data.session import Session


def description_of(session: Session) -> dict[str, Any]:
    """Names, units, rate, transforms, filters, splits and fingerprints of a session, in plain types."""
    missing_pct = session.spec.missing_pct
    return {
        "name": session.name,
        "subject": session.subject,
        "lab": session.spec.lab,
        "cids": list(session.cids),
        "types": list(session.types),
        "rate_hz": session.rate_hz,
        "size": [session.height, session.width] if "stim" in session.recordings[0] else None,
        "n_frames": {r.kind: r.n_frames for r in session.recordings},
        "transforms": {
            "stim": session.spec.transforms.stim_as_list(),
            "stim_maxima": {str(k): v for k, v in session.chain.maxima.items()},
            "behavior": [
                {**signal.as_dict(), "maxima": {str(k): v for k, v in pipeline.maxima.items()}}
                for signal, pipeline in zip(session.spec.transforms.behavior, session.pipelines, strict=False)
            ],
            "downsampling": session.recordings[0].factor,
        },
        "filters": {
            "valid_context": session.context,
            "settle_seconds": session.settle_seconds,
            "missing_pct": None if missing_pct is None else missing_pct.threshold,
        },
        "split": {
            "train_val_split": list(session.spec.train_val_split),
            "seed": session.spec.seed,
            "trials": session.trials,
        },
        "adapter": None if session.spec.adapter is None else session.spec.adapter.model_dump(mode="json"),
        "readout": None if session.spec.readout is None else session.spec.readout.model_dump(mode="json"),
        "behavior_dim": session.behavior_dim,
        "fingerprint": session.fingerprint(),
    }
