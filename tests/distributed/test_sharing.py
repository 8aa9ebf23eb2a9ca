"""A batch on many workers ends as a batch on one machine does."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from distributed.herd import ELSEWHERE, Herd
from farm import assert_counts_add_up, let_go, wait_until

Make = Callable[..., Herd]


def words(count: int, *, first: str = "") -> dict[str, str]:
    return {f"in/{number:03}.txt": f"{first}\nsome words {number}\n" for number in range(count)}


def keys(files: dict[str, str]) -> set[str]:
    return set(files)


def test_a_shared_run_answers_and_leaves_what_a_local_run_does(herd: Make) -> None:
    files = {**words(6), "bad.txt": "!raise\n", "weak.txt": "!fail\n", "odd.txt": "!transient 1\n"}
    one = herd(files)
    one.several(2)

    far = one.run()
    held = one.run()
    near = one.farm.copy(one.farm.base.parent / "near")
    near.env.clear()
    (near.root / "out").rename(near.root / "far")
    near.forget_effects()
    here = near.run()
    also_held = near.run()

    assert (far.code, here.code) == (1, 1), far.stderr
    assert here.counts == far.counts
    assert_counts_add_up(far.counts)
    assert here.outcomes == far.outcomes
    assert here.document["failures"] == far.document["failures"]
    assert set(here.document) == set(far.document)
    assert (held.code, held.counts, held.outcomes) == (also_held.code, also_held.counts, also_held.outcomes)
    ours, theirs = one.farm.outputs(), near.outputs()
    assert set(theirs) == set(ours)
    assert all(theirs[name] == ours[name] for name in ours if not name.startswith("quarantine/"))
    folder = next((one.farm.out / ".runs").glob(f"{far.document['run_id']}_*"))
    report = json.loads((folder / "report.json").read_text())
    assert far.counts == report["counts"]


def test_what_a_pipeline_is_followed_by_is_done_by_the_worker_that_ends_the_run(herd: Make) -> None:
    one = herd(words(3))
    code = (one.farm.root / "toy.py").read_text()
    followed = """
def follow(batch, finish):
    finish()
    with open(os.path.join(batch.out, "..", "followed.txt"), "a") as file:
        file.write(batch.out)
    return {}


