"""A window's file: the same bytes for the same rows, read back before anybody hears of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from arrow_rows import NESTED, PLAIN, batch_of, cuttings, tables
from hypothesis import given
from hypothesis import strategies as st

from onward.disk.hashing import hash_bytes
from onward.errors import DatabaseAway, ReadBackDiffers, ResultInvalid, TypeUnsupported, ValueUnsupported
from onward.pipelines.tables.rows import Rows
from onward.pipelines.tables.sinks import parquet_sink
from onward.pipelines.tables.sinks.parquet_sink import ParquetSink
from onward.pipelines.tables.sinks.row_groups import row_groups
from onward.pipelines.tables.sinks.storable import INTERVAL, stored_schema

KEY = "shop.main.sale@2025-01-23"
OUTPUT = "shop/main.sale/window=2025-01-23/part-0.parquet"
METADATA = {"onward.table": "shop.main.sale", "onward.window_start": "2025-01-23T00:00:00+00:00"}
SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("note", pa.string())])


def some(start: int, count: int) -> pa.RecordBatch:
    return batch_of(SCHEMA, [(i, None if i % 3 == 0 else f"note {i}") for i in range(start, start + count)])


def rows_of(*batches: pa.RecordBatch, schema: pa.Schema = SCHEMA) -> Rows:
    return Rows(schema, METADATA, lambda: iter(batches))


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[ParquetSink]:
    one = ParquetSink()
    one.prepare(str(tmp_path))
    yield one
    one.close()


def staged_file(sink: ParquetSink, name: str = "1.1.1.staged") -> Path:
    return Path(sink.staging.path(name))


def stand(sink: ParquetSink, rows: Rows, name: str = "1.1.1.staged", key: str = KEY) -> str:
    staged = sink.stage(name, rows, key=key)
    sink.sync([name])
    sink.keep_old(sink.output_of(key), None)
    sink.publish(name, sink.output_of(key))
    sink.sync_published()
    return staged.digest


def test_a_window_is_a_file_with_its_rows_and_what_it_says_of_itself(sink: ParquetSink, tmp_path: Path) -> None:
    rows = rows_of(some(0, 3), some(3, 4))

    digest = stand(sink, rows)

    found = pq.read_table(tmp_path / OUTPUT, partitioning=None)
    said = pq.read_metadata(tmp_path / OUTPUT).metadata
    assert found.to_pylist() == pa.Table.from_batches([some(0, 7)]).to_pylist()
    assert found.schema.remove_metadata() == SCHEMA
    assert {name: said[name.encode()].decode() for name in METADATA} == METADATA
    assert said[b"onward.rows"] == b"7"
    assert said[b"onward.digest"] == rows.digest.encode()
    assert pq.read_metadata(tmp_path / OUTPUT).row_group(0).column(0).compression == "ZSTD"
    assert sink.digests([OUTPUT]) == [digest] == [hash_bytes((tmp_path / OUTPUT).read_bytes())]


def test_a_window_without_rows_is_a_file_too(sink: ParquetSink, tmp_path: Path) -> None:
    stand(sink, rows_of())

    assert pq.read_metadata(tmp_path / OUTPUT).num_rows == 0
    assert pq.read_schema(tmp_path / OUTPUT).names == ["id", "note"]


@given(st.data())
def test_the_same_rows_give_the_same_bytes_however_they_came(data: st.DataObject) -> None:
    drawn = data.draw(tables())
    digests = []
    with TemporaryDirectory() as out:
        sink = ParquetSink()
        sink.attach(out)
        sink.staging.create()
        for name in ("1.1.1.staged", "1.1.2.staged"):
            pieces = data.draw(cuttings(drawn))
            digests.append(sink.stage(name, rows_of(*pieces, schema=drawn.schema), key=KEY).digest)
        found = pq.read_table(sink.staging.path("1.1.2.staged"))

    assert digests[0] == digests[1]
    assert found.num_rows == len(drawn.rows)


@pytest.mark.parametrize(("of_type", "values"), PLAIN + NESTED, ids=lambda one: str(one)[:30])
def test_each_type_comes_back_from_the_file(
    of_type: pa.DataType, values: st.SearchStrategy[object], sink: ParquetSink
) -> None:
    schema = pa.schema([("c", of_type)])

    @given(st.lists(st.none() | values, max_size=5))
    def look(column: list[object]) -> None:
        batch = batch_of(schema, [(value,) for value in column])
        sink.stage("1.1.1.staged", rows_of(batch, schema=schema), key=KEY)
        found = pq.read_table(staged_file(sink))
        assert found.schema.field(0).type == stored_schema(schema).field(0).type
        assert as_intervals(found.column(0).to_pylist()) == batch.column(0).to_pylist()

    look()


def as_intervals(value: object) -> object:
    """Return a value with what an interval is stored as made an interval again."""
    if isinstance(value, list):
        return [as_intervals(one) for one in value]
    if isinstance(value, dict) and list(value) == INTERVAL.names:
        return pa.MonthDayNano(list(value.values()))
    return value


def test_row_groups_end_after_a_number_of_rows_or_bytes_whatever_the_batches() -> None:
    schema = pa.schema([("text", pa.string())])
    texts = [("x" * length,) for length in (10, 10, 100, 1000, 10, 10, 10, 10, 10)]
    whole = batch_of(schema, texts)

    def lengths(batches: list[pa.RecordBatch]) -> list[list[int]]:
        groups = row_groups(batches, schema, rows_max=4, bytes_max=200)
        return [[len(text) for text in group.column(0).to_pylist()] for group in groups]

    wanted = [[10, 10, 100], [1000], [10, 10, 10, 10], [10]]
    assert lengths([whole]) == wanted
    for size in range(1, 9):
        assert lengths([whole.slice(at, size) for at in range(0, len(texts), size)]) == wanted


def test_a_group_holds_no_more_than_its_bytes_in_nested_columns_either() -> None:
    schema = pa.schema([("l", pa.list_(pa.string())), ("s", pa.struct([("a", pa.binary())]))])
    rows = [(["y" * 50, None, "y" * 50], {"a": b"z" * 100})] * 10
    groups = list(row_groups([batch_of(schema, rows)], schema, rows_max=100, bytes_max=450))

    assert [group.num_rows for group in groups] == [2] * 5


class Failing:
    """A database that ends the connection after a batch, so many times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.begun = 0

    def __call__(self) -> Iterator[pa.RecordBatch]:
        self.begun += 1
        yield some(0, 5)
        if self.begun <= self.times:
            msg = "The database 'shop' has ended the connection."
            raise DatabaseAway(msg)
        yield some(5, 5)


