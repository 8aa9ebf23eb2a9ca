"""What an answer costs: by the endpoint's count, else by an estimate that is marked as one."""

from __future__ import annotations

import pytest

from onward.pipelines.articles.llm.prices import Usage, cost_of, usage_of


def test_the_count_of_the_endpoint_is_taken():
    said = {"usage": {"prompt_tokens": 120, "completion_tokens": 34}}

    assert usage_of(said, question_bytes=9, answer_bytes=9) == Usage(120, 34, is_estimated=False)


@pytest.mark.parametrize(
    "said",
    [
        None, [], "x", {}, {"usage": None}, {"usage": {}}, {"usage": {"prompt_tokens": 1}},
        {"usage": {"prompt_tokens": -1, "completion_tokens": 2}},
        {"usage": {"prompt_tokens": True, "completion_tokens": 2}},
        {"usage": {"prompt_tokens": 1.5, "completion_tokens": 2}},
        {"usage": {"prompt_tokens": 10**30, "completion_tokens": 2}},
        {"usage": {"prompt_tokens": "7", "completion_tokens": 2}},
    ],
    ids=str,
)
def test_an_endpoint_that_does_not_count_is_estimated_upwards_and_marked(said):
    assert usage_of(said, question_bytes=1000, answer_bytes=1) == Usage(334, 1, is_estimated=True)


def test_prices_are_those_of_a_million_tokens():
    assert cost_of(Usage(1_000_000, 0, is_estimated=False), price_in=0.15, price_out=0.6) == 0.15
    assert cost_of(Usage(200, 50, is_estimated=False), price_in=0.15, price_out=0.6) == 0.00006
    assert cost_of(Usage(200, 50, is_estimated=False), price_in=0, price_out=0) == 0
