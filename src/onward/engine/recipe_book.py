"""The recipes of a job as rows: a code part and the settings that were read, shared by every item made with them.

What a recipe is, and how two differ, is `model/fingerprint.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from onward.ledger.base import Transaction
from onward.model.config import is_secret, value_read
from onward.model.fingerprint import Recipe, canonical
from onward.model.record import RecipeRow, to_blob


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
        digests = (to_blob(recipe.code_digest), to_blob(recipe.config_digest))
        row_id = self._ids.get(digests)
        if row_id is None:
            row_id = tx.allocate("recipe")
            parts = canonical({"steps": list(recipe.steps.items()), "depends": recipe.depends, "config": config})
            tx.put(RecipeRow(row_id, self._job_id, *digests, parts))
            self._ids[digests] = row_id
        self._by_reads[names] = row_id
        return row_id


def read_recipe(row: RecipeRow) -> Recipe:
    """Return the recipe that a row tells of."""
    parts = json.loads(row.parts)
    return Recipe(steps=dict(parts["steps"]), depends=parts["depends"], config=parts["config"])
