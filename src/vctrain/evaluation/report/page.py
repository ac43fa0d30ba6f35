"""How do sections of text, tables and pictures become one page that needs nothing beside it?"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from string import Template

from matplotlib.figure import Figure
from PIL import Image

DPI = 120
_SHORT = 24
"""Rows of a table that is not divided between printed pages."""


@dataclass(frozen=True)
class Picture:
    """A figure as PNG; ``name`` is its file without suffix, ``caption`` a sentence with the units of its axes."""

    name: str
    title: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Table:
    """Rows of text; the first ``labels`` columns are names, the others numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    labels: int = 1
    folded: bool = False
    """Shown only when opened, and not printed."""


@dataclass(frozen=True)
class Section:
    """What stands under a heading: pictures, tables, and lines of text. ``level`` 2 begins a part of the page."""

    heading: str
    items: list[Picture | Table | str] = field(default_factory=list)
    level: int = 2


def picture(name: str, title: str, caption: str, figure: Figure) -> Picture:
    """``figure`` drawn as a PNG of 256 colours, a third of the size and for lines and maps the same to the eye."""
    drawn, target = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, facecolor="white")
    whole = Image.open(drawn).convert("RGB")
    whole.quantize(256, dither=Image.Dither.NONE).save(target, format="PNG", optimize=True, dpi=(DPI, DPI))
    return Picture(name, title, caption, target.getvalue())


def pictures(sections: Sequence[Section]) -> list[Picture]:
    """All pictures, in order."""
    return [item for section in sections for item in section.items if isinstance(item, Picture)]


def render(title: str, about: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """The page; ``about`` are facts above the sections, name and value. All text is escaped."""
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in about)
    anchors = [(f"s{number}", section) for number, section in enumerate(sections)]
    contents = "".join(
        f'<li class="l{section.level}"><a href="#{anchor}">{escape(section.heading)}</a></li>'
        for anchor, section in anchors
    )
    body = "\n".join(_section(anchor, section) for anchor, section in anchors)
    return _PAGE.substitute(title=escape(title), facts=facts, contents=contents, body=body)


def _section(anchor: str, section: Section) -> str:
    heading = f"<h{section.level}>{escape(section.heading)}</h{section.level}>"
    return "\n".join([f'<section id="{anchor}">{heading}', *map(_item, section.items), "</section>"])


def _item(item: Picture | Table | str) -> str:
    if isinstance(item, str):
        return f"<p>{escape(item)}</p>"
    if isinstance(item, Table):
        return _table(item)
    data = base64.b64encode(item.png).decode("ascii")
    image = f'<img alt="{escape(item.title)}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption><b>{escape(item.title)}.</b> {escape(item.caption)}</figcaption></figure>"


def _table(table: Table) -> str:
    kinds = ["" if column < table.labels else ' class="n"' for column in range(len(table.columns))]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, table.columns, strict=True))
    rows = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in table.rows
    )
    whole = f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    if table.folded:
        return f"<details><summary>{escape(table.caption)}</summary>{whole}</details>"
    kind = "table short" if len(table.rows) <= _SHORT else "table"
    return f'<div class="{kind}"><p class="caption">{escape(table.caption)}</p>{whole}</div>'


_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark;
  --ink: #1d2126; --muted: #5c6670; --line: #d4d9de; --back: #ffffff; --card: #f6f7f8; --link: #0060a0 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --muted: #a3adb6; --line: #3b434b; --back: #16191c; --card: #1f2428; --link: #7fc0f0 }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.25rem 4rem; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; overflow-wrap: anywhere }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .75rem; padding-top: .75rem; border-top: 2px solid var(--line);
  overflow-wrap: anywhere }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .5rem }
a { color: var(--link) }
p { margin: .5rem 0; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0 0 1rem; font-size: .9rem }
dt { color: var(--muted) }
dd { margin: 0; overflow-wrap: anywhere; min-width: 0 }
nav ul { margin: 0; padding: .75rem 1rem; list-style: none; columns: 16rem; background: var(--card); font-size: .88rem }
nav li { break-inside: avoid; overflow-wrap: anywhere }
nav .l3 { padding-left: 1rem }
figure { margin: 1rem 0 1.5rem }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; background: #fff; border: 1px solid var(--line) }
figcaption, .caption { color: var(--muted); font-size: .88rem; margin-top: .4rem }
figcaption b { color: var(--ink) }
.wide { overflow-x: auto }
.table, details { margin: .75rem 0 1.25rem }
summary { cursor: pointer; color: var(--link); font-size: .9rem }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
th { color: var(--muted); font-weight: 600; white-space: nowrap }
td { white-space: nowrap }
.n { text-align: right }
@page { size: A4; margin: 14mm }
@media print {
  :root { color-scheme: light; --ink: #000; --muted: #444; --line: #bbb; --back: #fff; --card: #fff; --link: #000 }
  body { max-width: none; padding: 0; font-size: 10pt }
  nav, details { display: none }
  h2, h3, .caption { break-after: avoid }
  h2 + p, h3 + p { break-after: avoid }
  p, figure, tr, .short { break-inside: avoid }
  figure { margin: 3mm 0 5mm }
  img { max-height: 225mm; border: 0 }
  .wide { overflow: visible }
  table { font-size: 8pt }
  th, td { padding-right: 2.2mm }
  th, td { white-space: normal }
  thead { display: table-header-group }
}
</style>
</head>
<body>
<h1>$title</h1>
<dl>$facts</dl>
<nav aria-label="Contents"><ul>$contents</ul></nav>
$body
</body>
</html>
""")
