"""What every ledger answers: content and order."""

from __future__ import annotations

from ledger_rows import (
    NOW,
    a_container,
    a_control,
    a_job,
    a_publish,
    a_recipe,
    a_run,
    a_version,
    an_attempt,
    an_item,
)

from onward.ledger.base import Archive
from onward.model.record import Known


def _keys(known):
    return [one.item.key for one in known]


def test_an_empty_ledger_knows_nothing(ledger):
    assert ledger.jobs() == []
    assert ledger.job("filings") is None
    assert ledger.job_by_id(1) is None
    assert ledger.job_by_out("out") is None
    assert ledger.run("run") is None
    assert ledger.run_by_id(1) is None
    assert ledger.runs(1) == []
    assert ledger.recipes(1) == []
    assert ledger.containers(1) == []
    assert list(ledger.known_all(1)) == []
    assert list(ledger.known_in(1)) == []
    assert ledger.known(1, "key") is None
    assert list(ledger.known_unsettled(1)) == []
    assert ledger.known_by_output(1, "out") == []
    assert ledger.count_states(1) == {}
    assert ledger.control(1) is None
    assert ledger.controls(1) == []
    assert ledger.archives(1) == []
    assert ledger.attempts(1) == []
    assert list(ledger.attempts_of_run(1)) == []
    assert ledger.recent_attempts(1, 5) == []
    assert ledger.count_attempts(1) == {}
    assert ledger.in_flight(1) == []
    assert ledger.versions(1) == []
    assert ledger.version(1, 1) is None
    assert ledger.publishes(1) == []


def test_a_job_is_found_by_name_by_id_and_by_output(ledger, job):
    other = ledger.create_job(a_job("other"), now=NOW)

    for one in (job, other):
        assert ledger.job(one.name) == ledger.job_by_id(one.id) == ledger.job_by_out(one.out) == one


def test_names_are_compared_exactly(ledger, job):
    assert ledger.job("FILINGS") is None
    assert ledger.job("filings ") is None
    assert ledger.job_by_out("out/Filings") is None


def test_jobs_come_in_the_order_they_were_created(ledger):
    for name in ("z", "a", "m"):
        ledger.create_job(a_job(name), now=NOW)

    assert [job.name for job in ledger.jobs()] == ["z", "a", "m"]


def test_runs_come_newest_first_and_only_those_of_the_job(ledger, job, put):
    other = ledger.create_job(a_job("other"), now=NOW)
    put(a_run(2, job.id), a_run(4, job.id))
    with ledger.transaction(other.id, now=NOW) as tx:
        tx.put(a_run(3, other.id))

    assert [run.id for run in ledger.runs(job.id)] == [4, 2, 1]
    assert ledger.run("run_3") == ledger.run_by_id(3) == a_run(3, other.id)


def test_of_many_runs_the_later_ones_the_open_ones_and_the_last_counts_can_be_asked_for_alone(ledger, job, put):
    other = ledger.create_job(a_job("other"), now=NOW)
    ended = {"status": "completed", "finished_at": NOW}
    put(
        a_run(2, job.id)._replace(**ended, counts='{"total": 2}'), a_run(4, job.id)._replace(**ended, counts="{}"),
        a_run(5, job.id)._replace(**ended), a_run(6, job.id),
    )
    with ledger.transaction(other.id, now=NOW) as tx:
        tx.put(a_run(3, other.id))

    assert [run.id for run in ledger.runs(job.id, after=4)] == [6, 5]
    assert [run.id for run in ledger.open_runs(job.id)] == [
        run.id for run in ledger.runs(job.id) if run.finished_at is None
    ]
    assert 6 in [run.id for run in ledger.open_runs(job.id)]
    assert 3 not in [run.id for run in ledger.open_runs(job.id)]
    assert ledger.last_counts(job.id) == "{}"
    assert ledger.last_counts(other.id) is None


def test_recipes_come_by_id_and_only_those_of_the_job(ledger, job, put):
    other = ledger.create_job(a_job("other"), now=NOW)
    put(a_recipe(3, job.id), a_recipe(2, job.id))
    with ledger.transaction(other.id, now=NOW) as tx:
        tx.put(a_recipe(4, other.id))

    assert [row.id for row in ledger.recipes(job.id)] == [1, 2, 3]


def test_containers_come_by_key(ledger, job, put):
    put(a_container(2, job.id, "b"), a_container(3, job.id, ""), a_container(4, job.id, "a/ü"))

    assert [row.key for row in ledger.containers(job.id)] == ["", "a/ü", "b", "folder-1"]


def test_keys_are_ordered_by_code_point(ledger, job, put):
    keys = ["Z", "a", "ä", "\ue000", "😀", "A", "a/b", "a.b", "日"]
    put(*(an_item(at, job.id, 1, key=key) for at, key in enumerate(keys, 1)))

    assert _keys(ledger.known_all(job.id)) == sorted(keys)
    assert _keys(ledger.known_in(1)) == sorted(keys)


