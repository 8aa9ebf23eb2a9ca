"""What every store of vectors does, on each of them, for real: a SQLite file, a folder of Chroma, PostgreSQL."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import apsw
import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm import wait_until
from onward.errors import OutputRefused, OutputUnavailable, UsageError
from onward.pipelines.documents.stores import store_of
from onward.pipelines.documents.stores.port import Origin, StoredChunk, VectorStore, digest_of
from services.postgres import Postgres
from services.process import Server

KINDS = ("sqlite", "chroma", "pgvector")
SETTINGS = {"store": "sqlite", "collection": "documents", "chroma.url": ""}
Open = Callable[[], VectorStore]
OURS = Origin("some/1", 8, "ours@1")


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Return a function that gives another handle on the same place; one is open at a time."""
    out = str(tmp_path / "out")
    if request.param == "pgvector":
        out = request.getfixturevalue("postgres").url
    handles: list[VectorStore] = []

    def another() -> VectorStore:
        for handle in handles:
            handle.close()
        handles.append(store_of(out, {**SETTINGS, "store": "chroma" if request.param == "chroma" else "sqlite"}))
        return handles[-1]

    yield another
    for handle in handles:
        handle.close()


def vector_of(text: str, dimensions: int = 8) -> bytes:
    numbers = np.frombuffer(sha256(text.encode()).digest()[:dimensions], dtype=np.uint8).astype(np.float64) + 1
    return (numbers / np.linalg.norm(numbers)).astype("<f4").tobytes()


def chunk_of(n: int, text: str | None = None) -> StoredChunk:
    said = f"text {n}\nwith ü and 'quotes'" if text is None else text
    return StoredChunk(f"{n:032x}", f"Heading > {n}", said, vector_of(said))


def filled(opened: Open, count: int = 10) -> VectorStore:
    store = opened()
    store.open(writes=True)
    store.agree(OURS)
    store.upsert([chunk_of(n) for n in range(count)])
    return store


def digests_of(*chunks: StoredChunk) -> dict[str, bytes]:
    return {chunk.id: digest_of(chunk) for chunk in chunks}


def test_a_store_that_is_not_there_is_not_made_by_looking(opened: Open) -> None:
    assert not opened().open(writes=False)
    assert not opened().open(writes=False)
    assert not opened().open(writes=True)


def test_what_was_put_is_there_for_the_next_one_to_the_bit(opened: Open) -> None:
    filled(opened)

    store = opened()

    assert store.open(writes=False)
    assert dict(store.digests()) == digests_of(*(chunk_of(n) for n in range(10)))
    assert [one for one, _ in store.digests()] == sorted(f"{n:032x}" for n in range(10))


def test_putting_again_changes_nothing_and_putting_another_replaces(opened: Open) -> None:
    store = filled(opened)
    store.upsert([chunk_of(3)])
    assert dict(store.digests()) == digests_of(*(chunk_of(n) for n in range(10)))

    other = chunk_of(3)._replace(heading="", text="", vector=vector_of("else"))
    store.upsert([other])

    assert dict(store.digests())[other.id] == digest_of(other)


def test_what_is_deleted_is_gone_and_may_be_deleted_again(opened: Open) -> None:
    store = filled(opened)

    for _ in range(2):
        store.delete([chunk_of(n).id for n in (0, 7)])

    assert dict(store.digests()) == digests_of(*(chunk_of(n) for n in range(10) if n not in (0, 7)))


def test_many_chunks_go_in_at_once(opened: Open) -> None:
    store = filled(opened, 2_500)
    assert len(dict(store.digests())) == 2_500
    store.delete([chunk_of(n).id for n in range(2_400)])
    assert dict(store.digests()) == digests_of(*(chunk_of(n) for n in range(2_400, 2_500)))


def test_vectors_of_another_embedder_are_refused_and_nothing_is_changed(opened: Open) -> None:
    filled(opened)
    store = opened()
    store.open(writes=True)
    assert store.origin() == OURS
    store.agree(OURS)

    for other in (OURS._replace(embedder="other/1"), OURS._replace(dimensions=16)):
        with pytest.raises(OutputRefused, match=r"some/1.*8") as refused:
            store.agree(other)
        assert other.embedder in str(refused.value)
        assert "another" in str(refused.value)
    assert store.origin() == OURS


