"""How sure a claim about an item is: witnesses raise it, doubts put a lid on it.

The figures are a scale, not probabilities: 0.9 is reached only by a claim for which the number, the title and one more
independent witness (style, a link from the contents, the running page headers, a complete order of items) agree, and
for which no doubt was found. A doubt is a lid, so that no number of witnesses outvotes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from onward.pipelines.filings.answers import lists_elsewhere, points_outside
from onward.pipelines.filings.boundaries import find_signatures
from onward.pipelines.filings.detectors.contents import Contents
from onward.pipelines.filings.detectors.vote import Start, reach
from onward.pipelines.filings.document import Block, ItemStatus
from onward.pipelines.filings.echoes import Echoes, find_echoes
from onward.pipelines.filings.forms import Form, FormItem

__all__ = ["NOT_TITLED", "SURE", "Evidence", "answers_twice", "tells", "weigh", "weigh_missing"]

SURE = 0.9
NOT_TITLED = "its title is not the form's"
_MOST = 0.98
_COMPLETE = 0.85
_VOUCHED_CHARS = 30_000
_LONG_CHARS = 500
_FEW_BLOCKS = 4
_STRAY_CHARS = 120
_NAMED = re.compile(r"\bitem\s+(\d\.\d\d)\b(?=\W+(?:of\s+this|and|shall|is|\(|in\s+this))", re.IGNORECASE)
_ANSWER = re.compile(r"\W*(?:none|not applicable|n/a|not required)\W*", re.IGNORECASE)
_PARTIAL = 0.6
_FRONT_CHARS = 15_000
_FRONT_SHARE = 0.3
_FREE = re.compile(r"reserved|removed|omitted|not applicable|\*|none", re.IGNORECASE)
_WITNESS_ALONE = {"title": 0.75, "part": 0.6, "contents": 0.8, "text": 0.95}
_WAIVED = re.compile(r"\b(?:n/a|not applicable|none|not required|omitted)\W*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was seen in the whole document, as far as it bears on single items.

    Args:
        form: The form's catalogue.
        starts: The chosen starts.
        echoes: What the headings that were passed over say against them.
        listed: Items that a contents table of the filing lists; empty when it has none.
        missing: Items that the filing should have by date or contents and for which no start was chosen.
        optional: Items that the form lets a filing leave out, or that are rarely more than a word.
        early: Items that the form asks for soon after the filing's date.
        waived: Items that the contents themselves answer ("N/A").
        share_found: Share of the expected items that were found.
        is_partial: Whether it is an amendment of some items alone.
        signed_at: Block where the signatures begin, or None.
        is_behind_text: Whether much of the document stands in front of the first item.
    """

    form: Form
    starts: tuple[Start, ...]
    echoes: Echoes
    listed: frozenset[tuple[str | None, str]]
    missing: frozenset[tuple[str | None, str]]
    optional: frozenset[tuple[str | None, str]]
    early: frozenset[tuple[str | None, str]]
    waived: frozenset[tuple[str | None, str]]
    share_found: float
    is_partial: bool
    signed_at: int | None
    is_behind_text: bool

    @classmethod
    def of(
        cls,
        blocks: Sequence[Block],
        form: Form,
        contents: Contents,
        starts: Sequence[Start],
        passed_over: Sequence[Start],
        furniture: frozenset[int],
        date: str,
        *,
        is_amendment: bool = False,
    ) -> Evidence:
        """Gather the evidence of a document."""
        entries = [entry.heading for entry in contents.entries if len(entry.heading.choices) == 1]
        waived = frozenset(entry.choices[0].id for entry in entries if _WAIVED.search(entry.title))
        listed = frozenset(entry.choices[0].id for entry in entries) - waived
        found = {entry.id for start in starts for entry in start.items}
        asked = {entry.id for entry in form.items if not form.is_menu and date and entry.is_expected(date)}
        # An amendment answers a few items and says nothing of the others; a long text without items is something else.
        front = sum(len(block.text) for block in blocks[: starts[0].heading.at]) if starts else 0
        is_partial = is_amendment and len(asked & found) < _PARTIAL * len(asked) and front < _FRONT_CHARS
        if is_partial:
            order = [entry.id for entry in form.items]
            places = [at for at, name in enumerate(order) if name in found]
            asked &= set(order[places[0] : places[-1] + 1]) if places else set()
        expected = (listed or asked) if not form.is_menu else frozenset(found)
        return cls(
            form=form,
            starts=tuple(starts),
            echoes=find_echoes(blocks, starts, passed_over, furniture, is_menu=form.is_menu),
            listed=listed,
            missing=frozenset((asked | listed) - found - waived),
            optional=frozenset(entry.id for entry in form.items if entry.is_optional),
            early=frozenset(entry.id for entry in form.items if date and entry.since[:4] == _year_after(date)),
            waived=waived,
            share_found=len(set(expected) & found) / len(expected) if expected else float(bool(found)),
            is_partial=is_partial,
            signed_at=find_signatures(blocks, starts[0].heading.at + 1, furniture) if starts else None,
            is_behind_text=front > max(_FRONT_CHARS, _FRONT_SHARE * sum(len(block.text) for block in blocks)),
        )

    def witnesses(self, place: int) -> tuple[str, ...]:
        """Return the detectors that speak for a start."""
        return self.starts[place].witnesses


