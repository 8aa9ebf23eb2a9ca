"""The third stage: which blocks belong to which item, what each item amounts to, and how sure that is.

The detectors say what they see, the vote chooses where items begin, `boundaries` say where they end, `answers` what
they amount to, `confidence` how sure that is: a claim is sure only when independent witnesses agree, the neighbours are
in order, and nothing speaks against it. Here they are put together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from onward.pipelines.filings.answers import answer_of
from onward.pipelines.filings.apart import listed_section, set_behind
from onward.pipelines.filings.boundaries import (
    end_before,
    find_signatures,
    next_part,
    unnumbered_section,
)
from onward.pipelines.filings.confidence import Evidence, answers_twice, tells, weigh, weigh_missing
from onward.pipelines.filings.detectors.contents import Contents, find_contents
from onward.pipelines.filings.detectors.crossref import Reference, read_index
from onward.pipelines.filings.detectors.furniture import Furniture, find_furniture
from onward.pipelines.filings.detectors.headings import Heading, find_headings, names_servicing, part_of
from onward.pipelines.filings.detectors.titles import fill_gaps
from onward.pipelines.filings.detectors.unworded import find_unworded
from onward.pipelines.filings.detectors.vote import Start, choose, reach
from onward.pipelines.filings.document import Block, ExtractedFiling, ItemSpan, ItemStatus, ParsedFiling
from onward.pipelines.filings.forms import Form, FormItem, form_of

__all__ = ["extract"]

_LISTED_FEWEST = 6
_FOUND_SHARE = 0.4
_FRONT_SHARE, _FILLED_SHARE = 0.25, 0.7
_EDGE = 2
_REPEAT_CHARS = 30  # "Item 7A.", "(Continued)"; in old text a table's title may stand in the same block
_PART_CHARS = 4_000
_NOTHING = re.compile(r"\W*(?:none|not applicable|n/a|omitted)\W*", re.IGNORECASE)


def extract(parsed: ParsedFiling, config: Mapping[str, Any] | None = None) -> ExtractedFiling:
    """Return the items of a parsed filing: spans of blocks, status, method and confidence."""
    blocks = parsed.blocks
    furniture = find_furniture(blocks)
    forms = form_of(parsed.cover.form)
    if any(form.has_servicing_items for form in forms) and not names_servicing(blocks):
        forms = tuple(form for form in forms if not form.has_servicing_items)
    readings = [_read(blocks, form, furniture) for form in forms]
    reading = max(readings, key=lambda reading: sum(start.weight for start in reading.starts))
    date = parsed.cover.filed or parsed.cover.period_end or ""
    is_amendment = (parsed.cover.form or "").endswith("/A")
    if not reading.form.is_menu and not is_amendment and _lacks_items(reading, date):
        unworded = _read(blocks, reading.form, furniture, is_worded=False)
        reading = reading if _lacks_items(unworded, date) else unworded
    form, headings, contents, starts = reading.form, reading.headings, reading.contents, reading.starts
    filled = fill_gaps(blocks, starts, contents, form, furniture.blocks, date)
    if _is_cross_referenced(starts, contents) and not _is_filled(blocks, filled, contents):
        spans = _referenced(form, read_index(blocks, contents, furniture.numbers), date)
        notes: tuple[str, ...] = ("the items are found by a cross-reference index",)
    else:
        spans = _spans(blocks, replace(reading, starts=filled), furniture, date, is_amendment=is_amendment)
        notes = ()
    kept = {at for span in spans if span.first is not None for at in (span.first, span.first + 1)}
    unwanted = _all_furniture(blocks, headings, spans, furniture) - kept
    for first, last in {(span.first, span.last) for span in spans if span.first is not None and span.last is not None}:
        section = listed_section(blocks, contents, first, last, furniture.blocks)
        if section is not None and section.is_alone:
            blocks, spans, unwanted = set_behind(blocks, spans, unwanted, section)
            notes = (*notes, "the executive officers' section, which the contents list apart, is set behind its item")
            break
    return ExtractedFiling(
        parsed=replace(parsed, blocks=blocks), items=tuple(spans), furniture=frozenset(unwanted), notes=notes
    )


def _all_furniture(
    blocks: Sequence[Block], headings: Sequence[Heading], spans: Sequence[ItemSpan], furniture: Furniture
) -> frozenset[int]:
    """Add the headings that only repeat, at the edge of a page, which item the page belongs to."""
    found = set(furniture.blocks)
    owner = {span.item: span for span in spans if span.first is not None}
    pages: dict[int, list[int]] = {}
    for at, block in enumerate(blocks):
        pages.setdefault(block.page, []).append(at)
    for heading in headings:
        at = heading.at
        span = owner.get(heading.choices[0].item)
        inside = pages[blocks[at].page]
        if (
            span is not None
            and span.first is not None
            and span.last is not None
            and span.first < at < span.last
            and blocks[at].page > blocks[span.first].page
            and at in (*inside[:_EDGE], *inside[-_EDGE:])
            and not heading.run_in_chars
            and heading.title_blocks == 1
            and len(blocks[at].text) <= len(span.title) + _REPEAT_CHARS
        ):
            found.add(at)
    return frozenset(found)


def _is_cross_referenced(starts: Sequence[Start], contents: Contents) -> bool:
    """Whether the filing lists the items and has headings for hardly any of them."""
    listed = {entry.heading.choices[0].id for entry in contents.entries}
    found = {entry.id for start in starts for entry in start.items}
    return len(listed) >= _LISTED_FEWEST and len(listed & found) < _FOUND_SHARE * len(listed)


def _is_filled(blocks: Sequence[Block], filled: Sequence[Start], contents: Contents) -> bool:
    """Whether links or titles show, in the form's order, where nearly all items of a contents table in front begin."""
    listed = {entry.heading.choices[0].id for entry in contents.entries}
    found = {entry.id for start in filled for entry in start.items}
    return contents.spans[-1][1] < _FRONT_SHARE * len(blocks) and len(listed & found) >= _FILLED_SHARE * len(listed)


