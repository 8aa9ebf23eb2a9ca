"""Oracle as a source of tables: exact types, one snapshot by its system change number, rows streamed. Thin driver.

    database.py     the connection as the room knows it
    connection.py   how the server is reached and waited for, and what its errors become
    types.py        what each of its types becomes in Arrow, and which expressions read it
    statement.py    the rows of a window as one query
    values.py       what the driver returns, to Arrow
    statements.sql  what is asked of the catalogue

Untested on a live Oracle: none could be had. The tests look at the SQL, at the types, and at a port that nobody listens
on; the test that reads a real one runs where `ONWARD_TEST_ORACLE_DSN` is set.
"""

from __future__ import annotations

from onward.pipelines.tables.databases.oracle.database import OracleDatabase

__all__ = ["OracleDatabase"]