def test_a_store_that_another_job_fills_is_refused_and_nothing_is_changed(opened: Open) -> None:
    filled(opened)
    store = opened()
    store.open(writes=True)

    with pytest.raises(OutputRefused, match=r"'ours@1'.*'theirs@2'"):
        store.agree(OURS._replace(owner="theirs@2"))

    assert store.origin() == OURS
    assert store.count() == 10


def test_the_nearest_are_those_that_comparing_with_all_gives(opened: Open) -> None:
    store = filled(opened, 50)
    asked = vector_of("a question")
    cosines = {
        chunk.id: float(np.frombuffer(chunk.vector, "<f4").astype(float) @ np.frombuffer(asked, "<f4").astype(float))
        for chunk in map(chunk_of, range(50))
    }
    among = [chunk_of(n).id for n in range(0, 50, 3)]

    for wanted, chosen in ((cosines, None), ({one: cosines[one] for one in among}, among)):
        found = store.nearest(asked, chosen, 7)
        best = sorted(wanted.items(), key=lambda one: (-one[1], one[0]))[:7]
        assert [one for one, _ in found] == [one for one, _ in best]
        assert [score for _, score in found] == pytest.approx([score for _, score in best], abs=1e-5)
    assert store.nearest(asked, [], 5) == []
    assert store.nearest(asked, ["nobody"], 5) == []


def test_of_equal_ones_the_lesser_id_comes_first(opened: Open) -> None:
    store = opened()
    store.open(writes=True)
    store.agree(OURS)
    same = [chunk_of(n)._replace(vector=vector_of("same")) for n in range(20)]
    store.upsert(same[::-1])

    assert [one for one, _ in store.nearest(vector_of("same"), None, 3)] == [chunk.id for chunk in same[:3]]


def test_a_mark_stays_while_nobody_writes_and_moves_when_anybody_does(opened: Open) -> None:
    store = filled(opened)
    before = store.mark()
    store.nearest(vector_of("x"), None, 3)
    list(store.digests())
    assert store.mark() == before
    store = opened()
    store.open(writes=True)
    assert store.mark() == before

    store.upsert([chunk_of(3)._replace(vector=vector_of("else"))])

    assert store.mark() != before


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.text(max_size=5)), max_size=12))
def test_law_a_store_holds_what_a_dictionary_would(opened: Open, writes: list[tuple[bool, int, str]]) -> None:
    store = filled(opened, 0)
    store.delete([one for one, _ in store.digests()])
    held: dict[str, StoredChunk] = {}
    for is_put, n, text in writes:
        chunk = chunk_of(n, text.replace("\0", "").encode("utf-8", "ignore").decode())
        if is_put:
            store.upsert([chunk])
            held[chunk.id] = chunk
        else:
            store.delete([chunk.id])
            held.pop(chunk.id, None)

    assert dict(store.digests()) == digests_of(*held.values())


# -- behind our back


def test_rows_that_others_change_in_a_file_are_seen(tmp_path: Path) -> None:
    store = store_of(str(tmp_path), SETTINGS)
    store.open(writes=True)
    store.upsert([chunk_of(n) for n in range(4)])
    before = store.mark()
    db = apsw.Connection(str(tmp_path / "chunks.sqlite"))
    db.execute("UPDATE chunk SET text = 'other' WHERE id = ?", (chunk_of(2).id,))
    db.close()

    assert store.mark() != before
    assert dict(store.digests())[chunk_of(2).id] == digest_of(chunk_of(2)._replace(text="other"))
    store.close()


