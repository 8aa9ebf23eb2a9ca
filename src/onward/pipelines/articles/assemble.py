"""The output document, put together: `assemble`. Its form is `article.schema.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["SCHEMA", "assemble"]

SCHEMA = "onward.article/1"
_MAYBE = ("title", "published_at")
_LAST = ("entities", "sentences", "events", "timings_s")


def assemble(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document that went through all steps as `onward.article/1`."""
    line: dict[str, Any] = {"schema": SCHEMA, "doc_id": document["doc_id"], "success": True}
    line.update({name: document[name] for name in _MAYBE if name in document})
    line.update({name: document[name] for name in _LAST})
    if "llm" in document:
        line["llm"] = document["llm"]
    return line
