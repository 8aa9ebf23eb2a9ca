"""What stands around Spark and needs no session: how windows are cut, where parts lie, what a name or a URL may be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import SettingInvalid, SparkUnavailable
from onward.pipelines.tables.databases.urls import address_of
from onward.pipelines.tables.spark import open_by_spark, unity
from onward.pipelines.tables.spark.dialect import FETCH_ROWS
from onward.pipelines.tables.spark.mariadb import Mariadb
from onward.pipelines.tables.spark.parts import in_order, ranges
from onward.pipelines.tables.spark.scratch import parts_of, scratch, sweep
from onward.pipelines.tables.spark.session import SparkOptions, options_from


def is_in(condition: str, value: int | None) -> bool:
    """Say whether a row is in a part, as SQL would: what is unknown is not."""
    import apsw

    with_value = condition.replace("m", "NULL" if value is None else f"({value})") or "1"
    ((found,),) = apsw.Connection(":memory:").execute(f"SELECT {with_value}")
    return bool(found)


@given(
    st.integers(-(2**40), 2**40), st.integers(0, 2**20), st.integers(1, 9),
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
)
def test_law_a_row_is_in_exactly_one_part_whatever_was_written_since_the_bounds_were_asked(
    least: int, span: int, count: int, value: int | None
) -> None:
    conditions = ranges("m", least, least + span, count)

    assert 1 <= len(conditions) <= count
    assert sum(is_in(one, value) for one in conditions) == 1


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 7))
def test_law_rows_of_many_parts_come_in_the_order_of_their_numbers(parts: list[int], size: int) -> None:
    numbers: list[list[int]] = [[], [], [], []]
    for number, part in enumerate(parts):
        numbers[part].append(number)
    batches = [
        iter(pa.table({"n": pa.array(one, pa.int64()), "v": pa.array(map(str, one), pa.string())}).to_batches(size))
        for one in numbers
    ]

    found = list(in_order(batches, "n"))

    assert [value for batch in found for value in batch.column("n").to_pylist()] == list(range(len(parts)))
    assert [value for batch in found for value in batch.column("v").to_pylist()] == [str(i) for i in range(len(parts))]


def test_parts_of_a_write_that_was_not_committed_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "part-00000.parquet").touch()

    with pytest.raises(FileNotFoundError):
        parts_of(tmp_path)
    (tmp_path / "_SUCCESS").touch()

    assert [path.name for path in parts_of(tmp_path)] == ["part-00000.parquet"]


def test_a_scratch_folder_goes_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), scratch(str(tmp_path)) as folder:
        folder.mkdir()
        (folder / "part-00000.parquet").touch()
        raise RuntimeError

    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_left_is_swept_and_what_a_living_one_needs_is_not(tmp_path: Path) -> None:
    code = "from onward.pipelines.tables.spark.scratch import scratch; "
    code += f"scratch({str(tmp_path)!r}).__enter__().mkdir(); "
    subprocess.run([sys.executable, "-c", f"{code}import os; os._exit(9)"], check=False)
    (dead,) = tmp_path.iterdir()
    (tmp_path / "onward-spark-notes").mkdir()
    (tmp_path / f"onward-spark-another.machine-{os.getpid()}-{'0' * 16}").mkdir()
    before = f"onward-spark-{os.uname().nodename}-{os.getpid()}-{'0' * 16}"  # of a process that had our id
    (tmp_path / before).mkdir()

    with scratch(str(tmp_path)) as mine:
        mine.mkdir()
        other = subprocess.Popen(
            [sys.executable, "-c", f"{code}print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        gone = sweep(str(tmp_path))
        left = {path.name for path in tmp_path.iterdir()}
        other.communicate(b"\n")

        assert sorted(gone) == sorted([dead.name, before])
        assert mine.name in left
        assert len(left) == 4


def test_a_scratch_folder_that_is_not_there_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(SparkUnavailable, match=r"nowhere.*is no folder"), scratch(str(tmp_path / "nowhere")):
        pass


def test_options_come_from_variables_and_on_databricks_the_session_is_there() -> None:
    assert options_from({}) == SparkOptions(master="local[*]")
    assert options_from({"DATABRICKS_RUNTIME_VERSION": "16.1"}).master == ""
    assert options_from(
        {"ONWARD_SPARK_MASTER": "spark://m:7077", "ONWARD_SPARK_SCRATCH": "/v", "ONWARD_SPARK_PARTS": "8",
         "ONWARD_SPARK_JARS": "/a.jar:/b.jar,/c.jar"}
    ) == SparkOptions("spark://m:7077", "/v", 8, jars=("/a.jar", "/b.jar", "/c.jar"))  # fmt: skip
    with pytest.raises(SettingInvalid, match="ONWARD_SPARK_PARTS must be a number"):
        options_from({"ONWARD_SPARK_PARTS": "many"})


def test_sqlite_is_refused_with_what_to_do(tmp_path: Path) -> None:
    import apsw

    apsw.Connection(str(tmp_path / "a.db")).execute("CREATE TABLE t (id INTEGER)")

    with pytest.raises(SettingInvalid, match="not sqlite: copy this source without `--executor spark`"):
        open_by_spark(f"sqlite:///{tmp_path}/a.db")


def test_an_address_holds_neither_user_nor_password() -> None:
    found = Mariadb().jdbc(address_of("mariadb://me:s3cret%2F@[::1]/a%20b?ssl_ca=/ca.pem"))

    assert found.address.startswith("jdbc:mysql://[::1]:3306/a%20b?")
    assert "useSSL=true&serverSslCert=%2Fca.pem" in found.address
    assert "s3cret" not in f"{found!r} {found.address}"
    assert found.options == {
        "driver": "org.mariadb.jdbc.Driver", "fetchsize": FETCH_ROWS, "user": "me", "password": "s3cret/",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("url", "words"),
    [("mariadb://h/d?unix_socket=/run/s", "'unix_socket' in its URL"), ("mariadb:///d", "a URL without a host")],
)
def test_a_url_that_executors_elsewhere_could_not_use_is_refused(url: str, words: str) -> None:
    with pytest.raises(SettingInvalid, match=words):
        Mariadb().jdbc(address_of(url))


def test_a_name_of_three_parts_is_quoted_part_by_part() -> None:
    name = unity.table_name("main", "sales-eu", "größe")

    assert name.quoted == "`main`.`sales-eu`.`größe`"
    assert str(name) == "main.sales-eu.größe"
    assert unity.TableName("a", "b`; DROP", "c").quoted == "`a`.`b``; DROP`.`c`"


@pytest.mark.parametrize("bad", ["", "a.b", "a b", "a/b", "a`b", "a\nb", "x" * 256])
def test_a_name_that_unity_catalog_does_not_take_is_refused(bad: str) -> None:
    with pytest.raises(SettingInvalid, match="schema"):
        unity.table_name("main", bad, "orders")
