"""Says which characters a filing's bytes spell, and how it knows.

Bytes are believed before declarations: a page that declares ASCII and holds UTF-8 is UTF-8. The order is a byte order
mark, UTF-8 by strict proof, a declared charset that the bytes fit, and Windows-1252, which is what EDGAR's filers mean
by ISO-8859-1 and by nothing at all.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from onward.errors import InputRefused

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(
    rb"""<\?xml[^>]{0,200}?\bencoding\s*=\s*["']([\w.:-]{1,40})|<meta\b[^>]{0,300}?\bcharset\s*=\s*["']?\s*([\w.:-]{1,40})""",
    re.IGNORECASE,
)
_DECLARED_WITHIN_BYTES = 16_384
_SAMPLE_BYTES = 65_536
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\v\x00\x1a\x1b"))
_CONTROLS_MAX_SHARE = 0.02
_NULS_MAX_SHARE = 0.1
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH = re.compile(rb"[\x80-\xff]")

# Declarations that say no more than "eight bits, western": read as Windows-1252, as browsers do.
_WESTERN = frozenset({"ascii", "iso8859-1", "cp1252", "utf-8", "utf-16", "utf-32", "utf-7"})
# Declarations under which random western bytes would not pass as text; others are too lenient to be proof.
_PROVABLE = frozenset({"shift_jis", "cp932", "euc_jp", "gb2312", "gbk", "gb18030", "big5", "euc_kr", "cp949"})
_C1 = re.compile("[\x80-\x9f]")
_SINGLE_BYTE = re.compile(r"^(cp125[0-8]|iso8859-\d+|koi8-[ru]|mac-roman|cp437|cp850)$")

C1_TO_CHARACTERS = {code: bytes([code]).decode("cp1252", errors="replace") for code in range(0x80, 0xA0)}
"""For `str.translate`: what the references `&#128;` to `&#159;` mean in EDGAR's pages, which is Windows-1252."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A filing's text, the charset it was read with, and what was odd about it.

    `doubt` is one sentence when the bytes contradicted the declaration or some could not be read; else empty.
    """

    text: str
    charset: str
    doubt: str = ""


def decode(data: bytes) -> Decoded:
    """Return the text that `data` spells.

    Line ends become a newline each. NULs and the old end-of-file mark stay; they are `sanitize`'s to drop, and count.

    Raises:
        InputRefused: The bytes are not text in any charset.
    """
    for mark, charset in _MARKS:
        if data.startswith(mark):
            return _marked(data, charset)
    _refuse_binary(data)
    if data.isascii():
        return Decoded(_lines(data.decode("ascii")), "ascii")
    declared = _declared(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _not_utf8(data, declared)
    if _C1.search(text):
        text = text.translate(C1_TO_CHARACTERS)  # Windows-1252 that some program took for ISO-8859-1 on the way
    doubt = "" if declared in ("", "utf-8", "ascii") else f"declared as {declared}, and is UTF-8"
    return Decoded(_lines(text), "utf-8", doubt)


def to_utf8(data: bytes) -> bytes:
    """Return `data` as it is, or as UTF-8 when a byte order mark says that its ASCII is not one byte a character.

    The wrapping of a submission can only be looked for in bytes whose ASCII is ASCII.
    """
    for mark, charset in _MARKS[1:]:
        if data.startswith(mark):
            return codecs.BOM_UTF8 + _marked(data, charset).text.encode("utf-8", errors="replace")
    return data


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _marked(data: bytes, charset: str) -> Decoded:
    """Decode what begins with a byte order mark; the mark is believed, and what it cannot read is shown as U+FFFD."""
    codec = "utf-8-sig" if charset == "utf-8" else charset
    text = data.decode(codec, errors="replace")
    lost = text.count("\ufffd")
    if lost * 10 > len(text):
        raise InputRefused(f"The file begins with the mark of {charset} and is not {charset}: it is no text.")
    return Decoded(_lines(text), charset, f"{lost} places are not {charset}" if lost else "")


def _refuse_binary(data: bytes) -> None:
    sample = data[:_SAMPLE_BYTES]
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if controls > _CONTROLS_MAX_SHARE * len(sample):
        raise InputRefused("The file is binary; an EDGAR filing as HTML, text or full submission would be taken.")
    if sample.count(0) > _NULS_MAX_SHARE * len(sample):
        raise InputRefused("The file is largely NUL bytes (binary, or UTF-16 without its mark); text would be taken.")


def _declared(data: bytes) -> str:
    """Return Python's name of the charset that an XML or HTML declaration states; "" when none, or an unknown one."""
    found = _DECLARED.search(data, 0, _DECLARED_WITHIN_BYTES)
    if found is None:
        return ""
    name = (found[1] or found[2]).decode("ascii", errors="replace")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return ""


def _not_utf8(data: bytes, declared: str) -> Decoded:
    """Decode bytes that are proven not to be UTF-8 throughout."""
    if declared not in _WESTERN and (declared in _PROVABLE or _SINGLE_BYTE.match(declared)):
        try:
            text = data.decode(declared)
        except UnicodeDecodeError:
            text = "\x80"
        # A declaration that makes control characters of the bytes is wrong; go on as if there were none.
        if not _C1.search(text):
            return Decoded(_lines(text), declared)
    multibyte = sum(len(match) for match in _MULTIBYTE.findall(data))
    stray = len(_HIGH.findall(data)) - multibyte
    if multibyte > 2 * stray:
        # Two charsets in one file: a UTF-8 page into which old text was pasted. Each stray byte is read by itself.
        text = data.decode("utf-8", errors=_STRAY)
        return Decoded(_lines(text), "utf-8", f"{stray} bytes are not UTF-8 and were read as Windows-1252")
    text = data.decode("cp1252", errors="replace")
    doubt = "declared as utf-8, and is not; read as Windows-1252" if declared == "utf-8" else ""
    return Decoded(_lines(text), "windows-1252", doubt)


def _stray_byte(error: UnicodeError) -> tuple[str, int]:
    """Read the bytes that UTF-8 cannot be as Windows-1252."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


_STRAY = "onward.filings.stray"
codecs.register_error(_STRAY, _stray_byte)
