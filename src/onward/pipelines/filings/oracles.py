"""Compares results with what others say of the same filings: facts, items, texts; one function an oracle.

An oracle of high trust can contradict a result, and a contradiction of a sure claim is the worst thing there is: it is
a wrong item that nobody would look at again. The weaker oracles only disagree; each disagreement is for a person.
Nothing here runs the pipeline, reads a file or prints; `accuracy.py` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onward.pipelines.filings.submission import form_name

SURE = 0.9
_PIECE_CHARS = 40
_SHARE_MIN, _SHARE_FACTOR = 0.01, 8.0  # wide: the service counts markup, of which statements have most
_LENGTH_FACTOR, _LENGTH_CHARS_MIN = 2.0, 1_000

_SERVICE_ID = re.compile(r"part(\d)item(\d+)([a-z]?)")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One statement of an oracle, held against a result.

    Args:
        file: The filing.
        what: The fact or item it is about.
        is_right: Whether the result agrees.
        is_sure: Whether the result claims it with confidence; a sure claim that is not right is silently wrong.
        detail: What was stated and what was found, when they differ.
    """

    file: str
    what: str
    is_right: bool
    is_sure: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One item text of an oracle held against ours: both without white space, in pieces of 40 characters."""

    file: str
    item: str
    is_found: bool
    recall: float = 0.0
    precision: float = 0.0

    @property
    def score(self) -> float:
        """The harmonic mean of the two shares."""
        total = self.recall + self.precision
        return 2 * self.recall * self.precision / total if total else 0.0


def bare(text: str) -> str:
    """Return `text` without white space, as the oracles compare."""
    return _SPACE.sub("", text)


def is_sure(result: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """Whether the result asserts this item as sure."""
    return bool(item["confidence"] >= SURE and result["validation"]["status"] != "FAIL")


def cover_findings(file: str, result: Mapping[str, Any], stated: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare the facts of a cover with those that the document itself tags or heads."""
    ours = result["filing"]
    wanted = {
        "company": stated.get("EntityRegistrantName", stated.get("company")),
        "cik": stated.get("EntityCentralIndexKey", stated.get("cik")),
        "ticker": stated.get("TradingSymbol"),
        "sic": stated.get("sic"),
        "form": stated.get("DocumentType", stated.get("form")),
        "period_end": stated.get("DocumentPeriodEndDate", stated.get("period")),
        "filed": stated.get("filed"),
        "fiscal_year": stated.get("DocumentFiscalYearFocus"),
    }
    for name, value in wanted.items():
        if value is None:
            continue
        right = _fact(name, value) == _fact(name, ours[name])
        yield Finding(file=file, what=name, is_right=right, detail="" if right else f"{ours[name]!r}, stated {value!r}")


def _fact(name: str, value: Any) -> object:
    """Return a fact in the spelling in which two sources that mean the same are equal."""
    if value is None:
        return None
    if name == "ticker":
        return frozenset([value] if isinstance(value, str) else value)
    text = str(value).strip()
    if name in {"cik", "fiscal_year", "sic"}:
        return text.lstrip("0").removesuffix(".0")
    if name == "form":
        return form_name(text) or text
    return re.sub(r"\W+", "", text.replace("\u2019", "'")).lower() if name == "company" else text


