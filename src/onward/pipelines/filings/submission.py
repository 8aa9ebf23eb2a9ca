"""Opens a filing's file: from its bytes to one document, decoded but not yet made safe.

A file is a bare document, a document in its `<DOCUMENT>` wrapping, or a full submission: an SGML header and every
document, of which one is the form itself. The choice is made by what the submission says of its documents and by what
they hold, never by the file's name, and it is written down. What the markup means is `parse`'s; what the cover says is
`cover`'s, and it has the last word on the form.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from onward.errors import InputRefused
from onward.pipelines.filings.charset import decode, to_utf8
from onward.pipelines.filings.compression import decompress
from onward.pipelines.filings.document import ListedDocument, RawFiling, Source

_KIND_SAMPLE_CHARS = 65_536
_WRAPPING_BYTES = 4_096
_INDENT_MAX = 80

_DOCUMENT = b"<DOCUMENT>"
_DOCUMENT_END = b"</DOCUMENT>"
_TEXT = re.compile(rb"<TEXT>[ \t]*\r?\n?", re.IGNORECASE)
_TEXT_END = re.compile(rb"</TEXT>\s*\Z", re.IGNORECASE)
_TAG_LINE = re.compile(r"^\s*<(TYPE|SEQUENCE|FILENAME|DESCRIPTION)>([^\n<]*)", re.IGNORECASE | re.MULTILINE)
_WRAPPER = re.compile(rb"\A\s*<(XBRL|XML|PDF|JSON)>\s*", re.IGNORECASE)
_WRAPPER_END = re.compile(rb"\s*</(XBRL|XML)>\s*\Z", re.IGNORECASE)
_UUENCODED = re.compile(rb"\A\s*begin [0-7]{3} \S")
_NO_TEXT_TYPES = re.compile(r"^(GRAPHIC|ZIP|EXCEL|XML|JSON|COVER|CORRESP|EX-101|EX-104|EX-27)", re.IGNORECASE)

_LABEL = re.compile(r"^[ \t]*([A-Z][A-Z0-9 ./&-]+):[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_LABEL_TAG = re.compile(r"^[ \t]*<([A-Z][A-Z0-9-]+)>[ \t]*([^\n<]*?)[ \t]*$", re.MULTILINE)
_LABEL_OF_TAG = {
    "ACCESSION-NUMBER": "ACCESSION NUMBER",
    "TYPE": "CONFORMED SUBMISSION TYPE",
    "PERIOD": "CONFORMED PERIOD OF REPORT",
    "FILING-DATE": "FILED AS OF DATE",
    "CONFORMED-NAME": "COMPANY CONFORMED NAME",
    "CIK": "CENTRAL INDEX KEY",
    "ASSIGNED-SIC": "STANDARD INDUSTRIAL CLASSIFICATION",
    "FISCAL-YEAR-END": "FISCAL YEAR END",
    "ACCEPTANCE-DATETIME": "ACCEPTANCE DATETIME",
}

_HTML_ROOT = re.compile(r"<(html|body|!doctype html)\b", re.IGNORECASE)
_HTML_TAG = re.compile(r"</?(p|div|font|span|br|td|tr|center|h[1-6]|ul|li|a (name|href|id)=)\b", re.IGNORECASE)
_HTML_TAGS_MIN = 10
_PRE = re.compile(r"<pre\b[^>]*>(.*?)(?:</pre\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_ANY_TAG = re.compile(r"<[/!a-zA-Z][^>]*>")
_WORD = re.compile(r"[A-Za-z]{3,}")

_FORM = re.compile(
    r"^(?:FORM\s*)?(?:(10)\s*-?\s*K\s*-?\s*(SB\s*-?\s*40|SB|405|T\s*-?\s*405|T)?|(10)\s*-?\s*Q(?!\s*-?\s*SB)|(8)\s*-?\s*K)\s*(/\s*A)?$",
    re.IGNORECASE,
)


class FileItem(Protocol):
    """What this room needs of an engine's item."""

    @property
    def key(self) -> str:
        """Its relative POSIX path."""

    @property
    def name(self) -> str:
        """The last part of its path."""

    @property
    def sha256(self) -> str:
        """`sha256:<hex>` of its bytes as on disk."""

    @property
    def size_bytes(self) -> int:
        """Their number."""

    def read_bytes(self) -> bytes:
        """Return its bytes as they lie on the disk, perhaps compressed."""


