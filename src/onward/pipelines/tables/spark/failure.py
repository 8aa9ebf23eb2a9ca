"""What an error of Spark says about the database, about itself or about the session, as one of our errors.

An executor hands its exception on as text, so its class is read from there; what the exception says is the database's
own sentence, and decides nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from onward.errors import DatabaseAway, OnwardError, QueryRefused, SparkJobFailed, SparkUnavailable, ValueUnsupported
from onward.pipelines.tables.spark import session
from onward.pipelines.tables.spark.dialect import Dialect

_SAID = re.compile(r"\b(?P<kind>(?:\w+\.)+(?:PSQL|SQL)\w*Exception): (?P<said>[^\n]+)")
_NO_VALUE = re.compile(r"infinit|out of range", re.IGNORECASE)


@contextlib.contextmanager
def told(dialect: Dialect, product: str) -> Iterator[None]:
    """Turn what Spark raises into an error of ours.

    Raises:
        DatabaseAway: The database was not reached, or ended the connection.
        QueryRefused: It did not take our query.
        ValueUnsupported: A value has no form in the way it is carried.
        SparkJobFailed: Something else made Spark give up.
        SparkUnavailable: The session is lost.
    """
    from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        try:
            text, condition = _text(error)
        except Py4JError as gone:
            raise _lost() from gone
        raise _ours(text, condition, dialect, product) from error
    except (Py4JNetworkError, Py4JError, ConnectionError) as error:
        raise _lost() from error


def _lost() -> SparkUnavailable:
    session.close()  # whoever asks next gets another one
    return SparkUnavailable(
        "The Spark session was lost: its JVM has ended. Run again; if it happens again, see spark.driver.memory."
    )


def _text(error: Exception) -> tuple[str, str]:
    """Return what an error says, with all that it was caused by, and the name of its condition."""
    cause = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    lines = [] if cause is not None else [str(error)]
    while cause is not None:
        lines.append(str(cause.toString()))
        cause = cause.getCause()
    condition = getattr(error, "getCondition", None)
    return "\n".join(lines), str((condition and condition()) or "")


def _ours(text: str, condition: str, dialect: Dialect, product: str) -> OnwardError:
    found = _SAID.search(text)
    if found is None and condition == "FAILED_JDBC.CONNECTION":
        return DatabaseAway(f"The {product} database cannot be reached by Spark: see that its server runs.")
    if found is None:
        first = next((line.strip() for line in text.splitlines() if line.strip()), "it gave no reason")
        return SparkJobFailed(f"Spark gave up on this window: {first[:500]}")
    kind, said = found["kind"].rpartition(".")[2], found["said"].strip()[:500]
    if dialect.is_away(kind, said):
        return DatabaseAway(f"The {product} database cannot be reached by Spark, or has ended the connection: {said}")
    if _NO_VALUE.search(said):
        return ValueUnsupported(f"A value of this window has no form in its column's Arrow type: {said}")
    return QueryRefused(f"The {product} database did not take a query of ours: {said}")
