"""Every combination of facts gives exactly one decision, and what comes first wins."""

from __future__ import annotations

from itertools import product

import pytest

from onward.model.decide import Decision, Facts, decide
from onward.model.reason import CHANGES, Action, Reason, is_change
from onward.model.states import ItemState

FLAGS = (False, True)


def _all_facts():
    for state, note, before, today, recipe, output, forced, waiting, cleared, in_flight in product(
        [None, *ItemState], [None, "forced"], [None, "c1"], [None, "c1", "c2"], [None, "code-changed:parse"],
        [None, "output-missing"], FLAGS, FLAGS, FLAGS, FLAGS,
    ):
        yield Facts(
            state=state, note=note, content_before=before, content_today=today, recipe_difference=recipe,
            output_problem=output, is_forced=forced, is_waiting=waiting, is_cleared=cleared, in_flight=in_flight,
        )


ALL = list(_all_facts())


def test_law_every_combination_of_facts_gives_one_decision_with_a_reason_we_know():
    for facts in ALL:
        decision = decide(facts)

        assert isinstance(decision, Decision)
        assert decision.action in Action
        assert decision.reason.partition(":")[0] in set(Reason)
        assert decision == decide(facts)


def test_law_what_another_process_holds_is_left_alone():
    assert {decide(facts) for facts in ALL if facts.in_flight} == {Decision(Action.HOLD, Reason.IN_FLIGHT)}


def test_law_only_what_succeeded_and_is_unchanged_is_skipped():
    for facts in ALL:
        if decide(facts).action is Action.SKIP:
            assert facts.state is ItemState.SUCCEEDED
            assert facts.content_today in (None, facts.content_before)
            assert facts.recipe_difference is facts.output_problem is None
            assert not facts.is_forced


def test_law_a_new_item_and_one_that_came_back_are_processed():
    for facts in ALL:
        if facts.state in (None, ItemState.GONE) and not facts.in_flight:
            assert decide(facts) == Decision(Action.PROCESS, Reason.NEW)


def test_law_what_a_person_asked_for_is_processed():
    for facts in ALL:
        if facts.is_forced and not facts.in_flight:
            assert decide(facts).action is Action.PROCESS


def test_law_changed_content_is_named_before_a_changed_recipe_and_that_before_the_output():
    for facts in ALL:
        if facts.in_flight or facts.is_forced or facts.state in (None, ItemState.GONE):
            continue
        if facts.state is ItemState.PENDING and facts.content_before is None:
            assert decide(facts) == Decision(Action.RETRY, Reason.UNFINISHED)
        elif facts.content_today not in (None, facts.content_before):
            assert decide(facts) == Decision(Action.PROCESS, Reason.CONTENT_CHANGED)
        elif facts.recipe_difference is not None:
            assert decide(facts) == Decision(Action.PROCESS, facts.recipe_difference)
        elif facts.state is ItemState.SUCCEEDED and facts.output_problem is not None:
            assert decide(facts) == Decision(Action.PROCESS, facts.output_problem)


def test_law_a_quarantined_item_waits_until_something_changes():
    for facts in ALL:
        if facts.state is ItemState.QUARANTINED and decide(facts).action is Action.HOLD and not facts.in_flight:
            assert decide(facts).reason == Reason.QUARANTINED
            assert facts.recipe_difference is None
            assert (facts.is_cleared, facts.is_forced) == (False, False)


def test_law_nothing_is_tombstoned_by_a_look_at_it():
    assert Action.TOMBSTONE not in {decide(facts).action for facts in ALL}


def test_a_failed_item_that_is_not_due_waits_and_one_that_is_due_is_tried():
    failed = {"state": ItemState.FAILED, "content_before": "c1", "content_today": "c1"}

    assert decide(Facts(**failed, is_waiting=True)) == Decision(Action.RETRY, Reason.BACKING_OFF)
    assert decide(Facts(**failed)) == Decision(Action.RETRY, Reason.UNFINISHED)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_a_change_with_and_without_its_part(reason):
    assert is_change(reason) == is_change(reason.of("part")) == (reason in CHANGES)


def test_the_words_of_reasons_and_actions_are_an_interface():
    assert [str(reason) for reason in Reason] == [
        "new", "content-changed", "code-changed", "config-changed", "dependency-changed", "output-missing",
        "output-altered", "forced", "overtaken", "unfinished", "backing-off", "in-flight", "quarantined", "unchanged",
        "adopted", "gone", "rolled-back", "discarded", "not-asked",
    ]
    assert [str(action) for action in Action] == ["process", "retry", "skip", "hold", "tombstone"]