@pytest.mark.parametrize("statement", [
    "DELETE FROM documents.chunk", "UPDATE documents.chunk SET heading = ''", "TRUNCATE documents.chunk",
])  # fmt: skip
def test_rows_that_others_change_in_a_database_are_seen(statement: str, postgres: Postgres) -> None:
    store = store_of(postgres.url, SETTINGS)
    store.open(writes=True)
    store.upsert([chunk_of(n) for n in range(4)])
    before = store.mark()
    with psycopg.connect(postgres.url) as db:
        db.execute(statement.encode())

    assert store.mark() != before
    assert dict(store.digests()) != digests_of(*(chunk_of(n) for n in range(4)))
    store.close()


def test_looking_for_a_collection_that_is_not_there_leaves_no_connection(postgres: Postgres) -> None:
    made = store_of(postgres.url, SETTINGS)
    made.open(writes=True)
    made.close()
    one = store_of(postgres.url, {**SETTINGS, "collection": "other"})
    assert not one.open(writes=False)

    with psycopg.connect(postgres.url) as db:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        wait_until(lambda: db.execute(others).fetchone() == (0,), what="the last connection to end")


def test_two_collections_of_a_database_do_not_meet(postgres: Postgres) -> None:
    one, other = (store_of(postgres.url, {**SETTINGS, "collection": name}) for name in ("one", "other"))
    for store, embedder in ((one, "a/1"), (other, "b/1")):
        store.open(writes=True)
        store.agree(OURS._replace(embedder=embedder))
    one.upsert([chunk_of(1)])
    other.upsert([chunk_of(2)])
    other.delete([chunk_of(1).id])

    assert dict(one.digests()) == digests_of(chunk_of(1))
    assert one.nearest(vector_of("x"), None, 9)[0][0] == chunk_of(1).id
    one.close()
    other.close()


# -- what is in the way


def test_a_folder_of_chroma_that_another_has_open_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from onward.pipelines.documents.stores import chroma

    monkeypatch.setattr(chroma, "_WAIT_S", 0.1)
    held = store_of(str(tmp_path), {**SETTINGS, "store": "chroma"})
    held.open(writes=True)
    second = store_of(str(tmp_path), {**SETTINGS, "store": "chroma"})

    with pytest.raises(OutputUnavailable, match=str(os.getpid())):
        second.open(writes=False)

    held.close()
    assert second.open(writes=False)
    second.close()


def test_a_server_that_is_away_is_told_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONWARD_STORE_WAIT_S", "0.2")
    store = store_of("postgresql://user:geheim@127.0.0.1:9/nowhere", SETTINGS)

    with pytest.raises(OutputUnavailable, match=r"127\.0\.0\.1") as away:
        store.open(writes=True)

    assert "geheim" not in str(away.value)


def test_a_server_of_chroma_that_is_away_is_told() -> None:
    store = store_of("unused", {**SETTINGS, "store": "chroma", "chroma.url": "http://127.0.0.1:9"})

    with pytest.raises(OutputUnavailable, match=r"127\.0\.0\.1:9"):
        store.open(writes=True)


def test_a_password_that_is_not_accepted_is_told(postgres: Postgres) -> None:
    store = store_of(re.sub("//[^@]*@", "//nobody_we_know@", postgres.url), SETTINGS)

    with pytest.raises(UsageError, match="nobody_we_know"):
        store.open(writes=True)


def test_another_file_in_the_place_of_a_store_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "chunks.sqlite").write_bytes(b"this is no database, and somebody wants it" * 100)
    before = (tmp_path / "chunks.sqlite").read_bytes()
    store = store_of(str(tmp_path), SETTINGS)

    with pytest.raises(OutputRefused, match=r"chunks\.sqlite"):
        store.open(writes=True)

    assert (tmp_path / "chunks.sqlite").read_bytes() == before


@pytest.mark.parametrize("url", ["postgresql://h/db?schema=Big", "postgresql://h/db?schema=pg_x", "mysql://h/db"])
def test_a_url_that_names_no_place_is_refused(url: str) -> None:
    with pytest.raises(OutputRefused):
        store_of(url, SETTINGS)


# -- spoilt by others


