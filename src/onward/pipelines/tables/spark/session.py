"""The Spark session of this process: how it is started, what it calls itself, how its noise is kept away.

One process holds one session, since one Python process has one JVM; a forked worker makes its own. Passwords never come
here: what is told to a session stands on the command line of its JVM.
"""

from __future__ import annotations

import contextlib
import glob
import os
import subprocess
import tempfile
import warnings
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from onward.errors import SettingInvalid, SparkUnavailable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_JARS = (
    "/usr/share/java/postgresql.jar",
    "/usr/share/java/mariadb-java-client.jar",
    "/usr/share/java/sqlite-jdbc.jar",
)
"""Where Debian puts JDBC drivers."""
_LAST_WORDS_BYTES = 4000
_PARTS_DIGITS = 4
_CORES = 8


class SparkOptions(NamedTuple):
    """What may be said of Spark.

    Attributes:
        master: `local[*]`, or a cluster's URL; empty takes the session that is there, as on Databricks.
        scratch: A folder that the driver and every executor see under the same path; empty is one of this machine.
        parts: Into how many parts a window is cut at most; 0 leaves it to the session: one a core.
        part_rows: A window is not cut finer than this many rows a part.
        jars: JDBC drivers besides those that Debian's packages bring.
        conf: Further Spark settings; they stand on a command line, so nothing secret.
    """

    master: str = "local[*]"
    scratch: str = ""
    parts: int = 0
    part_rows: int = 50_000
    jars: tuple[str, ...] = ()
    conf: tuple[tuple[str, str], ...] = ()


def options_from(environ: Mapping[str, str]) -> SparkOptions:
    """Return the options that variables give: `ONWARD_SPARK_MASTER`, `_SCRATCH`, `_PARTS`, `_JARS`.

    On Databricks the default is the session that is there.

    Raises:
        SettingInvalid: The number of parts is none.
    """
    ours = SparkOptions()
    parts = environ.get("ONWARD_SPARK_PARTS") or "0"
    if not parts.isascii() or not parts.isdecimal() or len(parts) > _PARTS_DIGITS:
        msg = f"ONWARD_SPARK_PARTS must be a number of parts, not '{parts}'."
        raise SettingInvalid(msg)
    there = "" if "DATABRICKS_RUNTIME_VERSION" in environ else ours.master
    jars = tuple(jar for jar in environ.get("ONWARD_SPARK_JARS", "").replace(os.pathsep, ",").split(",") if jar)
    return SparkOptions(
        master=environ.get("ONWARD_SPARK_MASTER") or there,
        scratch=environ.get("ONWARD_SPARK_SCRATCH", ""),
        parts=int(parts),
        jars=jars,
    )


class _Held(NamedTuple):
    pid: int
    options: SparkOptions
    session: SparkSession
    is_ours: bool


_held: _Held | None = None
_imported_by = os.getpid()
"""A worker is forked from whoever imported this, and may have inherited a session, also one that is not ours."""


def session(options: SparkOptions) -> SparkSession:
    """Return the session of this process, started when there is none yet.

    Raises:
        SparkUnavailable: It cannot be had; says why.
    """
    global _held
    if _held is not None and _held.pid == os.getpid() and _held.options == options:
        return _held.session
    try:
        import pyspark  # noqa: F401
    except ImportError as error:
        msg = "Copying with Spark needs the package 'pyspark': pip install 'onward[spark]'."
        raise SparkUnavailable(msg) from error
    if _imported_by != os.getpid() and (_held is None or _held.pid != os.getpid()):
        _forget_the_parents()
    elif _held is not None:
        close()
    found = _started(options) if options.master else _found()
    found.conf.set("spark.sql.session.timeZone", "UTC")
    _held = _Held(os.getpid(), options, found, bool(options.master))
    return found


def close() -> None:
    """End the session of this process, if it is ours; may be repeated."""
    global _held
    held, _held = _held, None
    if held is None or held.pid != os.getpid() or not held.is_ours:
        return
    from py4j.protocol import Py4JError

    gateway = held.session.sparkContext._gateway  # noqa: SLF001 - pyspark has no other name for its JVM's process
    with contextlib.suppress(Py4JError, OSError), warnings.catch_warnings():
        # A JVM that is gone cannot be asked to stop: whoever ends a lost session knows.
        warnings.simplefilter("ignore", RuntimeWarning)
        held.session.stop()
    _end(gateway)


