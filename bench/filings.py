"""W6: real filings through the whole room, against a bare lxml parse of the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Row, peak_mb

EXAMPLES = Path(__file__).parent.parent / "examples" / "filings"


@dataclass(frozen=True)
class Stored:
    key: str
    data: bytes

    @property
    def name(self) -> str:
        return self.key

    @property
    def sha256(self) -> str:
        return "sha256:" + hashlib.sha256(self.data).hexdigest()

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read_bytes(self) -> bytes:
        return self.data


def rows(folder: Path = EXAMPLES) -> Iterator[Row]:
    from lxml import html

    from onward.pipelines.filings.clean import clean
    from onward.pipelines.filings.extract import extract
    from onward.pipelines.filings.parse import parse
    from onward.pipelines.filings.sanitize import sanitize
    from onward.pipelines.filings.segment import segment

    parse_s = ours_s = size = largest_s = largest = 0.0
    count = 0
    config = {"segment_words": 300, "document_text": False}
    for path in sorted(folder.glob("*.htm*.gz")):
        data = path.read_bytes()
        body = gzip.decompress(data)
        began = time.perf_counter()
        html.document_fromstring(body, parser=html.HTMLParser(huge_tree=True, remove_comments=True))
        parse_s += time.perf_counter() - began
        began = time.perf_counter()
        document = segment(clean(extract(parse(sanitize(Stored(path.name, data))))), config)
        elapsed = time.perf_counter() - began
        assert document["schema"] == "onward.filing/1"
        ours_s += elapsed
        size += len(body) / 1e6
        count += 1
        if len(body) > largest:
            largest, largest_s = len(body), elapsed
    yield Row(
        "W6 filings, all stages", f"{count} HTML filings, {size:.1f} MB", ours_s, parse_s, "s", "<= 8",
        "bare lxml parse", f"{size / ours_s:.1f} MB/s; largest {largest / 1e6:.1f} MB in {largest_s:.2f} s; "
        f"peak of this process {peak_mb():.0f} MB",
    )