@pytest.mark.parametrize("spoil", [
    "UPDATE chunk SET vector = x'0011' WHERE id = ?",
    "UPDATE chunk SET vector = x'00112233' WHERE id = ?",
    "UPDATE chunk SET vector = x'0000c07f" + "00" * 28 + "' WHERE id = ?",
    "UPDATE chunk SET text = CAST(x'ff41' AS TEXT) WHERE id = ?",
])  # fmt: skip
def test_a_spoilt_row_of_a_file_is_told_apart_and_hides_no_other(spoil: str, tmp_path: Path) -> None:
    store = store_of(str(tmp_path), SETTINGS)
    store.open(writes=True)
    store.upsert([chunk_of(n) for n in range(4)])
    db = apsw.Connection(str(tmp_path / "chunks.sqlite"))
    db.execute(spoil, (chunk_of(2).id,))
    db.close()

    found = dict(store.digests())
    near = [one for one, _ in store.nearest(vector_of("x"), None, 9)]

    assert [one for one in found if found[one] != digest_of(chunk_of(int(one, 16)))] == [chunk_of(2).id]
    assert {chunk_of(n).id for n in (0, 1, 3)} <= set(near)
    store.upsert([chunk_of(2)])
    assert dict(store.digests()) == digests_of(*(chunk_of(n) for n in range(4)))
    store.close()


def test_a_vector_of_other_length_in_a_database_hides_no_other(postgres: Postgres) -> None:
    store = store_of(postgres.url, SETTINGS)
    store.open(writes=True)
    store.upsert([chunk_of(n) for n in range(4)])
    with psycopg.connect(postgres.url) as db:
        db.execute("UPDATE documents.chunk SET vector = '[1,2]' WHERE id = %s", (chunk_of(2).id,))
        db.execute("UPDATE documents.chunk SET vector = '[0,0,0,0,0,0,0,0]' WHERE id = %s", (chunk_of(3).id,))

    near = [one for one, _ in store.nearest(vector_of("x"), None, 9)]

    assert sorted(near) == [chunk_of(n).id for n in (0, 1)]
    store.close()


@pytest.mark.parametrize("forget", ["DELETE FROM note WHERE name = 'dimensions'", "UPDATE note SET value = 'many'"])
def test_a_note_of_the_embedder_that_others_spoilt_is_made_anew(forget: str, tmp_path: Path) -> None:
    store = store_of(str(tmp_path), SETTINGS)
    store.open(writes=True)
    store.agree(OURS)
    db = apsw.Connection(str(tmp_path / "chunks.sqlite"))
    db.execute(forget)
    db.close()
    assert store.origin() is None

    store.agree(OURS)

    assert store.origin() == OURS
    store.close()


def test_a_file_that_was_emptied_is_no_store_until_it_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "chunks.sqlite").write_bytes(b"")

    assert not store_of(str(tmp_path), SETTINGS).open(writes=False)
    store = store_of(str(tmp_path), SETTINGS)
    assert not store.open(writes=True)
    assert dict(store.digests()) == {}
    store.close()


def test_a_damaged_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    store = store_of(str(tmp_path), SETTINGS)
    store.open(writes=True)
    store.upsert([chunk_of(n) for n in range(2_000)])
    store.close()
    path = tmp_path / "chunks.sqlite"
    path.write_bytes(path.read_bytes()[:8_192])

    with pytest.raises(OutputRefused, match=r"damaged.*Move it away and run again"):
        _ = store.open(writes=False) and list(store.digests())

    store.close()


