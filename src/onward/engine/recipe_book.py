"""The recipes of a job as rows: a code part and the settings that were read, shared by every item made with them.

What a recipe is, and how two differ, is `model/fingerprint.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

from onward.ledger.base import Transaction
from onward.model.config import is_secret, value_read
from onward.model.fingerprint import Recipe, canonical
from onward.model.record import RecipeRow, Row, to_blob


class Rows(Protocol):
    """Where new rows are written: a transaction, or what a plan supposes."""

    def put(self, row: Row) -> None:
        """Write a row whole."""

    def allocate(self, table: str) -> int:
        """Return an id that no row of this table has."""


class RecipeBook:
    """The recipes of a job: which row stands for what was read in an attempt."""

    def __init__(self, job_id: int, today: Recipe, rows: Sequence[RecipeRow]) -> None:
        self._job_id = job_id
        self._today = today
        self._ids = {(row.code, row.config): row.id for row in rows}
        self._by_reads: dict[tuple[str, ...], int] = {}

    def row_id(self, reads: tuple[str, ...] | None, tx: Transaction) -> int:
        """Return the row for an attempt that read these settings; None stands for all of them."""
        names = tuple(sorted(self._today.config)) if reads is None else reads
        found = self._by_reads.get(names)
        if found is not None:
            return found
        config = {name: value_read(self._today.config, name) for name in names if not is_secret(name)}
        recipe = Recipe(steps=self._today.steps, depends=self._today.depends, config=config)
        if (to_blob(recipe.code_digest), to_blob(recipe.config_digest)) not in self._ids:
            # Another process that works on the same run may have written it since.
            self._ids.update({(row.code, row.config): row.id for row in tx.recipes(self._job_id)})
        row_id = put_recipe(recipe, self._job_id, self._ids, tx)
        self._by_reads[names] = row_id
        return row_id


def put_recipe(recipe: Recipe, job_id: int, ids: dict[tuple[bytes, bytes], int], rows: Rows) -> int:
    """Return the row of a recipe, written where it is new.

    Args:
        recipe: The recipe.
        job_id: Whose row.
        ids: The rows that there are, by the two digests; a new one is added.
        rows: Where it is written.
    """
    digests = (to_blob(recipe.code_digest), to_blob(recipe.config_digest))
    row_id = ids.get(digests)
    if row_id is None:
        row_id = ids[digests] = rows.allocate("recipe")
        parts = {"steps": list(recipe.steps.items()), "depends": recipe.depends, "config": recipe.config}
        rows.put(RecipeRow(row_id, job_id, *digests, canonical(parts)))
    return row_id


def read_recipe(row: RecipeRow) -> Recipe:
    """Return the recipe that a row tells of."""
    parts = json.loads(row.parts)
    return Recipe(steps=dict(parts["steps"]), depends=parts["depends"], config=parts["config"])
