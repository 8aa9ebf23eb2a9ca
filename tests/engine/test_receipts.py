"""What a step sees of receipts: one digest a question, exact money, and one answer however many ask at once."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.engine.pipeline import Pipeline, asks_for
from onward.engine.receipts import NoReceipts, Paid, answer_text, checked, micro, question_digest, question_text
from onward.errors import QuestionInvalid
from onward.model.money import amount

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8") | st.sampled_from("\ud800\udfff"))
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
QUESTIONS = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


def turned(value):
    """Return the same with the keys of every mapping in the opposite order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(one) for one in value] if isinstance(value, list) else value


def spelled(value) -> str:
    """Return a spelling in which values that JSON tells apart differ, and no others."""
    match value:
        case dict():
            return "{" + ",".join(f"{key!r}:{spelled(value[key])}" for key in sorted(value)) + "}"
        case list():
            return "[" + ",".join(map(spelled, value)) + "]"
        case _:
            return repr(value)


@given(QUESTIONS)
def test_the_order_of_keys_does_not_change_a_question_laws(question):
    assert question_digest(turned(question)) == question_digest(question)
    assert len(question_digest(question)) == 32


@given(QUESTIONS, QUESTIONS)
def test_questions_share_a_digest_only_where_they_say_the_same_laws(one, other):
    assert (question_digest(one) == question_digest(other)) == (spelled(one) == spelled(other))


@given(QUESTIONS)
def test_a_question_is_kept_as_it_is_laws(question):
    assert json.loads(question_text(question)) == question


def test_a_number_a_text_and_a_truth_are_different_questions():
    assert len({question_digest({"n": value}) for value in (1, 1.0, "1", True)}) == 4


@pytest.mark.parametrize("question", [
    {1: "a"}, {"a": {2: "b"}}, {"a": math.nan}, {"a": [math.inf]}, {"a": b"bytes"}, {"a": {"set"}}, ["a"], "a", None,
])
def test_what_json_would_spell_like_something_else_is_no_question(question):
    with pytest.raises(QuestionInvalid):
        question_digest(question)


@given(st.integers(0, 10**15))
def test_an_amount_reads_back_as_the_same_millionths_laws(cost_micro):
    assert micro(float(amount(cost_micro))) == cost_micro
    assert micro(cost_micro / 1e6) == cost_micro
    assert len(amount(cost_micro).partition(".")[2]) >= 2


@pytest.mark.parametrize("cost", [-0.000001, math.nan, math.inf, "many", None])
def test_what_is_no_amount_of_money_is_refused(cost):
    with pytest.raises(QuestionInvalid, match="cost"):
        checked(Paid("yes", cost=cost))


@pytest.mark.parametrize("paid", [
    "yes", None, ("yes", 1, 1, 0.1), Paid("yes", tokens_in=-1), Paid("yes", tokens_out=True),
    Paid("yes", tokens_in=1.5), Paid({1: 2}), Paid(math.nan), Paid(b"bytes"), Paid("yes", tokens_in=1 << 63),
])
def test_what_cannot_be_kept_is_refused(paid):
    with pytest.raises(QuestionInvalid):
        checked(paid)


def test_a_step_gets_an_answer_the_first_time_as_it_gets_it_again():
    receipts = NoReceipts()
    first = receipts.once({"q": 1}, lambda: Paid(("a", {"b": (1, 2)})))

    assert first == ["a", {"b": [1, 2]}]
    assert receipts.once({"q": 1}, lambda: pytest.fail("it was asked again")) == first
    assert answer_text(first) == '["a",{"b":[1,2]}]'


def test_a_step_that_changes_its_answer_does_not_change_what_is_kept():
    receipts = NoReceipts()
    receipts.once({}, lambda: Paid([1])).append(2)

    assert receipts.once({}, lambda: Paid("another")) == [1]


def test_threads_that_ask_the_same_at_once_pay_once_and_one_that_fails_lets_the_next_one_ask():
    receipts, together = NoReceipts(), Barrier(8)
    asked = []

    def ask():
        asked.append(1)
        if len(asked) == 1:
            raise ConnectionError("no answer")
        return Paid("yes")

    def one(_):
        together.wait()
        try:
            return receipts.once({"q": 1}, ask)
        except ConnectionError:
            return "failed"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))

    assert sorted(answers) == ["failed", *["yes"] * 7]
    assert len(asked) == 2


def test_a_pipeline_knows_whether_a_step_or_a_check_asks_for_receipts():
    def plain(item):
        return item

    def asking(item, receipts):
        return item

    def pipeline(steps, checks=()):
        return Pipeline("p", source=None, steps=steps, sink=None, checks=checks)

    assert asks_for(asking, "receipts")
    assert not asks_for(plain, "receipts")
    assert not asks_for(len, "config")
    assert not pipeline([plain], [plain]).uses_receipts
    assert pipeline([plain, asking]).uses_receipts
    assert pipeline([plain], [asking]).uses_receipts
