"""The filings pipeline, put together: 10-K, 10-Q and 8-K documents as EDGAR serves them → `onward.filing/1`.

Five stages, each a pure function in a file of its own:

    sanitize   unpack, decode, choose the main document, make it safe        sanitize.py, submission.py
    parse      one pass over the markup → blocks with their looks; the cover  parse.py, cover.py
    extract    detectors vote on where each item begins and ends             extract.py, detectors/
    clean      the document's text without page furniture                    clean.py
    segment    pieces of a size to train on, and the output document         segment.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onward.engine.pipeline import Pipeline
from onward.engine.sinks.file_sink import json_files
from onward.engine.sources.file_source import files
from onward.model.validation import Check, Status
from onward.pipelines.filings.clean import clean
from onward.pipelines.filings.compression import unpacked_bytes_max
from onward.pipelines.filings.extract import extract
from onward.pipelines.filings.parse import parse
from onward.pipelines.filings.sanitize import sanitize
from onward.pipelines.filings.segment import check_segmentation, segment

PATTERNS = tuple(f"**/*{kind}{packed}" for kind in (".html", ".htm", ".txt") for packed in ("", ".gz", ".xz", ".zst"))


def validation(filing: Mapping[str, Any]) -> Iterator[Check]:
    """Return what the filing says of itself."""
    for check in filing["validation"]["checks"]:
        yield Check(check["name"], Status(check["status"]), check["detail"])


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise `SettingInvalid` when a setting is out of its bounds."""
    check_segmentation(settings)
    unpacked_bytes_max(settings)


pipeline = Pipeline(
    "filings",
    source=files(*PATTERNS),
    steps=[sanitize, parse, extract, clean, segment],
    checks=[validation],
    sink=json_files(),
    check_settings=check_settings,
    settings={"segment_words": 300, "document_text": False, "unpacked_mb_max": 256},
    depends=["lxml"],
)
