"""From lines to lines by the real command line: what is redone, what is told, and what a person finds afterwards."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from farm import Ran, assert_counts_add_up, finish, wait_until
from lines_farm import LinesFarm

DOCUMENTS = [{"id": f"doc-{n}", "text": f"some words {n}"} for n in range(10)]


@pytest.fixture
def farm(tmp_path: Path) -> LinesFarm:
    return LinesFarm.of(tmp_path / "farm", DOCUMENTS)


def settled(farm: LinesFarm) -> LinesFarm:
    farm.run().ok()
    farm.forget_effects()
    return farm


def problems(ran: Ran) -> list[dict[str, str]]:
    found = ran.document["problems"]
    assert isinstance(found, list)
    return found


def assert_nothing_to_do(farm: LinesFarm) -> None:
    farm.forget_effects()
    before = farm.file.stat()
    assert farm.plan().ok().document["items"] == []
    ran = farm.run().ok()
    assert ran.counts["skipped"] == ran.counts["total"]
    assert farm.effects() == []
    assert farm.file.stat() == before


def test_a_second_run_over_lines_finds_nothing_to_do_and_touches_nothing(farm: LinesFarm) -> None:
    settled(farm)

    assert farm.ids() == [one["id"] for one in DOCUMENTS]
    assert_nothing_to_do(farm)


def test_of_ten_lines_one_edited_one_added_in_the_middle_two_are_processed_and_the_order_holds(farm: LinesFarm) -> None:
    settled(farm)
    documents: list[dict[str, object]] = [dict(one) for one in DOCUMENTS]
    documents[3]["text"] = "other words"
    documents.insert(5, {"id": 5, "text": "a number"})
    farm.write_lines(documents)

    planned = farm.plan().ok()
    ran = farm.run().ok()

    assert planned.reasons == ran.reasons == {"doc-3": "content-changed", "#5": "new"}
    assert sorted(farm.executions()) == ["#5", "doc-3"]
    assert farm.ids() == [one["id"] for one in documents]
    assert_nothing_to_do(farm)


def test_lines_in_another_order_are_put_into_that_order_and_nothing_is_redone(farm: LinesFarm) -> None:
    settled(farm)
    farm.write_lines(DOCUMENTS[::-1])

    ran = farm.run().ok()

    assert ran.counts["processed"] == 0
    assert farm.ids() == [one["id"] for one in DOCUMENTS[::-1]]
    assert_nothing_to_do(farm)


@pytest.mark.parametrize("touch", ["edited", "deleted", "torn", "gone"])
def test_a_line_that_somebody_touched_is_found_and_only_its_item_is_redone(touch: str, farm: LinesFarm) -> None:
    settled(farm)
    data = farm.file.read_bytes()
    lines = data.splitlines(keepends=True)
    match touch:
        case "edited":
            lines[4] = lines[4].replace(b"words 4", b"words 5")
            redone = {"doc-4": "output-altered"}
        case "deleted":
            del lines[4]
            redone = {"doc-4": "output-missing"}
        case "torn":
            lines[9] = lines[9][:-5]
            redone = {"doc-9": "output-missing"}
        case _:
            lines = []
            redone = {one["id"]: "output-missing" for one in DOCUMENTS}
    farm.file.write_bytes(b"".join(lines))
    if touch == "gone":
        farm.file.unlink()

    verified = farm.onward("verify", "--json")
    planned = farm.plan().ok()
    ran = farm.run().ok()

    assert verified.code == 1
    assert {f["key"] for f in verified.document["findings"] if f["key"]} == set(redone)
    assert planned.reasons == ran.reasons == redone
    assert farm.file.read_bytes() == data
    farm.onward("verify").ok()
    assert_nothing_to_do(farm)


def test_a_touch_that_changed_nothing_redoes_nothing(farm: LinesFarm) -> None:
    settled(farm)
    os.utime(farm.file, (1_500_000_000, 1_500_000_000))

    assert farm.run().ok().counts["processed"] == 0
    assert_nothing_to_do(farm)


def test_bad_lines_are_quarantined_with_file_line_and_byte_and_the_good_ones_are_done(farm: LinesFarm) -> None:
    good = [json.dumps(one).encode() for one in DOCUMENTS[:3]]
    farm.write("docs.jsonl", b"\n".join([good[0], b'{"id":', good[1], b'{"id":"doc-0"}', good[2], b""]))

    ran = farm.run()

    assert ran.code == 1
    assert_counts_add_up(ran.counts)
    assert farm.ids() == ["doc-0", "doc-1", "doc-2"]
    assert {f["key"]: f["reason"] for f in ran.document["failures"]} == {
        "#line-2": "input-unreadable", "#line-4": "output-collides",
    }
    evidence = farm.output("quarantine/#line-2_FAILED.json")
    assert f"line 2 of 'docs.jsonl' (byte {len(good[0]) + 1}) is not valid JSON" in evidence["errors"][0]
    evidence = farm.output("quarantine/#line-4_FAILED.json")
    assert "has the same id as line 1" in evidence["errors"][0]
    again = farm.run()
    assert (again.counts["held"], again.counts["skipped"], again.code) == (2, 3, 1)


def test_a_torn_last_line_is_told_by_every_run_until_it_is_whole(farm: LinesFarm) -> None:
    whole = b"".join(json.dumps(one).encode() + b"\n" for one in DOCUMENTS[:2])
    farm.write("docs.jsonl", whole[:-8])

    first, second = farm.run(), farm.run()
    farm.write("docs.jsonl", whole)
    third = farm.run().ok()

    for ran in (first, second):
        assert ran.code == 1
        assert [problem["place"] for problem in problems(ran)] == ["docs.jsonl"]
        assert "line 2" in problems(ran)[0]["error"]
        assert "cut short" in problems(ran)[0]["error"]
    assert third.reasons == {"doc-1": "new"}
    assert problems(third) == []
    assert farm.ids() == ["doc-0", "doc-1"]


def test_a_line_that_is_torn_now_is_not_taken_for_gone(farm: LinesFarm) -> None:
    settled(farm)
    data = farm.path_of("docs.jsonl").read_bytes()
    farm.write("docs.jsonl", data[:-8])

    ran = farm.run("--prune-deleted")

    assert ran.code == 1
    assert ran.counts["deleted"] == 0
    assert farm.ids() == [one["id"] for one in DOCUMENTS]
    farm.write("docs.jsonl", data)
    assert farm.run().ok().counts["processed"] == 0


def test_lines_that_left_the_source_keep_their_results_until_they_are_pruned(farm: LinesFarm) -> None:
    settled(farm)
    farm.write_lines(DOCUMENTS[2:])

    kept = farm.run().ok()

    assert kept.counts["deleted"] == 2
    again = farm.run().ok()
    assert (again.counts["total"], again.counts["skipped"], again.counts["deleted"]) == (8, 8, 2)
    assert farm.ids() == [one["id"] for one in (*DOCUMENTS[2:], *DOCUMENTS[:2])]
    farm.onward("verify").ok()
    farm.write_lines(DOCUMENTS[3:])
    farm.run("--prune-deleted").ok()
    assert farm.ids() == [one["id"] for one in DOCUMENTS[3:]]
    farm.onward("verify").ok()
    assert_nothing_to_do(farm)


@pytest.mark.parametrize("verb", [("run", "--prune-deleted"), ("prune",)], ids=["run", "prune"])
def test_pruned_lines_go_from_the_file_though_nothing_else_is_written(farm: LinesFarm, verb: tuple[str, ...]) -> None:
    settled(farm)
    farm.write_lines(DOCUMENTS[:7])
    farm.run().ok()

    (farm.run("--prune-deleted") if verb[0] == "run" else farm.onward(*verb, str(farm.run().document["job"]))).ok()

    assert farm.ids() == [one["id"] for one in DOCUMENTS[:7]]
    farm.onward("verify").ok()
    assert_nothing_to_do(farm)


def test_several_files_of_lines_may_have_the_same_ids(tmp_path: Path) -> None:
    farm = LinesFarm.of(tmp_path / "farm")
    farm.place = "in"
    farm.write_lines([])
    farm.write_lines(DOCUMENTS[:2], "one.jsonl")
    farm.write_lines([{"id": "doc-0", "text": "another"}, {"id": "a/b", "text": "x"}], "sub/two.jsonl")

    farm.run().ok()

    assert [(line["item_key"], line["doc_id"]) for line in farm.lines()] == [
        ("one/doc-0", "doc-0"), ("one/doc-1", "doc-1"), ("sub/two/doc-0", "doc-0"),
        ('sub/two/"a\\u002fb"', "a/b"),
    ]
    assert_nothing_to_do(farm)
    farm.write_lines(DOCUMENTS[:3], "one.jsonl")
    assert farm.run().ok().reasons == {"one/doc-2": "new"}
    assert [line["doc_id"] for line in farm.lines()] == ["doc-0", "doc-1", "doc-2", "doc-0", "a/b"]
    assert_nothing_to_do(farm)


@pytest.mark.parametrize(("policy", "words"), [("first", 1), ("last", 2)])
def test_the_policy_for_duplicates_is_a_setting(policy: str, words: int, farm: LinesFarm) -> None:
    farm.write_lines([{"id": "a", "text": "one"}, {"id": "b", "text": "x"}, {"id": "a", "text": "one two"}])

    farm.run("--set", f"duplicates={policy}").ok()

    assert {line["doc_id"]: line["words"] for line in farm.lines()} == {"a": words, "b": 1}
    assert farm.ids() == (["a", "b"] if policy == "first" else ["b", "a"])


def test_a_line_that_changes_while_the_run_is_on_is_not_recorded_and_one_that_only_follows_is_taken_next(
    farm: LinesFarm,
) -> None:
    farm.write_lines([{"id": "a", "text": "!hold"}, {"id": "b", "text": "x"}])
    process = farm.start()
    holding = Path(f"{farm.log}.holding")
    wait_until(holding.exists, what="the first line's step")
    farm.write_lines([{"id": "a", "text": "!hold"}, {"id": "b", "text": "y"}, {"id": "c", "text": "z"}])
    Path(f"{farm.log}.go").touch()
    ran = finish(process)
    again = farm.run().ok()

    assert {f["key"]: f["reason"] for f in ran.document["failures"]} == {"b": "item-changed"}
    assert set(again.reasons) == {"b", "c"}
    assert [(line["doc_id"], line["text"]) for line in farm.lines()] == [("a", "!hold"), ("b", "y"), ("c", "z")]
    assert_nothing_to_do(farm)


def test_a_pause_and_a_resume_end_where_an_unbroken_run_does(tmp_path: Path) -> None:
    documents = [{"id": n, "text": "!slow"} for n in range(30)]
    farm = LinesFarm.of(tmp_path / "farm", documents)
    process = farm.start("--job", "batch")
    wait_until(lambda: len(farm.effects()) > 5, what="some items")
    farm.onward("pause", "batch").ok()
    paused = finish(process)

    assert paused.code == 3
    done = len(farm.lines())
    assert 0 < done < 30
    farm.onward("resume", "batch").ok()
    assert farm.ids() == list(range(30))
    assert max(farm.executions().values()) == 1
    assert_nothing_to_do(LinesFarm(farm.base, pipeline=farm.pipeline))


def test_a_foreign_file_is_refused_by_plan_and_run_and_no_job_is_made(farm: LinesFarm) -> None:
    farm.out.mkdir()
    farm.file.write_bytes(b'{"doc_id":"precious"}\n')

    for ran in (farm.plan(), farm.run()):
        assert ran.code == 2
        assert "has lines that onward did not write" in ran.stderr
    assert farm.file.read_bytes() == b'{"doc_id":"precious"}\n'


def test_a_rollback_of_lines_is_refused_with_a_reason(farm: LinesFarm) -> None:
    settled(farm)
    (job,) = farm.snapshot()
    with farm.ledger() as ledger:
        found = ledger.job(job)
        assert found is not None
        run = ledger.runs(found.id)[0].name

    ran = farm.onward("rollback", job, "--to", run)

    assert ran.code == 2
    assert len(ran.stderr.strip().splitlines()) <= 2


def test_segments_are_one_file_an_item_whatever_the_ids(tmp_path: Path) -> None:
    ids = ["a", "A/b", "..", ".hidden", "x" * 500, "y/" * 200, "http://example.com/?q=é", 7, "~", "%41"]
    farm = LinesFarm.of(tmp_path / "farm", [{"id": one, "text": "words"} for one in ids])
    farm.pipeline, farm.to = "lines_toy.py:segments", "out"

    farm.run().ok()

    names = os.listdir(farm.out)
    files = [name for name in names if name.endswith(".jsonl")]
    assert sorted(names) == sorted([*files, ".onward", ".runs"])
    found = [json.loads((farm.out / name).read_bytes())["doc_id"] for name in files]
    assert sorted(map(str, found)) == sorted(map(str, ids))
    farm.forget_effects()
    assert farm.run().ok().counts["skipped"] == len(ids)
    (farm.out / "a.jsonl").unlink()
    assert farm.run().ok().reasons == {"a": "output-missing"}
    farm.onward("verify").ok()


def test_segments_of_several_files_of_lines_are_skipped_whole(tmp_path: Path) -> None:
    farm = LinesFarm.of(tmp_path / "farm")
    farm.pipeline, farm.to, farm.place = "lines_toy.py:segments", "out", "in"
    farm.remove("docs.jsonl")
    farm.write_lines(DOCUMENTS[:2], "one.jsonl")
    farm.write_lines([*DOCUMENTS[:2], {"id": "z" * 400, "text": "long"}], f"sub/{'n' * 150}.jsonl")
    farm.run().ok()

    again = farm.run().ok()

    assert again.counts["skipped"] == 5
    assert farm.plan().ok().document["items"] == []
    farm.write_lines(DOCUMENTS[:3], "one.jsonl")
    assert farm.run().ok().reasons == {"one/doc-2": "new"}