@dataclass(frozen=True, slots=True)
class _Document:
    listed: ListedDocument
    content: bytes
    lacks: str  # why it cannot be the form's text; empty when it can


def unpack(item: FileItem, config: Mapping[str, Any] | None = None) -> RawFiling:
    """Return the one document in `item` that is the form itself.

    Raises:
        InputRefused: There is no such document, it is of another form, or the bytes are no text.
    """
    data = to_utf8(decompress(item.read_bytes(), config=config))
    source = Source(path=item.key, sha256=item.sha256, size_bytes=item.size_bytes)
    head, documents = _split(data)
    header = _header(head) if documents else {}
    notes: list[str] = []
    if documents:
        chosen = _choose(documents, header.get("CONFORMED SUBMISSION TYPE", ""), notes)
        content, listed = chosen.content, chosen.listed
    else:
        content, listed = data, ListedDocument(type="")
    del data
    decoded = decode(content)
    if decoded.doubt:
        notes.append(f"charset: {decoded.doubt}")
    body, kind = _body(decoded.text)
    if not _WORD.search(body):
        raise InputRefused("The file holds no words; an EDGAR filing as HTML, text or full submission would be taken.")
    return RawFiling(
        source=source,
        header=header,
        documents=tuple(document.listed for document in documents) if len(documents) > 1 or header else (),
        document_name=listed.name or item.name,
        document_type=listed.type,
        kind=kind,
        body=body,
        notes=tuple(notes),
    )


def form_name(stated: str) -> str | None:
    """Return EDGAR's name of the form that `stated` spells ("10KSB/A": "10-KSB/A"); None when it is not taken here."""
    found = _FORM.match(re.sub(r"[\u2010-\u2015\u2212]", "-", stated).strip())
    if found is None:
        return None
    if found[1]:
        variant = re.sub(r"[\s-]", "", found[2] or "").upper()
        name = {"T405": "10-KT405", "SB40": "10-KSB40"}.get(variant, f"10-K{variant}")
    else:
        name = "10-Q" if found[3] else "8-K"
    return name + ("/A" if found[5] else "")


def _split(data: bytes) -> tuple[bytes, list[_Document]]:
    """Return what stands before the first `<DOCUMENT>`, and the documents; none when the file is a bare document."""
    starts = list(_line_starts(data, _DOCUMENT))
    if not starts:
        return b"", []
    documents = []
    for start, limit in zip(starts, [*starts[1:], len(data)], strict=True):
        begin = start + len(_DOCUMENT)
        end = next(_line_starts(data[begin:limit], _DOCUMENT_END), limit - begin)
        documents.append(_document(data[begin : begin + end]))
    return data[: starts[0]], documents


def _line_starts(data: bytes, tag: bytes) -> Iterator[int]:
    """Yield where `tag` begins a line. A plain search, since a pattern took longer here than parsing the document."""
    at = data.find(tag)
    while at >= 0:
        if not data[max(0, at - _INDENT_MAX) : at].rpartition(b"\n")[2].strip():
            yield at
        at = data.find(tag, at + len(tag))


def _document(data: bytes) -> _Document:
    """Take one document out of its wrapping, and say when it cannot be the form's text."""
    text = _TEXT.search(data, 0, _WRAPPING_BYTES)
    head = data[: text.start() if text else _WRAPPING_BYTES].decode("cp1252", errors="replace")
    fields = {match[1].upper(): match[2].strip() for match in _TAG_LINE.finditer(head)}
    content = data[text.end() :] if text else re.sub(rb"\A(\s*<(TYPE|SEQUENCE|FILENAME|DESCRIPTION)>.*\n)+", b"", data)
    content = _TEXT_END.sub(b"", content)
    wrapper = _WRAPPER.match(content)
    kind = wrapper[1].upper() if wrapper else b""
    if wrapper and kind in (b"XBRL", b"XML"):
        content = _WRAPPER_END.sub(b"", content[wrapper.end() :])
    type_ = fields.get("TYPE", "")
    if _UUENCODED.match(content) or kind == b"PDF" or content.startswith(b"%PDF-"):
        lacks = "is encoded binary"
    elif kind == b"JSON" or _NO_TEXT_TYPES.match(type_):
        lacks = f"is of type {type_}"
    elif not content.strip():
        lacks = "is empty"
    else:
        lacks = ""
    listed = ListedDocument(
        type=type_,
        sequence=fields.get("SEQUENCE", ""),
        name=fields.get("FILENAME", ""),
        description=fields.get("DESCRIPTION", ""),
        size_chars=len(content),
    )
    return _Document(listed, content, lacks)


