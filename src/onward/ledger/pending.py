"""The changes of one transaction, gathered before they are written: the last row put for an identity wins."""

from __future__ import annotations

from onward.ledger.base import Archive, SignatureRow
from onward.ledger.journal import Change, Identity, identity_of
from onward.model.record import NAMES, TABLES, Row


class Pending:
    """What a transaction will write. Rows are journaled; signatures, memos and archives are not."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Identity, Row | None]] = {name: {} for name in TABLES}
        self.signatures: dict[int, SignatureRow | None] = {}
        self.drops_all_signatures = False
        self.memos: dict[str, bytes] = {}
        self.archives: dict[tuple[int, int], Archive] = {}
        self._allocated: dict[str, int] = {}

    def put(self, row: Row) -> None:
        """Gather a row."""
        table = NAMES[type(row)]
        self.rows[table][identity_of(table, row)] = row

    def drop_publish(self, item_id: int) -> None:
        """Gather the confirmation of a publish."""
        self.rows["publish"][(item_id,)] = None

    def next_id(self, table: str, highest: int) -> int:
        """Return an id above every id in the store and every id given out before, and that no gathered row has."""
        number = max(self._allocated.get(table, 0), highest) + 1
        while (number,) in self.rows[table]:
            number += 1
        self._allocated[table] = number
        return number

    def has_allocated(self, table: str) -> bool:
        """Say whether ids of this table were given out, so that the store need not be asked again."""
        return table in self._allocated

    def changes(self) -> list[Change]:
        """Return the journaled changes, in the order of the tables."""
        return [
            (table, identity, row) for table, rows in self.rows.items() for identity, row in rows.items()
        ]
