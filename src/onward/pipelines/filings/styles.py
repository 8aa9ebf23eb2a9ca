"""What a `style` attribute says that matters for headings and pages; everything else in it is ignored.

Filings repeat a few hundred style strings tens of thousands of times, so each is read once and remembered; the memory
is bounded, because a hostile file may use a new string in every element.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["FONT_SIZES_PT", "PLAIN", "Face", "Style", "on", "read_style"]

FONT_SIZES_PT = {"1": 7.5, "2": 10.0, "3": 12.0, "4": 13.5, "5": 18.0, "6": 24.0, "7": 36.0}
"""`<font size>` steps as browsers show them."""

_UNITS_PT = {"pt": 1.0, "px": 0.75, "in": 72.0, "em": 10.0, "rem": 12.0, "cm": 28.35, "mm": 2.835, "pc": 12.0, "%": 0.1}
_LENGTH = re.compile(r"(-?\d{1,5}(?:\.\d{1,6})?|-?\.\d{1,6})\s{0,3}(pt|px|in|em|rem|cm|mm|pc|%)")
_LONGEST_STYLE_CHARS = 2_000


class Face(NamedTuple):
    """How characters look."""

    bold: bool
    italic: bool
    underline: bool
    size_pt: float


PLAIN = Face(bold=False, italic=False, underline=False, size_pt=0.0)


class Style(NamedTuple):
    """What one style attribute changes; None leaves a value as the parent has it."""

    bold: bool | None = None
    italic: bool | None = None
    underline: bool | None = None
    size_pt: float | None = None
    centred: bool | None = None
    indent_pt: float = 0.0
    is_hidden: bool = False
    breaks_before: bool = False
    breaks_after: bool = False
    is_block: bool | None = None

    @property
    def has_face(self) -> bool:
        """Whether it changes how characters look."""
        return self[:4] != (None, None, None, None)

    def on(self, face: Face) -> Face:
        """Return `face` as a child with this style shows it."""
        bold, italic, underline, size_pt = face
        return Face(
            bold if self.bold is None else self.bold,
            italic if self.italic is None else self.italic,
            underline if self.underline is None else self.underline,
            size_pt if self.size_pt is None else self.size_pt,
        )


@lru_cache(maxsize=4096)
def on(style: Style, face: Face) -> Face:
    """Return `style.on(face)`, remembered: documents put few faces together in few ways."""
    return style.on(face)


def _length_pt(value: str) -> float | None:
    found = _LENGTH.match(value)
    return round(float(found[1]) * _UNITS_PT[found[2]], 2) if found else None


@lru_cache(maxsize=4096)
def read_style(text: str) -> Style:
    """Return what the style attribute `text` changes; of an absurdly long one only its beginning is read."""
    said: dict[str, str] = {}
    for declaration in text[:_LONGEST_STYLE_CHARS].lower().split(";"):
        name, _, value = declaration.partition(":")
        said[name.strip()] = value.strip()
    font = said.get("font", "")
    weight = said.get("font-weight", font)
    slant = said.get("font-style", font)
    line = said.get("text-decoration", said.get("text-decoration-line", ""))
    size = _length_pt(said.get("font-size", "")) if "font-size" in said else None
    if size is None and font:
        found = _LENGTH.search(font)
        size = _length_pt(found[0]) if found else None
    align, shown = said.get("text-align", ""), said.get("display", "")
    indent = _length_pt(said.get("margin-left", said.get("padding-left", ""))) or 0.0
    before = said.get("page-break-before", said.get("break-before", ""))
    after = said.get("page-break-after", said.get("break-after", ""))
    return Style(
        bold=_is_bold(weight) if weight else None,
        italic=("italic" in slant or "oblique" in slant) if slant else None,
        underline=("underline" in line) if line else None,
        size_pt=size,
        centred=(align == "center") if align else None,
        indent_pt=indent + (_length_pt(said.get("text-indent", "")) or 0.0),
        is_hidden=shown == "none" or said.get("visibility") == "hidden",
        breaks_before=before in {"always", "page", "left", "right"},
        breaks_after=after in {"always", "page", "left", "right"},
        is_block=(shown not in {"inline", "inline-block", "contents"}) if shown and shown != "none" else None,
    )


def _is_bold(weight: str) -> bool:
    return "bold" in weight or any(heavy in weight.split() for heavy in ("600", "700", "800", "900"))
