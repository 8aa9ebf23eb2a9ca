"""The tables pipeline, put together: database tables → one Parquet file for each table and day.

    config.py, databases/   which tables, and how their databases are spoken to
    terms.py                which windows a job has, fixed when it was born            model/window.py
    source.py, reading.py   tables x windows as items; the rows of one as a stream
    copy.py                 the step
    sinks/                  a file a window, or a commit a window
    coverage.py             do we have every day of every table?
    dataset.py              reading back what is live, or was at an instant

Another way to get at the rows is spark/. extractor/ holds the names of before.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from onward.engine.pipeline import ByOut, BySettings, Pipeline, Way
from onward.engine.sink import Sink
from onward.engine.source import Source
from onward.errors import SettingInvalid
from onward.pipelines.tables.config import TablesConfig
from onward.pipelines.tables.copy import copy
from onward.pipelines.tables.panel import panel
from onward.pipelines.tables.source import TableSource
from onward.runs.outlet import Outlet

__all__ = ["pipeline", "tables_pipeline"]

if find_spec("pyarrow") is None:
    raise ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow")

FORMATS = ("parquet", "delta")


def tables_pipeline(config: TablesConfig | None = None) -> Pipeline:
    """Return the pipeline for a configuration in memory; without one, INPUT is the file that has it."""

    def source(settings: Mapping[str, Any]) -> Source:
        return TableSource(settings, config)

    return Pipeline(
        "tables",
        source=BySettings(source),
        steps=[copy],
        sink=ByOut(_sink),
        settings={
            "date": "",
            "backfill": "",
            "since_last": False,
            "allow_open": False,
            "format": "parquet",
        },
        check_settings=check_settings,
        # A closed window is history: another release of onward must not read a year of tables again, which may be gone
        # by then. This text is changed when files that were written are wrong.
        version="1",
        panel=panel,
        ways={"spark": Way(_by_spark, 1, ("pyspark", "spark"))},
    )


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise `SettingInvalid` when a setting is out of its bounds."""
    if settings["format"] not in FORMATS:
        msg = f"The setting 'format' is {settings['format']!r}; it can be {', '.join(FORMATS)}."
        raise SettingInvalid(msg)


def _sink(to: Outlet, settings: Mapping[str, Any]) -> Sink:
    if settings["format"] == "delta":
        from onward.pipelines.tables.sinks.delta_sink import DeltaSink

        return DeltaSink()
    from onward.pipelines.tables.sinks.parquet_sink import ParquetSink

    return ParquetSink()


def _by_spark(source: Source) -> Source:
    from onward.pipelines.tables.spark import open_by_spark

    assert isinstance(source, TableSource)
    return source.opened_by(open_by_spark)


pipeline = tables_pipeline()