def test_a_file_is_begun_anew_when_the_database_goes_away_on_the_way(sink: ParquetSink) -> None:
    failing = Failing(times=3)
    rows = Rows(SCHEMA, METADATA, failing)

    staged = sink.stage("1.1.1.staged", rows, key=KEY)

    assert failing.begun == 4
    assert rows.rows == 10
    assert staged == sink.stage("1.1.2.staged", rows_of(some(0, 10)), key=KEY)._replace(mtime_ns=staged.mtime_ns)


def test_a_database_that_goes_away_again_and_again_is_let_through_and_leaves_no_file(sink: ParquetSink) -> None:
    failing = Failing(times=1000)

    with pytest.raises(DatabaseAway):
        sink.stage("1.1.1.staged", Rows(SCHEMA, METADATA, failing), key=KEY)

    assert failing.begun == 11
    assert not staged_file(sink).exists()


def test_an_error_of_the_database_is_let_through_as_it_is(sink: ParquetSink) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield some(0, 5)
        raise pa.ArrowInvalid("of an adapter")

    with pytest.raises(pa.ArrowInvalid, match="of an adapter"):
        sink.stage("1.1.1.staged", Rows(SCHEMA, METADATA, broken), key=KEY)

    assert not staged_file(sink).exists()


def test_an_interval_becomes_a_struct_that_says_what_it_was(sink: ParquetSink, tmp_path: Path) -> None:
    schema = pa.schema([("took", pa.month_day_nano_interval())])
    stand(sink, rows_of(batch_of(schema, [(pa.MonthDayNano([1, -2, 3]),), (None,)]), schema=schema))

    found = pq.read_table(tmp_path / OUTPUT, partitioning=None)

    assert found.column(0).to_pylist() == [{"months": 1, "days": -2, "nanoseconds": 3}, None]
    assert found.schema.field(0).metadata[b"onward.type"] == b"month_day_nano_interval"


@pytest.mark.parametrize(
    ("of_type", "why"),
    [
        (pa.timestamp("s"), r"would become timestamp\[ms\]"),
        (pa.struct([]), "no child"),
        (pa.decimal128(9, -2), "Scale"),
    ],
    ids=str,
)
def test_a_type_that_parquet_cannot_hold_is_refused_by_name(of_type: pa.DataType, why: str, sink: ParquetSink) -> None:
    schema = pa.schema([("id", pa.int64()), ("odd", of_type)])

    with pytest.raises(TypeUnsupported, match=f"The column 'odd' of '{KEY}'.*{why}"):
        sink.stage("1.1.1.staged", rows_of(schema=schema), key=KEY)

    assert not staged_file(sink).exists()


def test_a_null_in_a_column_that_allows_none_is_refused(sink: ParquetSink) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1, None]), pa.array(["a", "b"])], schema=SCHEMA)

    with pytest.raises(ValueUnsupported, match=f"The rows of '{KEY}' cannot be written"):
        sink.stage("1.1.1.staged", rows_of(batch), key=KEY)

    assert not staged_file(sink).exists()