def test_a_file_that_may_not_grow_is_told_and_holds_what_it_held(tmp_path: Path) -> None:
    store = store_of(str(tmp_path), SETTINGS)
    store.open(writes=True)
    store.upsert([chunk_of(n) for n in range(3)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        with pytest.raises(OutputUnavailable, match=r"chunks\.sqlite"):
            store.upsert([chunk_of(n, f"{n} " * 2_000) for n in range(3, 100)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

    assert dict(store.digests()) == digests_of(*(chunk_of(n) for n in range(3)))
    store.close()


def test_a_file_that_another_has_locked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from onward.pipelines.documents.stores import sqlite

    monkeypatch.setattr(sqlite, "_BUSY_MS", 50)
    store = store_of(str(tmp_path), SETTINGS)
    store.open(writes=True)
    db = apsw.Connection(str(tmp_path / "chunks.sqlite"))
    db.execute("BEGIN IMMEDIATE")

    with pytest.raises(OutputUnavailable, match="locked"):
        store.upsert([chunk_of(1)])

    db.close()
    store.upsert([chunk_of(1)])
    assert dict(store.digests()) == digests_of(chunk_of(1))
    store.close()


def test_an_open_reader_sees_what_a_run_elsewhere_adds(tmp_path: Path) -> None:
    writer, reader = (store_of(str(tmp_path), SETTINGS) for _ in range(2))
    writer.open(writes=True)
    writer.upsert([chunk_of(1)])
    reader.open(writes=False)
    assert [one for one, _ in reader.nearest(vector_of("x"), None, 9)] == [chunk_of(1).id]

    writer.upsert([chunk_of(2)])

    assert {one for one, _ in reader.nearest(vector_of("x"), None, 9)} == {chunk_of(1).id, chunk_of(2).id}
    writer.close()
    reader.close()


# -- a database that others use, too


def test_a_change_that_is_committed_after_a_mark_moves_it(postgres: Postgres) -> None:
    store = store_of(postgres.url, SETTINGS)
    store.open(writes=True)
    store.upsert([chunk_of(n) for n in range(4)])
    with psycopg.connect(postgres.url) as db:
        db.execute("UPDATE documents.chunk SET heading = 'other'")
        noted = store.mark()

    assert store.mark() != noted
    store.close()


def test_tables_of_somebody_else_are_left_alone(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url) as db:
        db.execute("CREATE SCHEMA documents CREATE TABLE chunk (a int)")

    with pytest.raises(OutputRefused, match=r"'chunk' that is not ours.*\?schema="):
        store_of(postgres.url, SETTINGS).open(writes=True)

    with psycopg.connect(postgres.url) as db:
        tables = db.execute("SELECT tablename::text FROM pg_tables WHERE schemaname = 'documents'").fetchall()
        assert tables == [("chunk",)]
        assert db.execute("SELECT FROM pg_trigger WHERE tgrelid = 'documents.chunk'::regclass").fetchall() == []


def test_tables_that_were_dropped_are_told_and_made_again(postgres: Postgres) -> None:
    store = store_of(postgres.url, SETTINGS)
    store.open(writes=True)
    with psycopg.connect(postgres.url) as db:
        db.execute("DROP SCHEMA documents CASCADE")

    with pytest.raises(OutputUnavailable, match="made and filled anew"):
        store.upsert([chunk_of(1)])
    store.close()

    assert not store.open(writes=True)
    store.upsert([chunk_of(1)])
    store.close()


def test_a_session_that_the_server_ended_is_made_again(postgres: Postgres) -> None:
    store = store_of(postgres.url, SETTINGS)
    store.open(writes=True)
    store.upsert([chunk_of(1)])

    postgres.restart()

    assert dict(store.digests()) == digests_of(chunk_of(1))
    store.close()


def test_a_role_that_may_only_read_reads_and_is_told_that_it_may_not_write(postgres: Postgres) -> None:
    owner = store_of(postgres.url, SETTINGS)
    owner.open(writes=True)
    owner.upsert([chunk_of(1)])
    owner.close()
    with psycopg.connect(postgres.url) as db:
        db.execute("DROP ROLE IF EXISTS reader_of_documents")
        db.execute("CREATE ROLE reader_of_documents LOGIN")
        db.execute("GRANT USAGE ON SCHEMA documents TO reader_of_documents")
        db.execute("GRANT SELECT ON ALL TABLES IN SCHEMA documents TO reader_of_documents")
    store = store_of(re.sub("//[^@]*@", "//reader_of_documents@", postgres.url), SETTINGS)

    assert store.open(writes=False)
    assert [one for one, _ in store.nearest(vector_of("x"), None, 9)] == [chunk_of(1).id]
    with pytest.raises(OutputRefused, match="permission denied"):
        store.upsert([chunk_of(2)])
    store.close()
    with psycopg.connect(postgres.url) as db:
        db.execute("DROP OWNED BY reader_of_documents")
        db.execute("DROP ROLE reader_of_documents")


# -- a server of Chroma


@pytest.fixture(scope="module")
def chroma_url() -> Iterator[str]:
    program = Path(sys.executable).with_name("chroma")
    if not program.exists():
        pytest.skip("NOT RUN: the program 'chroma' is not beside Python")
    server = Server("chroma")
    try:
        server.begin([
            str(program), "run", "--path", str(server.folder / "data"), "--host", "127.0.0.1",
            "--port", str(server.port),
        ])
        server.wait_for(lambda: _listens(server.port))
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.kill()
        server.remove()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_server_of_chroma_holds_what_a_folder_would(chroma_url: str, tmp_path: Path) -> None:
    place = {**SETTINGS, "store": "chroma", "chroma.url": chroma_url}
    store = store_of(str(tmp_path / "unused"), place)
    assert not store.open(writes=False)
    assert not store.open(writes=True)
    store.agree(OURS)
    store.upsert([chunk_of(n) for n in range(1_200)])
    reader = store_of(str(tmp_path / "unused"), place)
    assert reader.open(writes=False)
    before = reader.mark()

    store.delete([chunk_of(n).id for n in range(1_190)])

    assert reader.origin() == OURS
    assert reader.mark() != before
    assert dict(reader.digests()) == digests_of(*(chunk_of(n) for n in range(1_190, 1_200)))
    assert len(reader.nearest(vector_of("x"), None, 20)) == 10
    with pytest.raises(OutputRefused, match="other/1"):
        reader.agree(OURS._replace(embedder="other/1"))
    assert not (tmp_path / "unused").exists()
    store.close()
    reader.close()


def test_a_server_of_chroma_that_says_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from onward.pipelines.documents.stores import chroma

    monkeypatch.setattr(chroma, "_WAIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = store_of("unused", {**SETTINGS, "store": "chroma", "chroma.url": url})

        with pytest.raises(OutputUnavailable, match=r"127\.0\.0\.1"):
            store.open(writes=True)


@pytest.mark.parametrize("name", ["x", "two words", "-dash"])
def test_a_name_that_chroma_does_not_take_is_refused(name: str, chroma_url: str) -> None:
    store = store_of("unused", {**SETTINGS, "store": "chroma", "chroma.url": chroma_url, "collection": name})

    with pytest.raises(OutputRefused, match="collection"):
        store.open(writes=True)


@pytest.mark.parametrize("damage", [b"this is no database" * 1_000, None])
def test_a_damaged_folder_of_chroma_is_told_with_what_to_do(damage: bytes | None, tmp_path: Path) -> None:
    """In a process of its own: Chroma keeps one engine for a folder as long as a process lasts."""
    place = {**SETTINGS, "store": "chroma"}
    one = "StoredChunk('a' * 32, 'h', 't', bytes(4) + b'\\0\\0\\x80?')"
    fill = f"store.agree(Origin('some/1', 2)); store.upsert([{one}])"
    assert _in_a_process(tmp_path, place, fill) == "done"
    path = tmp_path / "chroma" / "chroma.sqlite3"
    path.write_bytes(path.read_bytes()[:50_000] if damage is None else damage)

    assert re.match(r"OutputUnavailable.*move it away and run again", _in_a_process(tmp_path, place, "store.mark()"))


def _in_a_process(folder: Path, place: dict[str, str], work: str) -> str:
    code = f"""
from onward.errors import OnwardError
from onward.pipelines.documents.stores import store_of
from onward.pipelines.documents.stores.port import Origin, StoredChunk
store = store_of({str(folder)!r}, {place!r})
try:
    store.open(writes=True)
    {work}
    print("done")
except OnwardError as error:
    print(type(error).__name__, error)
finally:
    store.close()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    return run.stdout.strip() or run.stderr