def weigh(
    evidence: Evidence, place: int, status: ItemStatus, body: str, *, is_ended: bool, is_parted: bool
) -> tuple[float, tuple[str, ...]]:
    """Return the confidence of a found item, and what speaks against it.

    Args:
        evidence: Of the whole document.
        place: Which of the chosen starts it is.
        status: What its text amounts to.
        body: Its text without the heading.
        is_parted: Whether the next part's heading ends it.
        is_ended: Whether a heading or the signatures end it, rather than the document.
    """
    start = evidence.starts[place]
    heading = start.heading
    score = 0.55
    score += 0.15 if heading.is_titled else 0.0
    score += 0.10 if "style" in start.witnesses else 0.0
    score += 0.10 if not heading.run_in_chars else 0.0
    score += 0.12 if "contents" in start.witnesses else 0.0
    score += 0.05 if any(entry.id in evidence.listed for entry in start.items) else 0.0
    score += 0.10 if evidence.share_found >= _COMPLETE else 0.0
    lids: list[tuple[float, str]] = [(_MOST, "")]
    if len(start.witnesses) == 1:
        lids.append((_WITNESS_ALONE.get(start.witnesses[0], _MOST), f"only the {start.witnesses[0]} speaks for it"))
    lids.extend(_echo_doubts(evidence, place))
    lids.extend(_place_doubts(evidence, place))
    if heading.is_mention or heading.has_page:
        lids.append((0.6, "the heading reads like a mention or a contents entry"))
    if not heading.is_worded:
        lids.append((0.85, "its heading does not say that it is an item's"))
    if not heading.is_titled:
        lids.append((0.75, NOT_TITLED))
    if evidence.share_found < 0.6:
        lids.append((0.7, "too few of the form's items were found"))
    if not is_ended:
        lids.append((0.85, "nothing ends it but the document"))
    lids.extend(_length_doubts(start.items, status, body))
    if lists_elsewhere(" ".join((heading.title, *(entry.title for entry in start.items))), body):
        lids.append((0.85, "the list of exhibits that it names stands elsewhere"))
    lids.extend(_answer_doubts(body))
    lids.extend(_neighbour_doubts(evidence, place, body, is_parted=is_parted))
    lid = min(lids)[0]
    return round(min(score, lid), 3), tuple(reason for _, reason in sorted(lids) if reason)


