"""What waits in quarantine, what a person may decide about it, and what a run then does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from farm import Farm, Ran, assert_counts_add_up

Plant = Callable[..., Farm]
BAD = {"a.txt": "good words here\n", "b.txt": "!raise\n", "c.txt": "!exit\n", "d.txt": "!fail\n"}


@pytest.fixture
def farm(plant: Plant) -> Farm:
    made = plant(BAD, workers=2)
    assert made.run().counts["quarantined"] == 3
    made.forget_effects()
    return made


def job_of(farm: Farm) -> str:
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        return job.name


def quarantine(farm: Farm, verb: str, *args: str) -> Ran:
    return farm.onward("quarantine", verb, job_of(farm), *args)


def reasons(farm: Farm) -> dict[str, str]:
    items = quarantine(farm, "list", "--json").ok().document["items"]
    return {one["key"]: one["reason"] for one in items if not one["discarded"]}


@pytest.mark.contract("S0-013", "S1-032")
def test_the_list_names_each_item_its_reason_and_its_evidence(farm: Farm) -> None:
    found = quarantine(farm, "list", "--json").ok().document

    assert {one["key"]: (one["reason"], one["class"], one["attempts"]) for one in found["items"]} == {
        "b.txt": ("value-error", "permanent", 1),
        "c.txt": ("worker-died", "poison", 3),
        "d.txt": ("check-failed", "permanent", 1),
    }
    for one in found["items"]:
        assert json.loads(Path(one["evidence"]).read_bytes())["key"] == one["key"]
    assert (found["waiting"], found["discarded"]) == (3, 0)


@pytest.mark.contract("S0-037")
def test_inspect_quarantine_prints_the_same_and_runs_nothing(farm: Farm) -> None:
    told = farm.run("--inspect-quarantine").ok()
    text = farm.onward("run", "toy.py:toy", "in", "--out", "out", "--inspect-quarantine").ok().stdout

    assert told.document == quarantine(farm, "list", "--json").document
    assert "c.txt  worker-died (poison)" in text
    assert str(farm.out / "quarantine" / "c_FAILED.json") in text
    assert farm.effects() == []


def test_inspect_quarantine_of_what_was_never_run_is_empty_and_makes_nothing(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})

    assert farm.run("--inspect-quarantine").ok().document["items"] == []
    assert not farm.out.exists()


def test_show_tells_every_attempt_how_the_worker_ended_and_where_the_step_failed(farm: Farm) -> None:
    died = quarantine(farm, "show", "c.txt", "--json").ok().document
    raised = quarantine(farm, "show", "b.txt", "--json").ok().document
    text = quarantine(farm, "show", "b.txt").ok().stdout

    assert [one["worker_end"] for one in died["attempt_list"]] == ["exit code 7"] * 3
    assert [one["number"] for one in died["attempt_list"]] == [1, 2, 3]
    assert died["evidence_document"]["input"]["sha256"].startswith("sha256:")
    assert raised["sha256"] == raised["evidence_document"]["input"]["sha256"]
    assert 'raise ValueError("this item is bad")' in raised["evidence_document"]["error"]["traceback"]
    assert 'raise ValueError("this item is bad")' in text


def test_what_is_shown_does_not_depend_on_the_evidence_file(farm: Farm) -> None:
    (farm.out / "quarantine" / "c_FAILED.json").unlink()
    (farm.out / "quarantine" / "b_FAILED.json").write_text("no json")

    gone = quarantine(farm, "show", "c.txt", "--json").ok().document
    altered = quarantine(farm, "show", "b.txt", "--json").ok().document

    assert (gone["evidence"], gone["evidence_document"], len(gone["attempt_list"])) == (None, None, 3)
    assert (altered["evidence_document"], altered["reason"]) == (None, "value-error")


def test_an_item_that_is_released_has_all_its_tries_again(farm: Farm) -> None:
    quarantine(farm, "release", "c.txt").ok()

    again = farm.run()

    assert farm.executions() == {"c.txt": 3}
    assert again.reasons["c.txt"] == "unfinished"
    assert (again.outcomes["c.txt"], again.outcomes["b.txt"]) == ("quarantined", "held")
    assert_counts_add_up(again.counts)


def test_release_and_discard_decide_about_all_that_are_named_or_none(farm: Farm) -> None:
    for verb in ("release", "discard"):
        wrong = quarantine(farm, verb, "b.txt", "a.txt")
        unknown = quarantine(farm, verb, "b.txt", "nix")
        none = quarantine(farm, verb)

        assert (wrong.code, unknown.code, none.code) == (2, 2, 2)
        assert "'a.txt' is not in quarantine; it is succeeded" in wrong.stderr
    assert set(reasons(farm)) == {"b.txt", "c.txt", "d.txt"}


def test_a_decision_is_in_the_journal_with_who_and_why(farm: Farm) -> None:
    quarantine(farm, "release", "b.txt", "--why", "the parser is mended").ok()
    quarantine(farm, "discard", "c.txt", "--why", "never a document").ok()

    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        discard, release = ledger.runs(job.id)[:2]
        told = [json.loads(run.environment) for run in (release, discard)]
    runs = farm.onward("history", job.name, "--json").ok().document["runs"]

    assert [(one["command"], one["keys"], one["why"]) for one in told] == [
        ("quarantine release", ["b.txt"], "the parser is mended"),
        ("quarantine discard", ["c.txt"], "never a document"),
    ]
    assert all("researcher" in one for one in told)
    assert [(run["label"], run["status"]) for run in runs[:2]] == [
        ("quarantine-discard", "completed"), ("quarantine-release", "completed"),
    ]
    assert farm.onward("audit", "verify").code == 0


def test_what_is_discarded_stays_out_until_its_content_changes(farm: Farm) -> None:
    for key in ("b.txt", "c.txt", "d.txt"):
        quarantine(farm, "discard", key).ok()
    assert not list((farm.out / "quarantine").glob("*"))

    held = farm.run().ok()
    farm.edit_code("words.py", "sum(1", "sum(2")
    after_code = farm.run("--only-failed").ok()
    retried = farm.onward("retry", job_of(farm), "--json").ok()
    farm.path_of("c.txt").touch()
    touched = farm.run("--only-failed").ok()
    farm.write("c.txt", "mended words\n")
    mended = farm.run()

    for ran in (held, after_code, retried, touched):
        assert {key: ran.reasons[key] for key in ("b.txt", "c.txt", "d.txt")} == dict.fromkeys(
            ("b.txt", "c.txt", "d.txt"), "discarded"
        )
        assert (ran.counts["held"], ran.counts["discarded"]) == (3, 3)
        assert_counts_add_up(ran.counts)
    assert (mended.reasons["c.txt"], mended.outcomes["c.txt"]) == ("content-changed", "processed")
    assert (mended.code, mended.counts["discarded"]) == (0, 2)


def test_discarding_again_changes_nothing_and_release_takes_it_back(farm: Farm) -> None:
    quarantine(farm, "discard", "b.txt").ok()
    quarantine(farm, "discard", "b.txt").ok()
    listed = quarantine(farm, "list", "--json").document

    assert [(one["reason"], one["discarded"]) for one in listed["items"] if one["key"] == "b.txt"] == [
        ("value-error", True)
    ]
    quarantine(farm, "release", "b.txt").ok()
    assert farm.run().reasons["b.txt"] == "unfinished"


@pytest.mark.contract("S0-038", "S1-032")
def test_only_failed_takes_what_failed_and_leaves_the_rest_for_later(farm: Farm) -> None:
    farm.write("a.txt", "other good words\n")
    farm.write("new.txt", "new words\n")
    farm.write("b.txt", "mended words\n")

    ran = farm.run("--only-failed")
    executed = farm.executions()
    later = farm.run()

    assert executed == {"b.txt": 1, "c.txt": 3, "d.txt": 1}
    assert ran.outcomes == {
        "a.txt": None, "b.txt": "processed", "c.txt": "quarantined", "d.txt": "quarantined", "new.txt": None
    }
    assert (ran.reasons["a.txt"], ran.reasons["new.txt"]) == ("not-asked", "not-asked")
    assert (ran.counts["remaining"], ran.counts["total"]) == (2, 5)
    assert_counts_add_up(ran.counts)
    assert (later.reasons["a.txt"], later.reasons["new.txt"]) == ("content-changed", "new"), "nothing was forgotten"


def test_retry_runs_what_failed_with_the_settings_of_the_last_run(plant: Plant) -> None:
    farm = plant({"a.txt": "good words here\n", "b.txt": "!raise\n"})
    farm.run("--set", "limit=8")
    farm.edit_code("toy.py", 'raise ValueError("this item is bad")', "pass")
    farm.forget_effects()

    ran = farm.onward("retry", job_of(farm), "--json").ok()

    assert farm.executions() == {"b.txt": 1}, "a.txt is stale, too, and was not asked for"
    assert farm.output("b.json")["limit"] == 8
    assert ran.outcomes == {"a.txt": None, "b.txt": "processed"}


@pytest.mark.contract("S0-011")
def test_attempts_max_is_a_setting_and_no_part_of_the_fingerprint(plant: Plant) -> None:
    farm = plant({"a.txt": "good words\n", "b.txt": "!exit\n"})

    farm.run("--set", "attempts_max=2")
    tries = farm.executions()["b.txt"]
    again = farm.run("--set", "attempts_max=5")
    refused = farm.run("--set", "attempts_max=0")

    assert tries == 2
    assert (again.counts["skipped"], again.counts["held"]) == (1, 1)
    assert refused.code == 2
    assert "'attempts_max' (--set) must be a whole number, at least 1" in refused.stderr


def test_limits_come_from_flags_before_variables_before_files(plant: Plant) -> None:
    farm = plant({"b.txt": "!exit\n"})
    (farm.root / "onward.toml").write_text("attempts_max = 1\nmemory_threshold_mb = 2048\n")

    farm.run()
    from_file = farm.executions()["b.txt"]
    farm.write("b.txt", "!exit\nnow\n")
    farm.run(env={"ONWARD_ATTEMPTS_MAX": "2"})
    from_variable = farm.executions()["b.txt"] - from_file
    farm.write("b.txt", "!exit\nthen\n")
    farm.run("--set", "attempts_max=1", env={"ONWARD_ATTEMPTS_MAX": "2"})

    assert (from_file, from_variable) == (1, 2)
    assert farm.executions()["b.txt"] == 4