def test_an_item_comes_with_its_current_version_and_no_other(ledger, job, put):
    put(an_item(1, job.id, 1, state="succeeded", version=2), a_version(1, 1, 1), a_version(1, 2, 1), a_version(1, 5, 1))

    expected = Known(ledger.item(1), a_version(1, 2, 1))
    assert ledger.known(job.id, "item-1.html") == expected
    assert list(ledger.known_all(job.id)) == list(ledger.known_in(1)) == [expected]


def test_an_item_without_a_version_comes_with_none(ledger, job, put):
    put(an_item(1, job.id, 1), a_version(1, 1, 1))

    assert ledger.known(job.id, "item-1.html") == Known(an_item(1, job.id, 1), None)


def test_an_item_that_names_a_version_that_is_not_there_comes_with_none(ledger, job, put):
    put(an_item(1, job.id, 1, version=9))

    assert ledger.known(job.id, "item-1.html").version is None


def test_known_in_holds_the_items_of_that_container_only(ledger, job, put):
    put(a_container(2, job.id), an_item(1, job.id, 1, key="b"), an_item(2, job.id, 2), an_item(3, job.id, 1, key="a"))

    assert _keys(ledger.known_in(1)) == ["a", "b"]
    assert _keys(ledger.known_in(2)) == ["item-2.html"]


def test_an_item_may_move_to_another_container(ledger, job, put):
    put(a_container(2, job.id), an_item(1, job.id, 1))

    put(an_item(1, job.id, 2))

    assert _keys(ledger.known_in(1)) == []
    assert _keys(ledger.known_in(2)) == ["item-1.html"]


def test_the_same_key_in_two_jobs_is_two_items(ledger, job, put):
    other = ledger.create_job(a_job("other"), now=NOW)
    put(an_item(1, job.id, 1, key="same"))
    with ledger.transaction(other.id, now=NOW) as tx:
        tx.put(a_container(2, other.id))
        tx.put(an_item(2, other.id, 2, key="same"))

    assert ledger.known(job.id, "same").item.id == 1
    assert ledger.known(other.id, "same").item.id == 2
    assert len(list(ledger.known_all(job.id))) == 1


def test_unsettled_are_all_that_have_not_succeeded(ledger, job, put):
    states = ["pending", "succeeded", "failed", "quarantined", "gone"]
    put(*(an_item(at, job.id, 1, key=state, state=state) for at, state in enumerate(states, 1)))

    assert _keys(ledger.known_unsettled(job.id)) == ["failed", "gone", "pending", "quarantined"]
    assert ledger.count_states(job.id) == dict.fromkeys(states, 1)


def test_states_without_items_are_not_counted(ledger, job, put):
    put(an_item(1, job.id, 1), an_item(2, job.id, 1))

    assert ledger.count_states(job.id) == {"pending": 2}


def test_an_output_is_found_by_the_current_version_only(ledger, job, put):
    put(
        an_item(1, job.id, 1, key="b", version=2), a_version(1, 1, 1, output="old"), a_version(1, 2, 1, output="same"),
        an_item(2, job.id, 1, key="a", version=1), a_version(2, 1, 1, output="same"),
        an_item(3, job.id, 1, key="c"), a_version(3, 1, 1, output="same"),
    )

    assert _keys(ledger.known_by_output(job.id, "same")) == ["a", "b"]
    assert ledger.known_by_output(job.id, "old") == []


def test_attempts_come_in_order(ledger, job, put):
    put(an_item(1, job.id, 1), *(an_attempt(1, serial, 1, outcome="lost", finished_at=NOW) for serial in (3, 1, 10, 2)))

    assert [attempt.serial for attempt in ledger.attempts(1)] == [1, 2, 3, 10]


def test_the_attempts_of_a_run_come_by_key_then_serial(ledger, job, put):
    put(a_run(2, job.id), an_item(1, job.id, 1, key="b"), an_item(2, job.id, 1, key="a"))
    put(an_attempt(1, 2, 1), an_attempt(1, 1, 1), an_attempt(2, 1, 1), an_attempt(2, 2, 2))

    assert [(key, attempt.serial) for attempt, key in ledger.attempts_of_run(1)] == [("a", 1), ("b", 1), ("b", 2)]


def test_recent_attempts_are_the_closed_ones_newest_first(ledger, job, put):
    put(*(an_item(at, job.id, 1) for at in range(1, 6)))
    put(*(an_attempt(at, 1, 1, outcome="failed", finished_at=NOW - at) for at in (3, 1, 2)), an_attempt(4, 1, 1))

    assert [attempt.item_id for attempt, _ in ledger.recent_attempts(1, 10)] == [1, 2, 3]
    assert [key for _, key in ledger.recent_attempts(1, 2)] == ["item-1.html", "item-2.html"]
    assert ledger.recent_attempts(1, 0) == []