def test_a_result_that_is_no_rows_is_refused(sink: ParquetSink) -> None:
    with pytest.raises(ResultInvalid, match="writes the rows of a window"):
        sink.stage("1.1.1.staged", {"rows": 1}, key=KEY)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def without_a_row(path: Path) -> None:
    found = pq.read_table(path)
    pq.write_table(found.slice(1), path)


def of_other_rows(path: Path) -> None:
    said = {**pq.read_metadata(path).metadata, b"onward.digest": b"sha256:00"}
    pq.write_table(pq.read_table(path).replace_schema_metadata(said), path)


def with_another_column(path: Path) -> None:
    said = pq.read_metadata(path).metadata
    ours = {name: text for name, text in said.items() if name.startswith(b"onward.")}
    found = pq.read_table(path).rename_columns(["id", "remark"])
    pq.write_table(found.replace_schema_metadata(ours), path)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (cut_short, "its footer cannot be read"),
        (without_a_row, "4 rows instead of 5"),
        (of_other_rows, "'onward.digest' is not"),
        (with_another_column, "other columns"),
    ],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_what_is_read_back_otherwise_than_it_was_written_is_refused(
    damage: Callable[[Path], None], why: str, sink: ParquetSink
) -> None:
    """A disk that changes what is written cannot be ordered here, so the file is changed and the check is asked."""
    rows = rows_of(some(1, 5))
    path = staged_file(sink)
    sink.stage("1.1.1.staged", rows, key=KEY)
    metadata = {**METADATA, "onward.rows": "5", "onward.digest": rows.digest}
    parquet_sink.read_back(str(path), 5, SCHEMA, metadata, KEY)

    damage(path)

    with pytest.raises(ReadBackDiffers, match=why):
        parquet_sink.read_back(str(path), 5, SCHEMA, metadata, KEY)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (None, None),
        ({}, None),
        ({"rows": 5}, None),
        ({"rows": 6}, "5 rows instead of 6"),
        ({"rows": 5, "digest": "sha256:00"}, "'onward.digest' is not what it is to be"),
    ],
    ids=str,
)
def test_a_file_is_examined_against_the_facts(
    facts: dict[str, object] | None, why: str | None, sink: ParquetSink
) -> None:
    stand(sink, rows_of(some(1, 5)))

    assert sink.examine(OUTPUT, None if facts is None else json.dumps(facts)) == why


def test_an_examined_file_without_a_footer_is_told(sink: ParquetSink, tmp_path: Path) -> None:
    stand(sink, rows_of(some(1, 5)))
    cut_short(tmp_path / OUTPUT)

    assert "footer" in (sink.examine(OUTPUT, None) or "")


def test_a_look_tells_of_each_window_and_moves_when_one_does(sink: ParquetSink, tmp_path: Path) -> None:
    container = "shop/main.sale"
    assert sink.look(container) == b""
    for i, day in enumerate(("2025-01-23", "2025-01-24")):
        stand(sink, rows_of(some(i, 3)), f"1.{i}.1.staged", f"shop.main.sale@{day}")
    look = sink.look(container)
    st_ = (tmp_path / OUTPUT).stat()

    (tmp_path / container / "notes.txt").write_text("a stranger's")
    (tmp_path / container / "window=empty").mkdir()
    (tmp_path / container / "window=file").write_text("no folder")

    found = sink.unpack(look, container)
    assert sorted(found) == [OUTPUT, OUTPUT.replace("23", "24")]
    assert found[OUTPUT] == sink.packed(st_.st_size, st_.st_mtime_ns)
    assert sink.pack(found, container) == look == sink.look(container)
    (tmp_path / OUTPUT).write_bytes(b"hand-made")
    assert sink.look(container) != look


def test_outputs_are_the_files_that_a_reader_of_the_folder_would_read(sink: ParquetSink, tmp_path: Path) -> None:
    stand(sink, rows_of(some(0, 3)))
    stranger = tmp_path / "shop/main.sale/window=2025-01-23/part-1.parquet"
    stranger.write_bytes(b"not ours")
    (tmp_path / "tables.toml").write_text("")

    assert list(sink.outputs()) == [OUTPUT, OUTPUT.replace("part-0", "part-1")]


def test_a_replaced_window_can_be_had_again(sink: ParquetSink) -> None:
    before = stand(sink, rows_of(some(0, 3)))
    after = stand(sink, rows_of(some(0, 4)), "1.1.2.staged")

    assert [one.digest for one in sink.old()] == [before]
    assert sink.stage_old("0.1.3.staged", before).digest == before
    assert sink.digests([OUTPUT]) == [after]
