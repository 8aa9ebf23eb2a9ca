"""Any database that SQLAlchemy has a dialect for. Where there is an adapter of its own, that one knows more.

    database.py     the connection as the room knows it
    connection.py   how it is reached and waited for, and what its errors become
    types.py        what each of SQLAlchemy's types becomes in Arrow, and which are refused
    condition.py    a window as a condition

No snapshot can be shared: each connection reads in a transaction of its own.
"""

from __future__ import annotations

from onward.pipelines.tables.databases.generic.database import SqlalchemyDatabase

__all__ = ["SqlalchemyDatabase"]
