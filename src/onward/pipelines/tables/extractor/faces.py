"""The promised names of this room, each a few lines over what does the work.

An extraction is a job: its name is the run id, its input the file `tables_<run_id>.json` in the state folder, its
windows one day of every table. These classes hold no state of their own; another process with the same state folder and
run id answers the same. What they answer is `state_manager.py`. `onward run tables` does what they do, for many days of
one job.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from onward import clock
from onward.engine.batch import Batch
from onward.engine.options import Options
from onward.engine.watcher import Watcher
from onward.errors import UsageError, WindowDrifted
from onward.model.reason import Reason
from onward.model.states import ItemState
from onward.model.window import day_of, parse_day
from onward.pipelines import find_pipeline
from onward.pipelines.tables.extractor import extraction_answers as answers
from onward.pipelines.tables.extractor.extraction import Extraction, ExtractionStatus
from onward.pipelines.tables.extractor.extraction_config import config_of_tables, keep_config
from onward.pipelines.tables.extractor.state_manager import PIPELINE, StateManager

if TYPE_CHECKING:
    from onward.engine.outcomes import Finished
    from onward.engine.run import Tally
    from onward.pipelines.tables.config import TablesConfig

__all__ = ["DataExtractor", "StatefulDataExtractor"]

_DATE = re.compile(r"(?<![0-9])((?:19|20|21)\d\d)(-?)(\d\d)\2(\d\d)$", re.ASCII)


class StatefulDataExtractor(StateManager):
    """Extracts one day of several tables, once; called again it goes on, with the same day, where it ended.

    Args:
        state_dir: The folder that keeps everything.
        run_id: The extraction's name, one for each cycle; the same one is a restart. By default a new one,
            `extract_<date>_<time>_<random>`.
        out: The folder below which results go, `<out>/<run_id>/<source>/<schema>.<table>/window=<day>/part-0.parquet`;
            `<state_dir>/data` by default.
        date: The day that is extracted, as a date or `2025-01-23`; by default the date at the end of the run id, else
            the day on which the extraction is first run, in the zone of its tables.
        sources: Databases by name, a URL or `env:NAME` each; a table may also bring its own `url`. Passwords are kept
            in memory only.
        workers: How many tables at once; as many as there are processors by default.

    Which day, and from when to when it lasts, is settled by the first run and kept: another day under the same run id
    is refused. A day that is not over is extracted as far as it has come, marked open, and extracted again by the first
    call after its end.

    Contract: S3-002, S3-005, S3-006, S3-017, S3-022 to S3-025, S3-029, X-17, X-34.
    """

    executor = "local"
    """Which way to the rows is taken."""

    def __init__(
        self,
        state_dir: str | os.PathLike[str] = "state",
        run_id: str | None = None,
        *,
        out: str | os.PathLike[str] | None = None,
        date: date | str | None = None,
        sources: Mapping[str, Any] | None = None,
        workers: int | None = None,
    ) -> None:
        super().__init__(state_dir, run_id or _new_run_id())
        self._out = os.path.join(self._workspace.state, "data") if out is None else os.path.abspath(os.fspath(out))
        self._date = None if date is None else parse_day(str(date))
        self._sources = dict(sources or {})
        self._workers = workers

    @property
    def state_manager(self) -> StateManager:
        """Itself: whatever is known of the extraction can be asked of either."""
        return self

    @property
    def output_base_path(self) -> str:
        """The folder below which results go."""
        return self._out

    def extract_tables(self, table_configs: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Extract what is not extracted yet, and return how every table stands.

        Tables that are completed, with their file intact, are skipped and their database is not asked. What was
        completed survives any crash, and so does the state file; threads wait for each other.

        Args:
            table_configs: A mapping for each table: `source`, `schema`, `table`, `window_column` (or `snapshot`), and
                whatever else a `[[tables]]` section takes.

        Returns:
            Table key → `status` (`completed`, or `failed`; `pending` where the run was ended before), `record_count`,
            `file_path` and `error`.

        Raises:
            UsageError: A configuration is wrong, or a library is missing; nothing was started.
            WindowDrifted: The extraction has another day, or a table had another zone or window column.
            DatabaseAway: A database cannot be reached; no attempt is spent, and the next call goes on.
            JobBusy: Another process extracts under this run id.
            JobPaused: Somebody has paused it; `onward resume` goes on.
        """
        find_pipeline(PIPELINE)  # says so when the libraries of this room are not installed
        from onward.pipelines.tables.pipeline import tables_pipeline

        tables = list(table_configs)
        with self._lock:
            config = config_of_tables(tables, self._sources)
            day = self._day(config)
            self._workspace.create()
            place = os.path.join(self._workspace.state, f"tables_{self.run_id}.json")
            keep_config(place, config, tables, self._sources)
            keys = [spec.key for spec in config.tables]
            self._reopen(
                "repair", lambda one: one.key in keys and _is_damaged(one), lambda _: Reason.OUTPUT_ALTERED.value
            )
            options = self._options(day)._replace(force=self._forced(keys))
            batch = Batch.prepare(tables_pipeline(config), place, self._output(), options)
            try:
                with batch.run(watcher=_Exporting(self)):
                    pass
            finally:
                self._export(durable=True)
            return self._asked(
                lambda pipeline, _: {key: answers.result(pipeline.extractions[key]) for key in keys}, {}
            )

    # -- parts

    def _output(self) -> str:
        return os.path.join(self._out, str(self.run_id))

    def _forced(self, keys: Iterable[str]) -> list[str]:
        """Return the items of tables that somebody forced, so that their rows are not read only to be compared."""
        with self._pipeline() as found:
            known = {} if found is None else found[1].extractions
            items = [known[key].item for key in keys if key in known]
            return [
                item.key for item in items if item and (item.state, item.note) == (ItemState.PENDING, Reason.FORCED)
            ]

    def _settings(self, day: date) -> dict[str, object]:
        """Return the pipeline's settings: the same ones each time, so that none of them seems to have changed."""
        return {"allow_open": True, "date": day.isoformat()}

    def _options(self, day: date) -> Options:
        return Options(
            job=self.run_id, state=self._workspace.state, settings=self._settings(day), workers=self._workers,
            executor=self.executor,
        )

    def _day(self, config: TablesConfig) -> date:
        """Return the day that is extracted: at a restart the one that was settled.

        Raises:
            WindowDrifted: Another one is wanted than the extraction has.
        """
        wanted = self._date or _date_in(str(self.run_id))
        with self._pipeline() as found:
            if found is None:
                return wanted or day_of(_zone_of(config), clock.now())
            settled = {one.window.day for one in found[1].extractions.values()}
        if wanted is not None and wanted not in settled:
            # Another day is another extraction, or this one would have two.
            msg = (
                f"The extraction '{self.run_id}' is about {', '.join(map(str, sorted(settled)))}, not {wanted}. Give "
                "another run_id for another day."
            )
            raise WindowDrifted(msg)
        return wanted or min(settled)


