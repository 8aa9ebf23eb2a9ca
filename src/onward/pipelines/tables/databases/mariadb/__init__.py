"""Reading tables of MariaDB and MySQL: exact types, one snapshot a connection, rows streamed.

    database.py     the connection as the room knows it
    connection.py   how the server is reached, waited for, and what its errors become
    types.py        what each of its types becomes in Arrow, as a table, and how it is asked for
    condition.py    a window as a condition of SQL
    packets.py      the bytes of a result to columns of text, a batch at a time
    values.py       columns of text to Arrow

The driver makes the connection and sends the query; the rows of a result are read without it, ten times as fast.
"""

from __future__ import annotations

from onward.pipelines.tables.databases.mariadb.database import MariadbDatabase

__all__ = ["MariadbDatabase"]
