"""The first stage: bytes become one document that is safe to parse.

Opening the file is `submission.py`'s. Here everything that could run, load or expand is taken out of the markup before
any parser sees it: scripts, style sheets, frames, images, entity declarations, processing instructions, event handlers,
NULs. The text between the tags is never changed. Every pattern is linear in the document, whatever the document holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from onward.errors import InputRefused
from onward.pipelines.filings.document import RawFiling
from onward.pipelines.filings.submission import FileItem, unpack

__all__ = ["made_safe", "sanitize"]

_BODY_CHARS_MAX = 200_000_000
_PROLOGUE_CHARS = 20_000

_ACTIVE_START = re.compile(r"<(script|style|noscript|iframe|object|applet)\b", re.IGNORECASE)
_DOCTYPE = re.compile(r"<!DOCTYPE[^>\[]{0,2000}(?:\[[^\]]{0,20000}\]\s{0,100})?>", re.IGNORECASE)
_ENTITY = re.compile(r"<!(?:ENTITY|ELEMENT|ATTLIST|NOTATION)\b[^<>]{0,20000}>", re.IGNORECASE)
_INSTRUCTION = re.compile(r"<\?[^<>]{0,2000}>")
_UNWANTED = re.compile(
    r"<(?:script|style|noscript|iframe|object|applet|img|link|embed|base|frame|audio|video|source|page)\b",
    re.IGNORECASE,
)
_LOADING = re.compile(r"<(?:img|link|embed|base|frame|audio|video|source)\b[^<>]*>", re.IGNORECASE)
_HANDLERS = ("onload", "onclick", "onerror", "onmouse", "onfocus")
_TAG_WITH_HANDLER = re.compile(r"<[a-z][^<>]{0,5000}?\son[a-z]{3,20}\s{0,9}=[^<>]*>", re.IGNORECASE)
_HANDLER = re.compile(r"""\son[a-z]{3,20}\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>]+)""", re.IGNORECASE)
_PAGE = re.compile(r"<PAGE\b[^<>]{0,20}>", re.IGNORECASE)
_PAGE_BREAK = '<hr style="page-break-before:always">'
_CONTROLS = re.compile("[\x01-\x08\x0b\x0e-\x1f\x7f]")
_CONTROL_BYTES = bytes((*range(1, 9), 11, *range(14, 32), 127))


def sanitize(item: FileItem, config: Mapping[str, Any] | None = None) -> RawFiling:
    """Return the filing in `item`, unpacked, decoded and without anything that could run, load or expand.

    Raises:
        InputRefused: It is not a filing that this room takes, or no text at all.
    """
    return made_safe(unpack(item, config))


def made_safe(raw: RawFiling) -> RawFiling:
    """Return `raw` with a body that is safe to parse, and a note for each kind of thing that was dropped."""
    body = raw.body
    if len(body) > _BODY_CHARS_MAX:
        raise InputRefused(
            f"The document has {len(body):,} characters; a filing of up to {_BODY_CHARS_MAX:,} would be taken."
        )
    notes: list[str] = []
    if "\x00" in body:
        body = body.replace("\x00", "")
        notes.append("NUL characters were dropped")
    if _has_controls(body):
        body = _CONTROLS.sub(" ", body)
        notes.append("control characters were replaced by blanks")
    if raw.kind == "html":
        body = _safe_markup(body, notes)
    if not body.strip():
        raise InputRefused("The document is empty; a 10-K, 10-Q or 8-K with text would be taken.")
    return replace(raw, body=body, notes=(*raw.notes, *notes))


def _has_controls(body: str) -> bool:
    data = body.encode("utf-8", "replace")
    return len(data.translate(None, _CONTROL_BYTES)) != len(data)


def _safe_markup(body: str, notes: list[str]) -> str:
    # Each pattern runs only where it may find something: one look for all of them is cheaper than each one's own.
    is_clean = _UNWANTED.search(body) is None
    if not is_clean and _ACTIVE_START.search(body):
        body, count = _without_active(body)
        notes.append(f"{count} scripts, style sheets or frames were dropped")
    if "<!" in body:
        body = _DOCTYPE.sub("", body[:_PROLOGUE_CHARS], count=1) + body[_PROLOGUE_CHARS:]
        body, count = _ENTITY.subn("", body)
        if count:
            notes.append(f"{count} entity or element declarations were dropped")
    if "<?" in body:
        body = _INSTRUCTION.sub("", body)
    if not is_clean:
        body, count = _LOADING.subn("", body)
        if count:
            notes.append(f"{count} images or other loaded elements were dropped")
    lowered = body.lower()
    if any(name in lowered for name in _HANDLERS):
        body = _TAG_WITH_HANDLER.sub(lambda tag: _HANDLER.sub("", tag[0]), body)
    return body if is_clean else _PAGE.sub(_PAGE_BREAK, body)


def _without_active(body: str) -> tuple[str, int]:
    """Drop active elements with their content; of one that is never closed only the tag goes, the text stays."""
    kept: list[str] = []
    unclosed: set[str] = set()
    at = count = 0
    while start := _ACTIVE_START.search(body, at):
        name = start[1].lower()
        kept.append(body[at : start.start()])
        end = None if name in unclosed else re.compile(rf"</{name}\s*>", re.IGNORECASE).search(body, start.end())
        if end is None:
            # Remembered, since searching to the end of the document for each of many would take quadratic time.
            unclosed.add(name)
            close = body.find(">", start.end())
            at = close + 1 if close >= 0 else len(body)
        else:
            at = end.end()
        count += 1
    kept.append(body[at:])
    return "".join(kept), count