def _echo_doubts(evidence: Evidence, place: int) -> list[tuple[float, str]]:
    """Doubt an item for which, or inside which, another heading speaks."""
    echoes, found = evidence.echoes, []
    if place in echoes.rivals:
        found.append((0.8, f"another heading claims it as well (block {echoes.rivals[place]})"))
    if place in echoes.repeats:
        found.append((0.85, f"a second heading of its own stands inside (block {echoes.repeats[place]})"))
    if place + 1 in echoes.repeats or place + 1 in echoes.rivals:
        found.append((0.85, "the item behind it may begin at another heading"))
    if place in echoes.strangers:
        found.append(
            (0.8, f"the heading of an item that was not found stands inside (block {echoes.strangers[place]})")
        )
    if echoes.is_second_set:
        found.append((0.8, "the document holds a second set of headings"))
    near = evidence.starts[max(0, place - 1) : place + 2]
    if any(start.is_displaced for start in near) or _is_followed_elsewhere(evidence, place):
        found.append((0.8, "it stands beside an item that breaks the form's order"))
    return found


def _is_followed_elsewhere(evidence: Evidence, place: int) -> bool:
    """Whether an item that should stand directly behind this one was found out of the form's order."""
    _, last = reach(evidence.starts[place], evidence.form)
    following = evidence.starts[place + 1] if place + 1 < len(evidence.starts) else None
    behind = reach(following, evidence.form)[0] if following else len(evidence.form.items)
    return any(start.is_displaced and last < reach(start, evidence.form)[0] < behind for start in evidence.starts)


def _place_doubts(evidence: Evidence, place: int) -> list[tuple[float, str]]:
    """Doubt an item for where it stands: at a running page header, or behind the signatures."""
    found = []
    if place in evidence.echoes.headers:
        found.append((0.85, "it begins at a running page header"))
    if place + 1 in evidence.echoes.headers:
        found.append((0.85, "the item behind it begins at a running page header"))
    if evidence.is_behind_text:
        found.append((0.8, "much of the document stands in front of the first item"))
    if evidence.signed_at is not None and place + 1 < len(evidence.starts):
        if evidence.starts[place + 1].heading.at > evidence.signed_at:
            found.append((0.8, "the signatures stand before the end of it"))
    elif evidence.signed_at is not None and evidence.starts[place].heading.at > evidence.signed_at:
        found.append((0.8, "it stands behind the signatures"))
    return found


def _length_doubts(items: Sequence[FormItem], status: ItemStatus, body: str) -> list[tuple[float, str]]:
    chars = len(body)
    shortest = min(entry.chars[0] for entry in items)
    longest = sum(entry.chars[1] for entry in items)
    if chars > longest:
        return [(0.6, f"{chars:,} characters are more than the usual {longest:,}")]
    if status is ItemStatus.EXTRACTED and chars < shortest and shortest > 100:
        return [(0.7, f"{chars:,} characters are fewer than the usual {shortest:,}")]
    if status is ItemStatus.INCORPORATED and shortest >= _LONG_CHARS and not points_outside(body):
        return [(0.85, "its answer stands elsewhere in this document")]
    if status is ItemStatus.OMITTED:
        return [(0.7, "the heading has no text")]
    return []


def _answer_doubts(body: str) -> list[tuple[float, str]]:
    """Doubt an item that goes on behind an answer that ends it: what follows may be another's."""
    answer, _, more = body.strip().partition("\n")
    if _ANSWER.fullmatch(answer) and len(more) > _STRAY_CHARS:
        return [(0.85, "it goes on behind its answer")]
    return []


