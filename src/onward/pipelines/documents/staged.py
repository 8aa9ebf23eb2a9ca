"""The form of a staged result: its record; a line that says what the rest hashes to; and the rest.

The rest is a line that names chunks and sizes, the bytes of the document, and the vectors that are new. So a result
that is not whole is noticed, and an equal result is equal bytes.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import NamedTuple

from onward.disk.hashing import hash_bytes
from onward.model.record import to_blob
from onward.pipelines.documents.chunk import Chunk
from onward.pipelines.documents.library import Edition
from onward.pipelines.documents.result import Result

__all__ = ["StagedResult", "packed", "unpacked"]


class StagedResult(NamedTuple):
    """A result as it was staged.

    Attributes:
        record: Its record.
        digest: Of the record.
        content: The bytes of the document; None for a deletion.
        chunks: Its chunks in order.
        vectors: Chunk id → vector, of those that are new.
    """

    record: str
    digest: str
    content: bytes | None
    chunks: list[Chunk]
    vectors: dict[str, bytes]

    def edition(self, output: str) -> Edition:
        """Return it as it is put on the shelf."""
        content = None if self.content is None else (sha256(self.content).digest(), self.content)
        return Edition(output, to_blob(self.digest), self.record, content, self.chunks, self.vectors)


def packed(record: str, result: Result) -> bytes:
    """Return a result in its staged form."""
    new = {chunk.id: result.vectors[chunk.id] for chunk in result.chunks if chunk.id in result.vectors}
    head = json.dumps({
        "chunks": result.chunks, "new": list(new), "size": None if result.content is None else len(result.content),
    }).encode()
    rest = b"".join([head, b"\n", result.content or b"", *new.values()])
    return b"\n".join([record.encode(), sha256(rest).hexdigest().encode(), rest])


def unpacked(path: str) -> StagedResult:
    """Read a staged result.

    Raises:
        OSError: It is not there.
        ValueError: It is not whole, or something else.
    """
    with open(path, "rb") as file:
        record, _, rest = file.read().partition(b"\n")
    hexdigest, _, rest = rest.partition(b"\n")
    if sha256(rest).hexdigest().encode() != hexdigest:
        msg = "the staged result is not whole"
        raise ValueError(msg)
    line, _, rest = rest.partition(b"\n")
    head = json.loads(line)
    size = head["size"]
    data = rest[size or 0 :]
    width = len(data) // max(len(head["new"]), 1)
    vectors = {one: data[n * width : (n + 1) * width] for n, one in enumerate(head["new"])}
    content = None if size is None else rest[:size]
    return StagedResult(
        record.decode(), hash_bytes(record), content, [Chunk(*chunk) for chunk in head["chunks"]], vectors
    )
