"""Another way to copy a window: Spark reads it over JDBC in parts, and the room's own sink writes it.

`database.py` is the door and to be read first: a `Database` whose rows come through Spark. `session.py` has the JVM,
`dialect.py` says what is to be known of a kind of database (`postgres.py`, `mariadb.py`), `carried.py` how a column
crosses, `parts.py` how a window is cut, `scratch.py` where the parts lie meanwhile, `failure.py` what an error of Spark
means, `unity.py` writes windows into tables with three-part names.
Nothing here is imported unless somebody asks for Spark.
"""

from onward.pipelines.tables.spark.database import SparkDatabase, open_by_spark

__all__ = ["SparkDatabase", "open_by_spark"]
