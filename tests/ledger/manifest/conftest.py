"""Shelves for the tests of manifests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from shelf import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Return a folder with four files, one of them in a sub-folder, and no manifest yet."""
    return Shelf.build(tmp_path / "data", ["a.html", "b.html", "c.html", "sub/a.html"])


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Shelf]:
    """Return a function that builds further shelves beside each other."""
    return lambda name, files=(): Shelf.build(tmp_path / name, files)
