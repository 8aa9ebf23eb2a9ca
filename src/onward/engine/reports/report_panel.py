"""A panel of a report: something that a pipeline knows of its job, as strips of cells beside their labels.

What the cells mean is the pipeline's to say; here is only the value that it offers, and how that is drawn. The shapes
are inline SVG that stretches; words stand beside them in HTML or in a tooltip, and nothing rests on colour alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from html import escape
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from onward.model.config import without_password
from onward.model.item import printable

if TYPE_CHECKING:
    from onward.ledger.base import Reader
    from onward.model.record import Job

__all__ = ["Cell", "Group", "Mark", "Offer", "Panel", "Strip", "Tone", "drawn", "offered"]

_GROUPS_MAX = 60
_STRIPS_MAX = 60


class Tone(StrEnum):
    """How a cell looks."""

    DONE = "done"
    AGAIN = "again"
    OPEN = "open"
    EMPTY = "empty"
    BAD = "bad"
    ODD = "odd"


class Mark(NamedTuple):
    """What a tone means in this panel, and how many cells have it."""

    tone: Tone
    word: str
    cells: int


class Cell(NamedTuple):
    """Columns of a strip side by side that look the same.

    Attributes:
        at: The first column, from 0.
        width: How many columns.
        tone: How they look.
        said: What they are, for whoever points at them.
    """

    at: int
    width: int
    tone: Tone
    said: str


class Strip(NamedTuple):
    """A row: a short label, and cells that do not overlap."""

    label: str
    cells: Sequence[Cell]


class Group(NamedTuple):
    """Strips that belong together, under a heading; `notes` are sentences below it."""

    title: str
    said: str
    strips: Sequence[Strip]
    notes: Sequence[str] = ()


class Panel(NamedTuple):
    """All of it.

    Attributes:
        title: Its heading.
        said: A sentence on the whole.
        columns: How many columns every strip has.
        ruler: Column and word for some of them, ascending.
        marks: What the tones mean; those with no cells are left out.
        groups: The first sixty are drawn.
        more: Where all of it can be had, as a command.
    """

    title: str
    said: str
    columns: int
    ruler: Sequence[tuple[int, str]]
    marks: Sequence[Mark]
    groups: Sequence[Group]
    more: str


Offer: TypeAlias = "Callable[[Reader, Job], Panel | None]"
"""What a pipeline gives: it asks the ledger about a job, and returns a panel, or None where there is nothing to say."""


def offered(offer: Offer | None, ledger: Reader, job_id: int) -> Panel | None:
    """Return the panel that a pipeline offers on a job as the ledger has it now; None where it offers none."""
    job = None if offer is None else ledger.job_by_id(job_id)
    return None if offer is None or job is None else offer(ledger, job)


def drawn(panel: Panel) -> str:
    """Return a panel as a section of the page."""
    key = "".join(
        f'<span class="mark {mark.tone.value}">{_text(mark.word)} <b>{mark.cells:,}</b></span>'
        for mark in panel.marks
        if mark.cells
    )
    groups = "".join(_group(panel, group) for group in panel.groups[:_GROUPS_MAX])
    left = len(panel.groups) - _GROUPS_MAX
    more = f"... and {left:,} more. " if left > 0 else ""
    return (
        f"<h2>{_text(panel.title)}</h2>\n<p>{_text(panel.said)}</p>\n"
        f'<p class="marks">{key}</p>\n<div class="groups">{groups}</div>\n'
        f'<p class="soft">{more}All of it: <code>{_text(panel.more)}</code></p>'
    )


def _group(panel: Panel, group: Group) -> str:
    shown = group.strips[-_STRIPS_MAX:]
    rows = "".join(
        f'<span class="label">{_text(strip.label)}</span>{_strip(panel.columns, strip)}' for strip in shown
    )
    left = len(group.strips) - len(shown)
    notes = ([f"{left:,} rows before these are not shown."] if left else []) + list(group.notes)
    said = "".join(f'<span class="say">{_text(note)}</span>' for note in notes)
    return (
        f'<figure class="strips"><figcaption><bdi class="name">{_text(group.title)}</bdi>'
        f'<span class="say">{_text(group.said)}</span></figcaption>'
        f'<div class="rows"><span class="label"></span><span class="ruler">{_ruler(panel)}</span>{rows}</div>'
        f"{said}</figure>"
    )


def _ruler(panel: Panel) -> str:
    return "".join(
        f'<span style="left:{100 * (at + 0.5) / panel.columns:.2f}%">{_text(word)}</span>' for at, word in panel.ruler
    )


def _strip(columns: int, strip: Strip) -> str:
    cells = "".join(
        f'<rect class="{cell.tone.value}" x="{10 * cell.at}" y="0" width="{10 * cell.width}" height="10">'
        f"<title>{_text(cell.said)}</title></rect>"
        for cell in strip.cells
    )
    # The lines between columns are drawn over the cells, so that a month that is one colour needs one shape.
    lines = "".join(
        f"M{10 * at} 0V10" for cell in strip.cells for at in range(cell.at, cell.at + cell.width + 1)
    )
    told = "; ".join(cell.said for cell in strip.cells)
    return (
        f'<svg role="img" aria-label="{_text(told)}" viewBox="0 0 {10 * columns} 10" preserveAspectRatio="none">'
        f'{cells}<path class="between" d="{lines}"/></svg>'
    )


def _text(value: str) -> str:
    """Return a text from outside as HTML: escaped, on one line, without passwords, overrides or control characters."""
    return escape(printable(without_password(value)))
