"""Which command lines does the README show, and how does one become small enough for a test?"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
_FENCE = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)

SMALLER: dict[str, dict[str, str]] = {
    "train": {
        "trainer.max_epochs": "1",
        "trainer.steps_per_epoch": "2",
        "trainer.precision": "32-true",
        "simulation.sessions": "2",
        "simulation.units": "4",
        "simulation.minutes": "1",
        "data.batch_clips": "4",
        "data.clip_frames": "16",
        "init.map_minutes": "0.1",
        "model": "twin_small",
    },
    "finetune": {
        "trainer.max_epochs": "1",
        "trainer.steps_per_epoch": "2",
    },
    "simulate": {"--sessions": "2", "--units": "4", "--minutes": "1"},
}
"""What makes a verb quick; later settings and options replace those that the README gives."""


def shell_lines(text: str) -> list[str]:
    """The lines of all fenced shell blocks of Markdown `text`, joined at a backslash, without prompts or comments.

    >>> shell_lines("```bash\\n$ a --b \\\\\\n  c  # why\\n\\n```\\n")
    ['a --b c']
    """
    lines = []
    for block in _FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words:
                lines.append(" ".join(word if word == "&&" else shlex.quote(word) for word in words))
    return lines


def snippets(text: str) -> list[str]:
    """The Python of Markdown ``text``, in order."""
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Every command of `text` as words, in order: a line holds several where it joins them with ``&&``."""
    return [shlex.split(part) for line in shell_lines(text) for part in line.split(" && ")]


def vctrain_commands(text: str) -> list[list[str]]:
    """The arguments of every ``vctrain`` of `text`, in order."""
    return [words[1:] for words in commands(text) if words[0] == "vctrain"]


def smaller(arguments: list[str]) -> list[str]:
    """The same command at a size that ends within seconds."""
    options = SMALLER.get(arguments[0], {})
    if arguments[0] == "modulator-only":
        options = {path: value for path, value in SMALLER["train"].items() if path != "model"}
    if arguments[0] == "resume":
        # a run that goes on keeps its settings
        options = SMALLER["train"] if "--or-start" in arguments else {}
    if "--data" in arguments:
        options = {path: value for path, value in options.items() if not path.startswith("simulation.")}
    if arguments[0] == "doctor" and len(arguments) > 1 and not arguments[1].startswith("runs/"):
        options = {path: value for path, value in SMALLER["train"].items() if not path.startswith("simulation.")}
    if arguments[0] in ("train", "resume", "finetune", "modulator-only", "doctor"):
        return [*arguments, *(word for path, value in options.items() for word in ("--set", f"{path}={value}"))]
    return [*arguments, *(word for option in options.items() for word in option)]
