"""Who shows the records of a run elsewhere while it trains, and can they disturb it? Processes of their own: no."""

from __future__ import annotations

from pathlib import Path

from vctrain.config.schema import LoggingConfig
from vctrain.training.beside import start, until_when

_FOLLOW = "vctrain.evaluation.mirror.follow"


class Mirrors:
    """One process for each place where ``asked`` wants the run shown; started on rank 0 only.

    A process that fails becomes one warning, whenever that is.
    """

    def __init__(self, run_dir: Path, asked: LoggingConfig) -> None:
        self.run_dir = run_dir
        sinks = {"online": ["wandb"], "offline": ["wandb-offline"], "off": []}[asked.wandb]
        afterwards = f"the run does not need it. Later: vctrain sync {run_dir}"
        started = [
            start(run_dir, to, _FOLLOW, [to], afterwards) for to in (*sinks, *["tensorboard"] * asked.tensorboard)
        ]
        self._followers = [follower for follower in started if follower is not None]

    def close(self) -> None:
        """Tell them that the run has ended, and wait a while for them."""
        if not self._followers:
            return
        deadline = until_when(self.run_dir)
        for follower in self._followers:
            follower.end()
        for follower in self._followers:
            follower.wait(deadline, f"not everything arrived in time; vctrain sync {self.run_dir} shows the rest")