def test_attempts_that_ended_at_one_instant_come_by_key(ledger, job, put):
    put(*(an_item(at, job.id, 1, key=f"k{9 - at}") for at in range(1, 6)))
    put(*(an_attempt(at, 1, 1, outcome="lost", finished_at=NOW) for at in range(1, 6)))

    assert [key for _, key in ledger.recent_attempts(1, 4)] == ["k4", "k5", "k6", "k7"]


def test_attempts_are_counted_by_outcome(ledger, job, put):
    put(*(an_item(at, job.id, 1) for at in range(1, 7)), a_run(2, job.id))
    ends = ["succeeded", "failed", "interrupted", "lost", "failed"]
    put(*(an_attempt(at, 1, 1, outcome=end, finished_at=NOW) for at, end in enumerate(ends, 1)), an_attempt(6, 1, 1))

    assert ledger.count_attempts(1) == {"succeeded": 1, "failed": 2, "interrupted": 1, "lost": 1, "in-flight": 1}
    assert ledger.count_attempts(2) == {}


def test_in_flight_are_the_attempts_of_the_job_without_outcome(ledger, job, put):
    other = ledger.create_job(a_job("other"), now=NOW)
    put(an_item(2, job.id, 1), an_item(1, job.id, 1))
    put(an_attempt(2, 1, 1), an_attempt(1, 2, 1), an_attempt(1, 1, 1, outcome="lost", finished_at=NOW))
    with ledger.transaction(other.id, now=NOW) as tx:
        tx.put(a_container(2, other.id))
        tx.put(a_run(2, other.id))
        tx.put(an_item(3, other.id, 2))
        tx.put(an_attempt(3, 1, 2))

    assert [(attempt.item_id, attempt.serial) for attempt in ledger.in_flight(job.id)] == [(1, 2), (2, 1)]


def test_a_closed_attempt_is_no_longer_in_flight(ledger, job, put):
    put(an_item(1, job.id, 1), an_attempt(1, 1, 1))

    put(an_attempt(1, 1, 1, outcome="lost", finished_at=NOW))

    assert ledger.in_flight(job.id) == []


def test_versions_come_in_order_and_one_by_one(ledger, job, put):
    put(an_item(1, job.id, 1), an_item(2, job.id, 1), *(a_version(1, n, 1) for n in (7, 2, 11)), a_version(2, 1, 1))

    assert ledger.versions(1) == [a_version(1, 2, 1), a_version(1, 7, 1), a_version(1, 11, 1)]
    assert ledger.version(1, 7) == a_version(1, 7, 1)
    assert ledger.version(1, 1) is None


def test_publishes_are_those_of_the_job_by_item(ledger, job, put):
    other = ledger.create_job(a_job("other"), now=NOW)
    put(an_item(2, job.id, 1), an_item(1, job.id, 1), a_publish(2), a_publish(1))
    with ledger.transaction(other.id, now=NOW) as tx:
        tx.put(a_container(2, other.id))
        tx.put(an_item(3, other.id, 2))
        tx.put(a_publish(3))

    assert [row.item_id for row in ledger.publishes(job.id)] == [1, 2]
    assert ledger.publishes(other.id) == [a_publish(3)]


def test_the_request_that_stands_is_the_last_one_of_the_job(ledger, job, put):
    other = ledger.create_job(a_job("other"), now=NOW)
    put(a_control(1, job.id, "pause"))
    put(a_control(2, job.id, "resume"))
    with ledger.transaction(other.id, now=NOW) as tx:
        tx.put(a_control(tx.allocate("control"), other.id, "stop"))

    assert ledger.control(job.id) == a_control(2, job.id, "resume")
    assert ledger.control(other.id) == a_control(3, other.id, "stop")
    assert [row.id for row in ledger.controls(job.id)] == [1, 2]


def test_a_request_is_seen_inside_a_transaction_that_began_after_it(ledger, job, put):
    put(a_control(1, job.id, "pause"))

    with ledger.transaction(job.id, now=NOW) as tx:
        seen = tx.control(job.id)
        tx.put(a_control(1, job.id, "pause", obeyed_at=NOW))

    assert seen == a_control(1, job.id, "pause")
    assert ledger.control(job.id).obeyed_at == NOW


def test_archives_are_those_of_the_job_in_order_and_not_in_the_journal(ledger, job):
    before = ledger.head(job.id)
    rows = [Archive(job.id, seq, bytes([seq]) * 32, f"journal-{seq}", NOW) for seq in (9, 4)]
    with ledger.transaction(job.id, now=NOW) as tx:
        for row in rows:
            tx.put_archive(row)

    assert ledger.archives(job.id) == [rows[1], rows[0]]
    assert ledger.archives(job.id + 1) == []
    assert ledger.head(job.id) == before


def test_an_answer_that_is_not_read_to_its_end_does_not_lock_out_a_writer(ledger, job, put):
    put(*(an_item(at, job.id, 1) for at in range(1, 50)))
    answer = ledger.known_all(job.id)
    next(answer)

    put(an_item(99, job.id, 1, key="zzz"))

    assert ledger.known(job.id, "zzz") is not None
