"""Which job, run and cluster of Databricks this process belongs to, read from its variables; kept with each run.

What the platform says of them is asked in `databricks_workspace.py`, which this does not import: every run reads this.
"""

from __future__ import annotations

from collections.abc import Mapping

_IDS = {
    "job_id": ("ONWARD_DATABRICKS_JOB_ID", "DATABRICKS_JOB_ID"),
    "run_id": ("ONWARD_DATABRICKS_RUN_ID", "DATABRICKS_RUN_ID", "DATABRICKS_JOB_RUN_ID"),
    "cluster_id": ("ONWARD_DATABRICKS_CLUSTER_ID", "DATABRICKS_CLUSTER_ID", "DB_CLUSTER_ID"),
}
"""Variables that a job sets from `{{job.id}}` and `{{job.run_id}}`, or that the platform sets by itself."""


def ids(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what names the job, the run and the cluster that this process belongs to; `{}` elsewhere."""
    found = {
        name: next((environ[one] for one in variables if environ.get(one)), "") for name, variables in _IDS.items()
    }
    found["runtime"] = environ.get("DATABRICKS_RUNTIME_VERSION", "")
    return {name: value for name, value in found.items() if value}
