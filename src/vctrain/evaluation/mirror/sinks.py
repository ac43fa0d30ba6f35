"""What do Weights & Biases and TensorBoard take of a run?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from vctrain.config.schema import LoggingConfig
from vctrain.errors import FaultError

INIT_SECONDS = 60.0
"""How long Weights & Biases may take to answer."""
UPLOADED = ("config.yaml", "contract.json")


class Sink(Protocol):
    """Somewhere else where figures of a run are shown."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures of a validation."""

    def picture(self, step: int, name: str, file: Path) -> None:
        """A picture, from its PNG."""

    def report(self, step: int, page: Path) -> bool:
        """The report of an evaluation; whether it is shown there."""

    def summary(self, facts: Mapping[str, Any]) -> None:
        """What is known of the run as a whole."""

    def close(self, failed: bool) -> None:
        """Hand over everything; only then is it there."""


def wandb_id(run: Mapping[str, Any]) -> str:
    """The one id of a run, over all its resumptions: from what run.json has said since the run was created."""
    born = f"{run['run']} {run['created']} {run['host']['name']} {run['host']['pid']}"
    return hashlib.sha256(born.encode()).hexdigest()[:16]


class WandbSink:
    """A run in Weights & Biases: ``online``, or ``offline`` as files below the run directory's ``wandb/``."""

    def __init__(
        self, run_dir: Path, run: Mapping[str, Any], settings: Mapping[str, Any], asked: LoggingConfig, mode: str
    ) -> None:
        import wandb

        self._wandb = wandb
        try:
            self.run = wandb.init(
                project=asked.project,
                entity=asked.entity,
                group=asked.group,
                tags=list(asked.tags) or None,
                id=wandb_id(run),
                name=run["run"],
                dir=str(run_dir),
                mode="offline" if mode == "offline" else "online",
                resume=None if mode == "offline" else "allow",
                config={**settings, "versions": run["versions"], "git": run["git"]},
                settings=wandb.Settings(
                    console="off",
                    init_timeout=INIT_SECONDS,
                    silent=True,
                    disable_git=True,
                    # an offline run is whole where it is uploaded from, which may be elsewhere
                    symlink=False,
                ),
            )
        except wandb.Error as error:
            hint = "see to network and wandb login, then vctrain sync RUN; --to wandb-offline needs neither"
            raise FaultError(f"Weights & Biases: {' '.join(str(error).split())[:300]}", hint=hint) from error
        # a resumed run may take a step again, with the same figures
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")
        for name in UPLOADED:
            if (run_dir / name).is_file():
                self.run.save(str(run_dir / name), base_path=str(run_dir), policy="now")

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """One row of history."""
        self.run.log({**figures, "step": step})

    def picture(self, step: int, name: str, file: Path) -> None:
        """An image."""
        self.run.log({name: self._wandb.Image(str(file)), "step": step})

    def report(self, step: int, page: Path) -> bool:
        """A page that is shown among the run's charts."""
        self.run.log({"report": self._wandb.Html(page.read_text(encoding="utf-8"), inject=False), "step": step})
        return True

    def summary(self, facts: Mapping[str, Any]) -> None:
        """The run's summary."""
        self.run.summary.update(dict(facts))

    def close(self, failed: bool) -> None:
        """Upload the rest."""
        self.run.finish(exit_code=int(failed))
        # only when its service has ended is everything on the disk
        self._wandb.teardown()


class TensorBoardSink:
    """Event files in the run directory's ``tensorboard/``."""

    def __init__(self, run_dir: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(run_dir / "tensorboard"))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """One scalar each."""
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, file: Path) -> None:
        """An image."""
        self.writer.add_image(name, np.asarray(Image.open(file).convert("RGB")), step, dataformats="HWC")

    def report(self, step: int, page: Path) -> bool:
        """It shows no pages."""
        return False

    def summary(self, facts: Mapping[str, Any]) -> None:
        """A table of text."""
        lines = [f"| {name} | {value} |" for name, value in facts.items()]
        self.writer.add_text("summary", "\n".join(["| | |", "|---|---|", *lines]))

    def close(self, failed: bool) -> None:
        """Flush."""
        self.writer.close()