def _neighbour_doubts(evidence: Evidence, place: int, body: str, *, is_parted: bool) -> list[tuple[float, str]]:
    """Doubt an item behind which the next one was not found, or is not sure: where it ends is not sure then."""
    following_start = evidence.starts[place + 1] if place + 1 < len(evidence.starts) else None
    if following_start is not None:
        name = following_start.items[0].item
        if following_start.witnesses in {("title",), ("part",), ("contents",)}:
            return [(0.85, f"only the {following_start.witnesses[0]} shows where item {name} behind it begins")]
        if not following_start.heading.is_titled and following_start.witnesses == ("text",):
            return [(0.85, f"the heading of item {name} behind it is doubtful")]
        if following_start.is_bare and not _FREE.search(following_start.heading.title):
            return [(0.85, f"the heading of item {name} behind it has no text")]
    found = {entry.id for start in evidence.starts for entry in start.items}
    if evidence.form.is_menu:
        names = [entry.item for entry in evidence.form.items if entry.id not in found and tells(entry, body)]
        known = {name for _, name in found}
        names.extend(name for name in _NAMED.findall(body) if name not in known)
        return [(0.85, f"it has words of item {names[0]}, which was not found")] if names else []
    if not evidence.missing:
        return []
    order = [entry.id for entry in evidence.form.items]
    _, last = reach(evidence.starts[place], evidence.form)
    following = len(order)
    if place + 1 < len(evidence.starts):
        following, _ = reach(evidence.starts[place + 1], evidence.form)
    lost = [order[at] for at in range(last + 1, following) if order[at] in evidence.missing]
    if is_parted:
        lost = [entry for entry in lost if entry[0] == order[last][0]]
    listed = [entry for entry in lost if entry in evidence.listed]
    if listed:
        return [(0.6, f"the contents list item {listed[0][1]} next, and it was not found")]
    if any(entry not in evidence.optional for entry in lost):
        return [(0.8, f"item {lost[0][1]} is expected next, and was not found")]
    told = [entry for entry in evidence.form.items if entry.id in lost and tells(entry, body)]
    if told:
        return [(0.85, f"it has words of item {told[0].item}, which was not found")]
    if lost and answers_twice(body):
        return [(0.85, f"its last line may be the answer of item {lost[0][1]}, which was not found")]
    is_vouched = evidence.listed and evidence.share_found >= _COMPLETE and len(body) <= _VOUCHED_CHARS
    if lost and len(body) > 300 and not is_vouched:
        return [(0.85, f"item {lost[0][1]} is expected next, and was not found")]
    return []


def answers_twice(body: str) -> bool:
    """Whether a text says something and then ends in a line that is a whole answer ("None.")."""
    said, _, last = body.strip().rpartition("\n")
    return bool(said) and _ANSWER.fullmatch(last) is not None


def tells(entry: FormItem, body: str) -> bool:
    """Whether a text has words that hardly any item but `entry` has."""
    return bool(entry.telling) and re.search(entry.telling, body, re.IGNORECASE | re.MULTILINE) is not None


def _year_after(date: str) -> str:
    return str(int(date[:4]) + 1) if date[5:7] > "06" else date[:4]


def weigh_missing(evidence: Evidence, entry: FormItem, *, is_told: bool) -> tuple[float, tuple[str, ...]]:
    """Return the confidence that the filing does not have an item, and what speaks against it.

    Args:
        evidence: Of the whole document.
        entry: The item.
        is_told: Whether the item before it has words that hardly any other item's text has.
    """
    if entry.id in evidence.waived:
        return 0.9, ("the contents say that it is not applicable",)
    if entry.id in evidence.listed:
        return 0.3, ("the contents list it, and it was not found",)
    if evidence.share_found < 0.6:
        return 0.3, ("too few of the form's items were found",)
    if evidence.is_partial:
        return 0.85, ("the amendment does not name it",)
    if entry.id not in evidence.missing:
        return (0.85, ("the form began to ask for it soon after",)) if entry.id in evidence.early else (0.95, ())
    place = [item.id for item in evidence.form.items].index(entry.id)
    reached = [reach(start, evidence.form) for start in evidence.starts]
    if evidence.signed_at is None and all(place > last for _, last in reached):
        return 0.85, ("the document breaks off, and the item would stand behind its end",)
    if all(place < first for first, _ in reached):
        return 0.85, ("the item would stand in front of the first one that was found",)
    if evidence.listed and evidence.share_found >= _COMPLETE:
        return (0.9 if entry.id in evidence.optional and not is_told else 0.85), (
            "the form asks for it, and the filing does not list it",
        )
    return 0.6, ("the form asks for it, and it was not found",)
