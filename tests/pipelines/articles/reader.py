"""The example articles, analysed once a process, and lines as the first step sees them."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from onward.pipelines.articles.assemble import assemble
from onward.pipelines.articles.dependencies import dependencies
from onward.pipelines.articles.entities import entities
from onward.pipelines.articles.events import events
from onward.pipelines.articles.read import read

EXAMPLES = Path(__file__).parents[3] / "examples" / "articles.jsonl"
LINES = EXAMPLES.read_bytes().splitlines()


@dataclass(frozen=True)
class Line:
    """One line, as a worker holds it."""

    key: str
    data: bytes = field(repr=False)
    metadata: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.key

    @property
    def sha256(self) -> str:
        return "sha256:" + sha256(self.data).hexdigest()

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read_bytes(self) -> bytes:
        return self.data

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self.data.decode(encoding, errors)

    def open(self) -> IO[bytes]:
        return io.BytesIO(self.data)


def line(key: str = "doc-7", **fields: object) -> Line:
    return Line(key, json.dumps(fields).encode())


@cache
def _analysed(number: int) -> dict[str, Any]:
    told = json.loads(LINES[number])
    return events(dependencies(entities(read(Line(told["document_id"], LINES[number])))))


def analysed(number: int) -> dict[str, Any]:
    """Return an example after all steps but the last, for the caller to change as it likes."""
    return copy.deepcopy(_analysed(number))


def article(number: int) -> dict[str, Any]:
    """Return an example as it is written."""
    return assemble(analysed(number))


def told_of(text: str) -> dict[str, Any]:
    """Return a text of one's own after all steps but the last."""
    return events(dependencies(entities({"key": "own", "doc_id": "own", "text": text})))