after = Pipeline(
    "after", source=files("**/*"), steps=[read, act, count], sink=json_files(), settings=SETTINGS, then=follow,
)
"""
    one.farm.code("toy.py", code + followed)
    one.farm.pipeline = "toy.py:after"
    one.worker()

    one.run().ok()

    assert (one.farm.root / "followed.txt").read_text() == str(one.farm.out)
    assert one.status()["status"] == "completed"


@pytest.mark.long
def test_a_second_run_finds_nothing_to_do_and_a_changed_item_alone_is_made_again(herd: Make) -> None:
    files = words(5)
    one = herd(files)
    one.worker()
    one.run().ok()
    nothing = one.run().ok()
    one.farm.write("in/002.txt", "other words\n")
    one.farm.forget_effects()

    again = one.run().ok()

    assert nothing.counts["skipped"] == 5
    assert again.reasons == {"in/002.txt": "content-changed"}
    assert one.farm.executions() == {"in/002.txt": 1}


def test_a_detached_run_ends_by_itself_and_is_followed_from_anywhere(herd: Make) -> None:
    files = words(8, first="!slow")
    one = herd(files)
    said = one.detach()
    waiting = one.status()
    one.worker()

    status = one.wait_for_end()

    assert (waiting["status"], waiting["progress"]["total"]) == ("running", 8)
    assert (said["job"], 8) == (status["job"], status["counts"]["succeeded"])
    one.assert_exactly_once(keys(files))
    monitor = one.farm.onward("monitor", "--count", "1").ok().stdout
    assert "8/8" in monitor


@pytest.mark.long
def test_a_run_goes_on_when_the_process_that_started_it_is_killed(herd: Make) -> None:
    files = {**words(8, first="!slow"), "z.txt": "!hold\n"}
    one = herd(files)
    one.worker()
    submitter = one.start()
    wait_until(lambda: one.begun() > 0, timeout_s=40)
    submitter.kill()
    submitter.communicate()
    let_go(one.farm)

    one.wait_for_end()

    one.assert_exactly_once(keys(files))


def test_one_job_is_not_run_twice_at_the_same_time(herd: Make) -> None:
    one = herd({"a.txt": "!hold\n"})
    one.detach()
    without_a_worker = one.run()
    one.worker()
    wait_until(lambda: one.begun() == 1, timeout_s=40)

    with_one = one.farm.run()
    let_go(one.farm)
    one.wait_for_end()

    assert (without_a_worker.code, with_one.code) == (4, 4), without_a_worker.stderr
    assert "is being run by" in with_one.stderr
    assert one.farm.executions() == {"a.txt": 1}


@pytest.mark.long
def test_two_jobs_share_the_workers(herd: Make) -> None:
    one = herd(words(6, first="!slow"))
    (one.farm.root / "more").mkdir()
    (one.farm.root / "more" / "x.txt").write_text("more words\n")
    first = one.detach()["job"]
    second = one.farm.onward(
        "run", "toy.py:toy", "more", "--out", "out2", *ELSEWHERE, "--detach", "--json"
    ).ok().document["job"]
    one.several(2)

    def both() -> bool:
        jobs = one.farm.onward("status", "--json").ok().document["jobs"]
        return {job["job"] for job in jobs if job["status"] == "completed"} == {first, second}

    wait_until(both, timeout_s=40)

    assert {"more/x.txt"} | {f"in/{n:03}.txt" for n in range(6)} == {
        f"more/{key}" if key == "x.txt" else key for key in one.farm.executions()
    }


@pytest.mark.parametrize(
    ("env", "args", "said"),
    [
        ({"ONWARD_STATE": ""}, (), "--state postgresql://"),
        ({"ONWARD_BROKER": ""}, (), "set ONWARD_BROKER to redis://"),
        ({"ONWARD_BROKER": "sqlite:///x"}, (), "neither Redis nor RabbitMQ"),
        ({"ONWARD_BROKER": "redis://:secret@127.0.0.1:1/0"}, (), "does not answer"),
        ({}, ("--manifest",), "--manifest and --executor celery exclude each other"),
    ],
    ids=["one-machine-ledger", "no-broker", "unknown-broker", "broker-away", "manifest"],
)
def test_what_cannot_be_shared_is_refused_before_anything_starts(
    env: dict[str, str], args: tuple[str, ...], said: str, herd: Make
) -> None:
    one = herd({"a.txt": "words\n"})
    one.farm.env |= env

    ran = one.farm.onward("run", "toy.py:toy", "in", "--out", "out", *ELSEWHERE, *args)

    assert ran.code == 2, ran.stderr
    assert said in ran.stderr
    assert "secret" not in ran.stderr
    assert not one.farm.effects()


def test_one_file_that_one_process_writes_is_refused_with_the_command_that_works(herd: Make) -> None:
    one = herd({"a.jsonl": '{"doc_id": 1}\n'})
    one.farm.code("lines.py", LINES)

    ran = one.farm.onward("run", "lines.py:lines", "in/a.jsonl", "--out", "out/all.jsonl", *ELSEWHERE)

    assert ran.code == 2, ran.stderr
    assert "--out" in ran.stderr
    assert "out/all/" in ran.stderr


LINES = '''\
from onward.engine.sinks.lines_sink import json_lines
from onward.engine.sources.lines_source import json_lines_source
from onward.engine.pipeline import Pipeline


def read(item):
    import json

    return json.loads(item.read_bytes())


lines = Pipeline("lines", source=json_lines_source(), steps=[read], sink=json_lines())
'''