class DataExtractor(StatefulDataExtractor):
    """The same without a state that lasts: every call extracts all of its tables, and nothing is known of earlier ones.

    Args:
        run_id: As of `StatefulDataExtractor`, of use only for the date at its end.
        out: The folder for results, `<out>/<source>/<schema>.<table>/window=<day>/part-0.parquet`; `data` by default.
        date: As of `StatefulDataExtractor`.
        sources: Likewise.
        workers: Likewise.

    What it answers about the extraction it knows for as long as it lives. To keep it, name a `state_dir` and use
    `StatefulDataExtractor`: nothing else changes.

    Contract: S3-004, X-34.
    """

    def __init__(
        self,
        run_id: str | None = None,
        *,
        out: str | os.PathLike[str] = "data",
        date: date | str | None = None,
        sources: Mapping[str, Any] | None = None,
        workers: int | None = None,
    ) -> None:
        folder = tempfile.mkdtemp(prefix="onward-extract-")
        # Also when the program ends; a kill leaves a small folder in the system's place for such.
        weakref.finalize(self, _remove, folder, os.getpid())
        super().__init__(
            os.path.join(folder, "state"), run_id, out=out, date=date, sources=sources, workers=workers
        )

    def _output(self) -> str:
        return self._out

    def _options(self, day: date) -> Options:
        return super()._options(day)._replace(full=True)


class _Exporting(Watcher):
    """Brings the state file up to date whenever a table is acknowledged."""

    def __init__(self, extractor: StatefulDataExtractor) -> None:
        self._extractor = extractor

    def job_found(self, job: str, place: str, out: str) -> None:
        """Write that there is an extraction."""
        self._extractor._export(durable=False)  # noqa: SLF001  # its own extractor

    def progress(self, tally: Tally, finished: Sequence[Finished]) -> None:
        """Write what has become of these tables."""
        if finished:
            self._extractor._export(durable=False)  # noqa: SLF001  # its own extractor


def _remove(folder: str, pid: int) -> None:
    """Remove a folder with all that is in it; not in a process that was forked from the one it belongs to."""
    if pid == os.getpid():
        shutil.rmtree(folder, ignore_errors=True)


def _is_damaged(one: Extraction) -> bool:
    return one.status is ExtractionStatus.COMPLETED and not one.is_intact()


def _new_run_id() -> str:
    return f"extract_{clock.local_stamp()}_{os.urandom(3).hex()}x"


def _date_in(run_id: str) -> date | None:
    """Return the date at the end of a run id.

    Raises:
        UsageError: What looks like one is none, such as the 30th of February.
    """
    found = _DATE.search(run_id)
    if found is None:
        return None
    year, _, month, day = found.groups()
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        msg = f"The run_id '{run_id}' ends in {found[0]}, which is no date. Mend it, or say which day with date=."
        raise UsageError(msg) from None


def _zone_of(config: TablesConfig) -> str:
    zones = {spec.window_zone for spec in config.tables}
    return config.zone or (zones.pop() if len(zones) == 1 else "UTC")