def hand_findings(file: str, result: Mapping[str, Any], oracle: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare items with hand-made labels: status, phrases inside and outside, length bands, which items there are."""
    items = {item["item"]: item for item in result["items"]}
    for name, label in oracle.get("items", {}).items():
        item = items.get(name)
        problems = ["the form's list has no such item"] if item is None else list(_hand_problems(item, label))
        yield _item_finding(file, result, name, item, problems)
    audited = [name for name, seen in oracle.get("heading_exists_human_audited", {}).items() if seen == "present"]
    for name in dict.fromkeys([*oracle.get("expected_items", ()), *audited]):
        item = items.get(name)
        missing = item is None or item["status"] == "absent"
        yield _item_finding(file, result, name, item, ["it exists, and was not found"] if missing else [])
    only = oracle.get("only_items")
    for name, item in items.items():
        if only and name not in only:
            yield _item_finding(file, result, name, item, [] if item["status"] == "absent" else ["it does not exist"])
    yield from _document_findings(file, result, oracle)


def _item_finding(
    file: str, result: Mapping[str, Any], name: str, item: Mapping[str, Any] | None, problems: Sequence[str]
) -> Finding:
    sure = item is not None and is_sure(result, item)
    return Finding(file=file, what=f"item {name}", is_right=not problems, is_sure=sure, detail="; ".join(problems))


def _hand_problems(item: Mapping[str, Any], label: Mapping[str, Any]) -> Iterator[str]:
    wanted, status = label.get("status"), item["status"]
    # The labellers have no word for a reserved item; theirs for one that is there is "extracted".
    if wanted and status != wanted and not (status == "reserved" and wanted in {"extracted", "omitted"}):
        yield f"is {status}, labelled {wanted}"
    text = bare(item["text"])
    for phrase in label.get("text_contains", ()):
        if bare(phrase) not in text:
            yield f"lacks {phrase[:60]!r}"
    for phrase in label.get("text_not_contains", ()):
        # A title in capitals must not be inside; the same words in a sentence may be.
        if bare(phrase) in text:
            yield f"holds {phrase[:60]!r}"
    length = len(item["text"])
    if length < label.get("min_chars", 0):
        yield f"has {length} characters, labelled at least {label['min_chars']}"
    if length > label.get("max_chars", length):
        yield f"has {length} characters, labelled at most {label['max_chars']}"


def _document_findings(file: str, result: Mapping[str, Any], oracle: Mapping[str, Any]) -> Iterator[Finding]:
    text = result.get("document", "")
    whole = bare(text)
    for phrase in oracle.get("document_contains", ()):
        right = bare(phrase) in whole
        yield Finding(file=file, what="document", is_right=right, detail="" if right else f"lacks {phrase[:60]!r}")
    for phrase in oracle.get("document_not_contains", ()):
        right = phrase not in text
        yield Finding(file=file, what="document", is_right=right, detail="" if right else f"holds {phrase[:60]!r}")


def current_report_agreements(
    file: str, result: Mapping[str, Any] | None, oracle: Mapping[str, Any]
) -> Iterator[Agreement]:
    """Compare the item texts of an 8-K with another extractor's."""
    items = {item["item"]: item for item in result["items"]} if result else {}
    for name, text in oracle.items():
        number = name.removeprefix("item_")
        if name == number or not isinstance(text, str) or not text.strip():
            continue
        item = items.get(number)
        if item is None or not item["text"]:
            yield Agreement(file=file, item=number, is_found=False)
            continue
        theirs, ours = bare(text), bare(item["text"])
        yield Agreement(
            file=file,
            item=number,
            is_found=True,
            recall=pieces_found(theirs, ours),
            precision=pieces_found(ours, theirs),
        )


def pieces_found(text: str, other: str) -> float:
    """Return the share of `text`'s pieces that occur in `other`."""
    pieces = [text[at : at + _PIECE_CHARS] for at in range(0, len(text), _PIECE_CHARS)]
    if len(pieces) > 1 and len(pieces[-1]) < _PIECE_CHARS:
        pieces.pop()
    return sum(piece in other for piece in pieces) / len(pieces) if pieces else 1.0


def service_findings(file: str, result: Mapping[str, Any], oracle: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare which sections exist, and their shares of the whole, with a third-party service."""
    theirs = oracle["sections"]
    ours = {_service_id(result, item): item for item in result["items"]}
    our_total = sum(len(item["text"]) for item in ours.values()) or 1
    their_total = sum(theirs.values()) or 1
    for name, size in theirs.items():
        item = ours.get(name)
        exists = item is not None and bool(item["text"])
        sure = item is not None and is_sure(result, item)
        detail = ""
        if bool(size) != exists:
            detail = "it is there, and was not found" if size else "it was found; the service has none"
        elif item is not None and size > _SHARE_MIN * their_total:
            factor = (len(item["text"]) / our_total) / (size / their_total)
            if not 1 / _SHARE_FACTOR <= factor <= _SHARE_FACTOR:
                detail = f"its share of the text is {factor:.2f} times the service's share"
        if detail and oracle.get("suspect"):
            detail += " (suspect oracle)"
        yield Finding(file=file, what=f"item {name}", is_right=not detail, is_sure=sure, detail=detail)


def _service_id(result: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    """Return the service's name of an item: parts are told apart in quarterly reports only."""
    if not result["filing"]["form"].startswith("10-Q"):
        return str(item["item"])
    return f"part{len(item['part'] or 'I')}item{item['item'].lower()}"


def length_findings(file: str, result: Mapping[str, Any], oracle: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare item lengths with another parser's; of a number in two parts, the nearer one counts."""
    doubted = {name.partition("item_")[2] for name in oracle.get("known_bad", ())}
    for name, chars in oracle["items"].items():
        found = [item for item in result["items"] if item["item"] == name]
        lengths = [len(item["text"]) for item in found] or [0]
        nearest = min(lengths, key=lambda length: abs(length - chars))
        differs = abs(nearest - chars) > _LENGTH_CHARS_MIN and not (
            chars / _LENGTH_FACTOR <= nearest <= chars * _LENGTH_FACTOR
        )
        sure = any(is_sure(result, item) for item in found)
        detail = f"{nearest} characters, there {chars}" if differs else ""
        if detail and name in doubted:
            detail += " (doubted there too)"
        yield Finding(file=file, what=f"item {name}", is_right=not differs, is_sure=sure, detail=detail)


def wrong(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that speak against the result."""
    return [finding for finding in findings if not finding.is_right]


def silently_wrong(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that speak against a sure claim."""
    return [finding for finding in findings if finding.is_sure and not finding.is_right]
