"""`StatefulDatabricksDataExtractor`: all of `StatefulDataExtractor`, tables in Unity Catalog, and the platform's word.

Windows become files first, and are recorded; then the tables of the catalogue get what they lack. How a table is
written is `spark/unity.py`, what the platform says `runs/databricks_workspace.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from onward.errors import UsageError
from onward.pipelines.tables.dataset import open_tables
from onward.pipelines.tables.extractor.extraction_config import config_of_tables
from onward.pipelines.tables.extractor.faces import StatefulDataExtractor
from onward.runs.databricks_workspace import Databricks, followed

if TYPE_CHECKING:
    from onward.pipelines.tables.spark import unity

__all__ = ["StatefulDatabricksDataExtractor"]


class StatefulDatabricksDataExtractor(StatefulDataExtractor):
    """Extracts as `StatefulDataExtractor` does, by Spark where there is one, into tables of Unity Catalog besides.

    Args:
        state_dir: As there; on Databricks a folder that outlives the cluster, e.g. of a volume.
        run_id: As there.
        out: As there.
        date: As there.
        sources: As there.
        workers: As there.
        catalog: The catalogue whose tables get the windows; None writes files only.
        schema: The schema in it; needed with `catalog`. A table there has the name it has at its source.

    Rows come through Spark on Databricks, and elsewhere when `ONWARD_SPARK_MASTER` names a master.

    Contract: S3-003, S3-017.
    """

    def __init__(
        self,
        state_dir: str | os.PathLike[str] = "state",
        run_id: str | None = None,
        *,
        out: str | os.PathLike[str] | None = None,
        date: date | str | None = None,
        sources: Mapping[str, Any] | None = None,
        workers: int | None = None,
        catalog: str | None = None,
        schema: str | None = None,
    ) -> None:
        super().__init__(state_dir, run_id, out=out, date=date, sources=sources, workers=workers)
        if (catalog is None) != (schema is None):
            msg = "A table of Unity Catalog has a name of three parts: give both catalog= and schema=, or neither."
            raise UsageError(msg)
        self._target = None if catalog is None or schema is None else (catalog, schema)
        if os.environ.get("DATABRICKS_RUNTIME_VERSION") or os.environ.get("ONWARD_SPARK_MASTER"):
            self.executor = "spark"

    def extract_tables(self, table_configs: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Extract what is not extracted yet, bring the catalogue's tables up to date; return how every table stands.

        Returns:
            As `StatefulDataExtractor.extract_tables` does; with `unity_table` where there is a catalogue.

        Raises:
            UsageError: Two tables would go into one table of the catalogue, or a name cannot be one there.
            OutputRefused: A table of the catalogue is somebody else's, or cannot be written; the files stand, and the
                next call tries again.
            SparkUnavailable: There is no session to write with; likewise.
        """
        tables = list(table_configs)
        names = {} if self._target is None else self._names(tables, *self._target)
        results = super().extract_tables(tables)
        if names:
            self._bring(names)
        return {key: {**one, "unity_table": str(names[key])} if key in names else one for key, one in results.items()}

    def get_pipeline_status(self) -> dict[str, Any]:
        """Return where the extraction stands; `platform` says which run of which job it is, and how that stands.

        Contract: S3-003, S3-007.
        """
        return self._with_platform(super().get_pipeline_status())

    def get_pipeline_progress(self) -> dict[str, Any]:
        """Return the same with times and rates.

        Contract: S3-003, S3-008.
        """
        return self._with_platform(super().get_pipeline_progress())

    def _names(self, tables: list[Mapping[str, Any]], catalog: str, schema: str) -> dict[str, unity.TableName]:
        """Return the name in the catalogue of every table."""
        from onward.pipelines.tables.spark import unity

        names: dict[str, unity.TableName] = {}
        for spec in config_of_tables(tables, self._sources).tables:
            name = unity.table_name(catalog, schema, spec.table)
            other = next((key for key in names if names[key] == name and key != spec.key), None)
            if other is not None:
                msg = (
                    f"'{other}' and '{spec.key}' would both go into the table '{name}': extract one of them under "
                    "another run_id, into another schema."
                )
                raise UsageError(msg)
            names[spec.key] = name
        return names

    def _bring(self, names: Mapping[str, unity.TableName]) -> None:
        """Write what the tables of the catalogue lack of what is live."""
        from onward.pipelines.tables.spark import session, unity

        live = open_tables(self.run_id, state=self._workspace.state)
        for key in sorted(names.keys() & set(live.tables())):
            found = session.session(session.options_from(os.environ))
            unity.bring(found, names[key], live.windows(key), application=f"onward/{key}")

    def _with_platform(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Add what names the last run to its platform, with the platform's own word where it may be asked."""
        if not answer:
            return answer
        with self._pipeline() as found:
            runs = [] if found is None else found[0].runs(found[1].job.id)
        known = json.loads(runs[0].environment).get("databricks") if runs else None
        return {**answer, "platform": followed(known, Databricks.of(os.environ)) if known else None}
