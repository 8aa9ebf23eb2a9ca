"""PostgreSQL as a source of tables: exact types, one snapshot for all connections, rows streamed by COPY.

The connection as the room knows it is `database.py`; how the server is reached and waited for, `connection.py`; what
each of its types becomes in Arrow, as a table, `types.py`; a window as SQL, `condition.py`; the lines of COPY to record
batches, `blocks.py`, and one by one where Arrow's own reader does not take them, `values.py`.
"""

from onward.pipelines.tables.databases.postgres.database import PostgresDatabase

__all__ = ["PostgresDatabase"]