def _referenced(form: Form, references: Sequence[Reference], date: str) -> list[ItemSpan]:
    found = {reference.item.id: reference for reference in references}
    spans = []
    for entry in form.items:
        reference = found.get(entry.id)
        if reference is None or reference.is_lost:
            is_asked = reference is not None or (date and entry.is_expected(date))
            spans.append(
                ItemSpan(
                    item=entry.item,
                    part=entry.part,
                    status=ItemStatus.OMITTED if is_asked else ItemStatus.ABSENT,
                    title=entry.title,
                    confidence=0.6 if reference is None else 0.3,
                    doubts=() if reference is None else ("the index names pages that were not found",),
                )
            )
            continue
        doubts = ["found by page, not by heading"]
        confidence = 0.6 if reference.first != reference.row else 0.85
        if reference.is_partial:
            confidence = 0.5
            doubts.append("the index names further pages")
        spans.append(
            ItemSpan(
                item=entry.item,
                part=entry.part,
                status=reference.status,
                title=reference.title,
                first=reference.first,
                last=reference.last,
                method="crossref",
                confidence=confidence,
                doubts=tuple(doubts),
            )
        )
    return spans


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """A document read by one form's catalogue."""

    form: Form
    headings: list[Heading]
    contents: Contents
    starts: list[Start]
    passed_over: list[Start]


def _read(blocks: Sequence[Block], form: Form, furniture: Furniture, *, is_worded: bool = True) -> _Reading:
    find = find_headings if is_worded else find_unworded
    headings = find(blocks, form, furniture.blocks)
    contents = find_contents(blocks, headings, form, furniture.blocks)
    starts, passed_over = choose(blocks, headings, contents, form, furniture.blocks)
    return _Reading(form=form, headings=headings, contents=contents, starts=starts, passed_over=passed_over)


def _lacks_items(reading: _Reading, date: str) -> bool:
    """Whether hardly any of the items that the form asks for were found."""
    asked = {entry.id for entry in reading.form.items if entry.is_expected(date)}
    found = {entry.id for start in reading.starts for entry in start.items}
    return len(asked & found) < _FOUND_SHARE * len(asked)


def _spans(
    blocks: Sequence[Block], reading: _Reading, furniture: Furniture, date: str, *, is_amendment: bool
) -> list[ItemSpan]:
    form, contents, starts = reading.form, reading.contents, reading.starts
    found: dict[tuple[str | None, str], ItemSpan] = {}
    told: set[tuple[str | None, str]] = set()
    evidence = Evidence.of(
        blocks, form, contents, starts, reading.passed_over, furniture.blocks, date, is_amendment=is_amendment
    )
    for place, start in enumerate(starts):
        first = start.heading.at
        has_next = place + 1 < len(starts)
        signatures = None if has_next else find_signatures(blocks, first + 1, furniture.blocks)
        last = starts[place + 1].heading.at if has_next else signatures or len(blocks)
        is_parted = False
        if has_next:
            whole = last
            last = _within_part(blocks, start, starts[place + 1], last, furniture.blocks, contents)
            is_parted = last < whole
        last = _without_unnumbered(blocks, start, last)
        last = end_before(blocks, first, last, furniture.blocks)
        if not has_next:
            last = _if_nothing(blocks, start, last)
        title = " ".join(start.heading.title.split()) or start.items[0].title
        body = _body(blocks, start, last, furniture.blocks)
        status = answer_of(title, body, _footnotes(blocks, last))
        confidence, doubts = weigh(
            evidence, place, status, body, is_ended=has_next or signatures is not None, is_parted=is_parted
        )
        if listed_section(blocks, contents, first, last, furniture.blocks) is not None:
            confidence = min(confidence, 0.85)
            doubts = (*doubts, "the contents list the executive officers apart, and their section stands inside it")
        if len(contents.blocks_of(first, last)) > _EDGE:
            confidence = min(confidence, 0.85)
            doubts = (*doubts, "a contents table stands inside it")
        told.update(entry.id for entry in form.items if tells(entry, body))
        if answers_twice(body):
            told.update(entry.id for entry in _next_items(form, start, starts[place + 1 : place + 2]))
        for entry in start.items:
            found[entry.id] = ItemSpan(
                item=entry.item,
                part=entry.part,
                status=status,
                title=title,
                first=first,
                last=last,
                method="+".join(evidence.witnesses(place)),
                confidence=confidence,
                doubts=doubts,
            )
    _add_whole_parts(found, blocks, form, starts, contents, furniture.blocks)
    if form.is_menu:
        return sorted(found.values(), key=lambda span: span.first or 0)
    return [found.get(entry.id) or _missing(entry, evidence, date, told) for entry in form.items]


