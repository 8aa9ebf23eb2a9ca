"""The four steps: what a source offers → its structure → its chunks → its vectors.

Parsing is `parse.py`, cutting `chunk.py`, vectors come from `embedders/`. What was embedded before, for whatever
document and version, is not embedded again: the sink is asked for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from onward.engine.source import ItemToRead
from onward.model.config import ConfigView
from onward.pipelines.documents.chunk import Chunk, chunk_document
from onward.pipelines.documents.embedders import embedder_of
from onward.pipelines.documents.parse import ParsedDocument, parse_document
from onward.pipelines.documents.result import Result

__all__ = ["HoldsVectors", "Version", "chunk", "embed", "parse", "read"]

class HoldsVectors(Protocol):
    """What `embed` asks of a sink."""

    def vectors(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Return the vectors of those of these chunks that were embedded before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a document on its way.

    Attributes:
        item: The item it was read from; what is counted on the way is noted there.
        document: The document's key.
        content: Its bytes; None for a deletion.
        parsed: Its structure, once parsed.
        chunks: What it is cut into, once cut.
    """

    item: Any
    document: str
    content: bytes | None
    parsed: ParsedDocument | None = None
    chunks: Sequence[Chunk] = ()


def read(item: ItemToRead) -> Version:
    """Read a version; a deletion has no bytes."""
    document = str(getattr(item, "document", item.key))
    data = item.read_bytes()
    return Version(item=item, document=document, content=None if getattr(item, "is_deletion", False) else data)


def parse(version: Version) -> Version:
    """Find headings, paragraphs, code, lists and tables."""
    if version.content is None:
        return version
    return replace(version, parsed=parse_document(version.document, version.content))


def chunk(version: Version, config: ConfigView) -> Version:
    """Cut the text into chunks of at most `chunk.words` words, by its structure."""
    if version.parsed is None:
        return version
    return replace(version, chunks=chunk_document(version.parsed, words_max=int(str(config["chunk.words"]))))


def embed(version: Version, config: ConfigView, sink: HoldsVectors | None = None) -> Result:
    """Have the chunks that were never embedded turned into vectors.

    Raises:
        EmbedderUnavailable: The service did not answer; another attempt may.
        EmbedderRefused: It answered that it will not.
    """
    embedder = embedder_of(config)
    by_id = {one.id: one for one in version.chunks}
    known = sink.vectors(list(by_id)) if sink is not None else {}
    new = [one for one in by_id.values() if one.id not in known]
    texts = [f"{one.heading}\n{one.text}" if one.heading else one.text for one in new]
    vectors = embedder.embed(texts) if texts else []
    noted = getattr(version.item, "noted", None)
    if noted is not None:
        noted |= {"chunks": len(version.chunks), "embedded": len(new)}
    return Result(
        document=version.document,
        content=version.content,
        title=version.parsed.title if version.parsed is not None else "",
        chunks=list(version.chunks),
        vectors={one.id: vector for one, vector in zip(new, vectors, strict=True)},
        embedder=embedder.name,
        source=version.item.metadata,
    )
