"""Cover facts that an inline XBRL document tags (`dei:`), with their contexts resolved.

Only names that begin with `dei:` are read; the figures of the statements are not this room's. An HTML parser has made
tag and attribute names lower case; values are as written.
"""

from __future__ import annotations

from typing import Any

from onward.pipelines.filings.document import Fact

__all__ = ["inline_facts"]

_FACTS_MAX = 500
_FACT_CHARS_MAX = 2_000


def inline_facts(root: Any) -> list[Fact]:
    """Return the tagged cover facts of a tree in document order; empty when it is not inline XBRL."""
    elements = [
        element
        for element in root.iter("ix:nonnumeric", "ix:nonfraction")
        if (element.get("name") or "").startswith("dei:")
    ][:_FACTS_MAX]
    if not elements:
        return []
    wanted = {element.get("contextref") for element in elements}
    contexts = {
        context.get("id"): _context(context)
        for context in root.iter("xbrli:context", "context")
        if context.get("id") in wanted
    }
    facts = []
    for element in elements:
        reference = element.get("contextref") or ""
        period_end, members = contexts.get(reference, ("", ()))
        facts.append(
            Fact(
                name=element.get("name"),
                text=" ".join("".join(element.itertext()).split())[:_FACT_CHARS_MAX],
                context=reference,
                format=element.get("format") or "",
                period_end=period_end,
                members=members,
            )
        )
    return facts


def _context(context: Any) -> tuple[str, tuple[str, ...]]:
    period_end = ""
    members: list[str] = []
    for element in context.iter():
        name = str(element.tag).rpartition(":")[2]
        if name in {"enddate", "instant"}:
            period_end = (element.text or "").strip()[:10]
        elif name in {"explicitmember", "typedmember"}:
            members.append(" ".join("".join(element.itertext()).split())[:200])
    return period_end, tuple(members)