def _next_items(form: Form, start: Start, following: Sequence[Start]) -> Sequence[FormItem]:
    """Return the form's items between a start and the one that follows it in the document."""
    _, last = reach(start, form)
    behind = reach(following[0], form)[0] if following else len(form.items)
    return form.items[last + 1 : behind]


def _add_whole_parts(
    found: dict[tuple[str | None, str], ItemSpan],
    blocks: Sequence[Block],
    form: Form,
    starts: Sequence[Start],
    contents: Contents,
    furniture: frozenset[int],
) -> None:
    """Add the items of a part that is answered as a whole: "Part III ... is incorporated by reference"."""
    for part in {entry.part for entry in form.items if entry.part}:
        entries = [entry for entry in form.items if entry.part == part]
        if any(entry.id in found for entry in entries):
            continue
        for at, block in enumerate(blocks):
            if at in furniture or contents.holds(at) or part_of(block.text) != part:
                continue
            last = min((start.heading.at for start in starts if start.heading.at > at), default=at + 1)
            last = end_before(blocks, at, last, furniture)
            body = "\n".join(blocks[inside].text for inside in range(at + 1, last))
            if len(body) < _PART_CHARS and answer_of("", body) is ItemStatus.INCORPORATED:
                for entry in entries:
                    found[entry.id] = ItemSpan(
                        item=entry.item,
                        part=part,
                        status=ItemStatus.INCORPORATED,
                        title=entry.title,
                        first=at,
                        last=last,
                        method="part",
                        confidence=0.92 if f"part {part.lower()}" in body.lower() else 0.8,
                    )
                break


def _within_part(
    blocks: Sequence[Block], start: Start, following: Start, last: int, furniture: frozenset[int], contents: Contents
) -> int:
    """Cut at the heading of the next item's part: what follows it introduces that part."""
    part = start.items[-1].part
    if part is None or part == following.items[0].part:
        return last
    at = next_part(blocks, start.heading.at, last, part, furniture | contents.blocks_of(start.heading.at, last))
    return last if at is None else at


def _without_unnumbered(blocks: Sequence[Block], start: Start, last: int) -> int:
    item = start.items[-1]
    if item.part != "I":
        return last
    at = unnumbered_section(blocks, start.heading.at, last, ends_item=item.item == "4")
    return last if at is None else at


def _if_nothing(blocks: Sequence[Block], start: Start, last: int) -> int:
    """End a last item that says no more than "None" there: statements may stand before the signatures."""
    behind = start.heading.at + start.heading.title_blocks
    if behind < last and not start.heading.run_in_chars and _NOTHING.fullmatch(blocks[behind].text):
        return behind + 1
    return last


def _body(blocks: Sequence[Block], start: Start, last: int, furniture: frozenset[int]) -> str:
    """Return the item's text without its heading, furniture left out."""
    heading = start.heading
    behind = heading.at + heading.title_blocks
    lines = []
    if heading.run_in_chars:
        lines.append(blocks[behind - 1].text[-heading.run_in_chars :])
    lines.extend(blocks[at].text for at in range(behind, last) if at not in furniture)
    return "\n".join(lines)


def _footnotes(blocks: Sequence[Block], last: int) -> str:
    """Return the notes marked by an asterisk that stand soon behind an item."""
    near = blocks[last : last + 60]
    return "\n".join(block.text for block in near if block.text.startswith(("*", "(*")) and len(block.text) < 800)


def _missing(entry: FormItem, evidence: Evidence, date: str, told: Set[tuple[str | None, str]]) -> ItemSpan:
    is_asked = date and entry.is_expected(date) and not (evidence.is_partial and entry.id not in evidence.missing)
    status = ItemStatus.OMITTED if is_asked else ItemStatus.ABSENT
    confidence, doubts = weigh_missing(evidence, entry, is_told=entry.id in told)
    return ItemSpan(
        item=entry.item, part=entry.part, status=status, title=entry.title, confidence=confidence, doubts=doubts
    )