def cores(found: SparkSession) -> int:
    """Return how many tasks run side by side, as far as a session tells."""
    try:
        return int(found.sparkContext.defaultParallelism)
    except (AttributeError, NotImplementedError):
        return _CORES  # a session of Spark Connect has no context


def ids(found: SparkSession) -> dict[str, str]:
    """Return what names this session to those who run it: application, master, and on Databricks job, run, cluster."""
    names = {
        "application_id": "spark.app.id",
        "master": "spark.master",
        "job_id": "spark.databricks.job.id",
        "run_id": "spark.databricks.job.runId",
        "cluster_id": "spark.databricks.clusterUsageTags.clusterId",
        "workspace": "spark.databricks.workspaceUrl",
    }
    told = {ours: found.conf.get(theirs, None) for ours, theirs in names.items()}
    # A job hands its ids on as {{job.id}} and {{job.run_id}}: these go before what the runtime says by itself.
    told |= {
        name: os.environ[variable]
        for name, variable in (("job_id", "ONWARD_DATABRICKS_JOB_ID"), ("run_id", "ONWARD_DATABRICKS_RUN_ID"))
        if os.environ.get(variable)
    }
    return {"version": found.version, **{name: value for name, value in told.items() if value}}


def _started(options: SparkOptions) -> SparkSession:
    from py4j.protocol import Py4JError
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    drivers = [jar for pattern in (*options.jars, *_JARS) for jar in sorted(glob.glob(pattern))]
    conf = SparkConf(loadDefaults=False)
    is_local = options.master == "local" or options.master.startswith("local[")
    conf.setMaster(options.master).setAppName("onward")
    conf.set("spark.ui.enabled", "false").set("spark.ui.showConsoleProgress", "false")
    if is_local:
        conf.set("spark.driver.bindAddress", "127.0.0.1").set("spark.driver.host", "127.0.0.1")
    else:
        conf.set("spark.jars", ",".join(drivers))  # executors need the drivers as well
    conf.set("spark.driver.extraClassPath", os.pathsep.join(drivers))
    conf.set("spark.driver.extraJavaOptions", "-Duser.timezone=UTC")
    conf.set("spark.executor.extraJavaOptions", "-Duser.timezone=UTC")
    conf.setAll(list(options.conf))
    gateway = None
    with tempfile.TemporaryFile() as said:  # the JVM has it for as long as it lives
        try:
            gateway = launch_gateway(conf, {"stdout": said, "stderr": said})  # type: ignore[no-untyped-call]
            context = SparkContext(conf=conf, gateway=gateway)
            context.setLogLevel("ERROR")
            return SparkSession(context)
        except (PySparkException, Py4JError, OSError, ValueError) as error:
            _end(gateway)
            msg = (
                f"Spark does not start with the master '{options.master}': {_reason(said, error)} See that Java 17 or "
                "newer is there (java -version), and that the master is one that answers."
            )
            raise SparkUnavailable(msg) from error


def _found() -> SparkSession:
    """Return the session of the platform that this process runs on."""
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    try:
        return SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()
    except PySparkException as error:
        msg = "There is no Spark session here to take: name one with `spark.master`, e.g. local[*]."
        raise SparkUnavailable(msg) from error


def _forget_the_parents() -> None:
    """Let a forked process have no session, instead of its parent's, whose socket both would talk into."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None  # noqa: SLF001 - as above
    SparkSession._instantiatedSession = None  # noqa: SLF001 - as above


def _end(gateway: Any) -> None:
    """End a JVM and let pyspark forget it, so that the next session gets one of its own."""
    from pyspark import SparkContext

    if gateway is None:
        return
    with contextlib.suppress(OSError):  # its socket may be closed already
        gateway.shutdown()
    process = getattr(gateway, "proc", None)
    if process is not None:
        process.stdin.close()  # the JVM ends when this line does
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001 - as above


def _reason(said: IO[bytes], error: BaseException) -> str:
    """Return the line of what the JVM said that tells most, or what pyspark makes of it."""
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - _LAST_WORDS_BYTES))
    lines = said.read().decode(errors="replace").splitlines()
    telling = [line.strip() for line in lines if "Exception" in line or "ERROR" in line or "not set" in line]
    return (telling or [line.strip() for line in str(error).splitlines()[:1]] or ["it said nothing."])[0][:300]
