"""``vctrain presets``: list, show or copy the recipes that come with vctrain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vctrain import console, presets
from vctrain.commands import options

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A preset or model.")]
Destination = Annotated[Path, typer.Argument(metavar="DEST", help="New file, or a folder to copy into.")]


@app.callback()
def _presets() -> None:
    """List, show or copy presets: recipes in YAML, every setting commented.

    \b
    Examples:
      vctrain presets list
      vctrain presets show gaborium
      vctrain presets copy gaborium mine.yaml && vctrain train --config mine.yaml
    """


@app.command("list")
def list_presets(json: options.Json = False, quiet: options.Quiet = False, debug: options.Debug = False) -> None:
    """Presets and the models they may name.

    \b
    Examples:
      vctrain presets list
      vctrain presets list --json
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    found = {"preset": presets.names(), "model": presets.model_names()}
    entries = [
        {"kind": kind, "name": name, "description": presets.description(path), "path": path}
        for kind, known in found.items()
        for name in known
        for path in [presets.find(name) if kind == "preset" else presets.find_model(name)]
    ]
    if console.json_mode():
        listed = {f"{kind}s": [_without_kind(e) for e in entries if e["kind"] == kind] for kind in found}
        console.emit_json({"ok": True, "command": "presets list", **listed})
        return
    console.table(
        "", ["kind", "name", "description"], [[str(e[k]) for k in ("kind", "name", "description")] for e in entries]
    )


@app.command("show")
def show(name: Name, json: options.Json = False, quiet: options.Quiet = False, debug: options.Debug = False) -> None:
    """The YAML of a preset or model, with its comments.

    \b
    Examples:
      vctrain presets show gaborium
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    path = presets.find_either(name)
    text = path.read_text(encoding="utf-8")
    if console.json_mode():
        console.emit_json({"ok": True, "command": "presets show", "name": name, "path": path, "yaml": text})
        return
    console.result(text.rstrip("\n"))


@app.command("copy")
def copy(
    name: Name,
    destination: Destination,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Copy a preset or model to a file of your own; never overwrites.

    \b
    Examples:
      vctrain presets copy gaborium mine.yaml
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    written = presets.copy(name, destination)
    if console.json_mode():
        console.emit_json({"ok": True, "command": "presets copy", "name": name, "path": written})
        return
    console.result(f"wrote {written}")


def _without_kind(entry: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in entry.items() if key != "kind"}
