"""Stores of vectors, one a file; which one is meant is said by `--out` and the setting `store`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from onward.errors import UsageError
from onward.pipelines.documents.stores.port import VectorStore
from onward.runs.outlet import is_url

__all__ = ["store_of"]


def store_of(out: str, settings: Mapping[str, Any]) -> VectorStore:
    """Return the store at a place, not yet opened; nothing is connected to.

    Args:
        out: A folder, or `postgresql://...`.
        settings: All settings of the pipeline.

    Raises:
        UsageError: No store can be there, or what it needs is not installed.
    """
    if is_url(out):
        _need("psycopg", "pgvector")
        from onward.pipelines.documents.stores.pgvector import PgVectorStore

        return PgVectorStore(out, str(settings["collection"]))
    if settings["store"] == "chroma":
        _need("chromadb", "chroma")
        from onward.pipelines.documents.stores.chroma import ChromaStore

        return ChromaStore(out, str(settings["collection"]), str(settings["chroma.url"]))
    from onward.pipelines.documents.stores.sqlite import SqliteStore

    return SqliteStore(out)


def _need(module: str, extra: str) -> None:
    if find_spec(module) is None:
        msg = f"This store needs '{module}': pip install 'onward[{extra}]'."
        raise UsageError(msg)
