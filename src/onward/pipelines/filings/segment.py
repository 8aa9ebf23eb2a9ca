"""The last stage: the cleaned filing becomes segments and the one value that is written, `onward.filing/1`.

The names of its fields are an interface: `filing.schema.json` beside this file says what each may hold. Where segments
end is `cutting.py`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onward.errors import SettingInvalid
from onward.model.validation import Check, Status, Validation
from onward.pipelines.filings.cutting import Gap, Segment, cut
from onward.pipelines.filings.document import CleanedFiling, Cover, ExtractedItem

__all__ = ["SCHEMA", "check_segmentation", "segment"]

SCHEMA = "onward.filing/1"
SEGMENT_WORDS = 300
_SEGMENT_WORDS_MIN, _SEGMENT_WORDS_MAX = 20, 100_000
_GAPS_NAMED_MAX = 6


def segment(cleaned: CleanedFiling, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the filing as it is written: facts, items, segments and what the checks say.

    Args:
        cleaned: The cleaned text and what points into it.
        config: `segment_words`, how many words a segment should have (default 300); `document_text`, whether to put
            the whole cleaned text beside the items that index it (default no).

    Raises:
        SettingInvalid: `segment_words` is no whole number from 20 to 100,000, or `document_text` no truth value.
    """
    config = config or {}
    segments, gaps = cut(cleaned, _segment_words(config))
    checks = (*cleaned.checks, _sources_agree(cleaned.cover), _text_kept(cleaned.text, segments, gaps), _input(cleaned))
    filing: dict[str, Any] = {
        "schema": SCHEMA,
        "source": {
            "path": cleaned.source.path,
            "sha256": cleaned.source.sha256,
            "size_bytes": cleaned.source.size_bytes,
        },
        "filing": _facts(cleaned.cover),
        "items": [_item(cleaned.text, item) for item in cleaned.items],
        "segments": [_segment(cleaned.text, piece) for piece in segments],
        "validation": {
            "status": str(Validation(checks).status),
            "checks": [{"name": c.name, "status": str(c.status), "detail": c.detail} for c in checks],
        },
    }
    if _wants_document(config):
        filing["document"] = cleaned.text
    return filing


def check_segmentation(config: Mapping[str, Any]) -> None:
    """Raise `SettingInvalid` when a setting of this stage is out of its bounds."""
    _segment_words(config)
    _wants_document(config)


def _segment_words(config: Mapping[str, Any]) -> int:
    words = config.get("segment_words", SEGMENT_WORDS)
    if isinstance(words, bool) or not isinstance(words, int) or not _SEGMENT_WORDS_MIN <= words <= _SEGMENT_WORDS_MAX:
        raise SettingInvalid(
            f"The setting 'segment_words' is {words!r}; "
            f"it must be a whole number from {_SEGMENT_WORDS_MIN} to {_SEGMENT_WORDS_MAX:,}."
        )
    return words


def _wants_document(config: Mapping[str, Any]) -> bool:
    wanted = config.get("document_text", False)
    if not isinstance(wanted, bool):
        raise SettingInvalid(f"The setting 'document_text' is {wanted!r}; it must be true or false.")
    return wanted


def _facts(cover: Cover) -> dict[str, Any]:
    return {
        "cik": cover.cik,
        "company": cover.company,
        "ticker": list(cover.ticker),
        "sic": cover.sic,
        "form": cover.form,
        "period_end": cover.period_end,
        "filed": cover.filed,
        "fiscal_year": cover.fiscal_year,
    }


def _item(text: str, item: ExtractedItem) -> dict[str, Any]:
    return {
        "item": item.item,
        "part": item.part,
        "status": str(item.status),
        "title": item.title,
        "text": text[item.start : item.end] if item.start is not None else "",
        "start": item.start,
        "end": item.end,
        "method": item.method,
        "confidence": round(item.confidence, 3),
    }


def _segment(text: str, piece: Segment) -> dict[str, Any]:
    inside = text[piece.start : piece.end]
    item = piece.item
    name = f"{item.part}-{item.item}" if item.part else item.item
    return {
        "id": f"{name}-{piece.index:04d}",  # unique within the filing: a 10-Q has an item 1 in both of its parts
        "item": item.item,
        "index": piece.index,
        "heading": piece.heading,
        "text": inside,
        "words": len(inside.split()),
    }


def _sources_agree(cover: Cover) -> Check:
    """Say where the header and the document contradict each other."""
    return Check("sources-agree", Status.WARN if cover.doubts else Status.PASS, "; ".join(cover.doubts))


def _input(cleaned: CleanedFiling) -> Check:
    """Record which document was taken, and what was dropped or repaired on the way."""
    return Check("input", Status.PASS, "; ".join(cleaned.notes))


def _text_kept(text: str, segments: Sequence[Segment], gaps: Sequence[Gap]) -> Check:
    """Record what lies outside of the items, so that segments and gaps together are the whole text."""
    outside = sum(gap.end - gap.start for gap in gaps)
    share = outside / len(text) if text else 0.0
    named = ", ".join(f"{gap.start}-{gap.end}" for gap in gaps[:_GAPS_NAMED_MAX])
    more = f" and {len(gaps) - _GAPS_NAMED_MAX} more" if len(gaps) > _GAPS_NAMED_MAX else ""
    detail = f"{len(segments)} segments; {share:.1%} of {len(text)} characters lie outside of items"
    return Check("text-kept", Status.PASS, f"{detail}: {named}{more}" if gaps else detail)