def _header(head: bytes) -> dict[str, str]:
    """Read an SGML header in either spelling: `LABEL: value` lines, or `<TAG>value` lines of the raw feed."""
    text = head.decode("cp1252", errors="replace").replace("\r\n", "\n")
    facts: dict[str, str] = {}
    for label, value in _LABEL.findall(text):
        if value:
            facts.setdefault(label.strip(), html.unescape(value))
    for tag, value in _LABEL_TAG.findall(text):
        if value and tag in _LABEL_OF_TAG:
            facts.setdefault(_LABEL_OF_TAG[tag], html.unescape(value))
    return facts


def _choose(documents: list[_Document], submitted_as: str, notes: list[str]) -> _Document:
    """Return the document that is the form: of the submission's own type if there is one, else of any form taken.

    A form that this room does not take is refused here by the header or by the document types, before any parsing.
    """
    form = form_name(submitted_as)
    if submitted_as and form is None:
        raise InputRefused(f"The submission is a form {submitted_as}; {_TAKEN} would be taken.")
    readable = [document for document in documents if not document.lacks]
    ours = [document for document in readable if form_name(document.listed.type) is not None]
    if not ours:
        # Types may be left out or named loosely; the form comes first, and its cover page has the last word.
        ours = [d for d in readable if (form or not d.listed.type) and not d.listed.type.upper().startswith("EX-")][:1]
    if not ours:
        types = ", ".join(dict.fromkeys(document.listed.type or "untyped" for document in documents[:8]))
        unusable = next((d for d in documents if d.lacks and form_name(d.listed.type)), None)
        why = f", and the {unusable.listed.type} {unusable.lacks}" if unusable else ""
        raise InputRefused(f"The documents are of type {types}{why}; {_TAKEN} as HTML or text would be taken.")
    same = [document for document in ours if form is not None and form_name(document.listed.type) == form]
    chosen = (same or ours)[0]
    if len(documents) > 1:
        number = documents.index(chosen) + 1
        name = f" ({chosen.listed.name})" if chosen.listed.name else ""
        notes.append(f"document {number} of {len(documents)} is the form: {chosen.listed.type or 'untyped'}{name}")
    others = [d for d in ours if d is not chosen and form_name(d.listed.type) == form_name(chosen.listed.type)]
    if others:
        notes.append(f"{len(others)} more of the documents are of type {chosen.listed.type}; the first was taken")
    return chosen


_TAKEN = "a 10-K, 10-K405, 10-KSB, 10-KT, 10-Q or 8-K, or an amendment of one,"


def _body(text: str) -> tuple[str, Literal["html", "text"]]:
    """Say by content whether `text` is HTML; text inside nothing but a `<pre>` is text, and comes out bare."""
    text = text.lstrip("\ufeff\x00 \t\n")
    sample = text[:_KIND_SAMPLE_CHARS]
    is_html = _HTML_ROOT.search(sample) is not None or len(_HTML_TAG.findall(sample)) >= _HTML_TAGS_MIN
    if not is_html:
        return text, "text"
    if "<pre" in sample.lower():
        pages = _PRE.findall(text)
        inside = "\n".join(pages)
        # Counted in words, since the markup around can be longer than the text.
        if len(_WORD.findall(inside)) > 0.95 * len(_WORD.findall(_ANY_TAG.sub(" ", text))) and not _HTML_TAG.search(
            inside
        ):
            return html.unescape(_ANY_TAG.sub(_keep_page_tag, inside)), "text"
    return text, "html"


def _keep_page_tag(tag: re.Match[str]) -> str:
    """Drop a tag, unless it is one that EDGAR's text filings have too."""
    return tag[0] if tag[0].upper().startswith(("<PAGE", "<TABLE", "</TABLE", "<CAPTION", "<S>", "<C>")) else ""
