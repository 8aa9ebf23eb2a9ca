"""Histories of real projects' documentation, with answers that were computed from their git trees and not from these.

`DOCUMENTS_DATA` names the folder that holds them; without it the tests that need them say that they did not run.
"""

from __future__ import annotations

import json
import lzma
import os
from base64 import b64decode
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from onward import clock
from onward.engine.sources.handed_over import Handed

NAMES = ("flask-docs", "rust-book")


@dataclass(frozen=True)
class History:
    """Every version of every document of one project, and what is known of them."""

    name: str
    versions: list[Handed]
    oracle: dict[str, Any]


@cache
def history(name: str) -> History:
    folder = os.environ.get("DOCUMENTS_DATA")
    if not folder:
        pytest.skip("NOT RUN: DOCUMENTS_DATA names no folder with histories")
    base = Path(folder)
    contents: dict[str, bytes] = {}
    with lzma.open(base / f"{name}.contents.jsonl.xz", "rt", encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            data = b64decode(line["content_base64"]) if "content_base64" in line else line["content"].encode()
            assert sha256(data).hexdigest() == line["sha256"]
            contents[line["sha256"]] = data
    with lzma.open(base / f"{name}.versions.jsonl.xz", "rt", encoding="utf-8") as lines:
        versions = [
            Handed(
                event["path"], contents[event["sha256"]] if event["op"] == "put" else None,
                clock.instant(event["valid_from"]), event["seq"], {"commit": event["commit"]},
            )
            for event in map(json.loads, lines)
        ]
    return History(name, versions, json.loads((base / "oracles" / f"{name}.asof.json").read_text()))


def digest_of_tree(tree: dict[str, str]) -> str:
    """Return the digest of a whole tree, as the oracles have it: path → hex digest of its bytes."""
    return sha256("\n".join(f"{path} {digest}" for path, digest in sorted(tree.items())).encode()).hexdigest()
