"""The measures against examples from the papers that define them, and against every pairing tried."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.pipelines.articles.measured.measures import _best_pairing, b_cubed, ceaf_e, measure, muc

PARTITIONS = st.dictionaries(st.sampled_from("abcdefghij"), st.integers(0, 4), min_size=1)
MATRICES = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(st.floats(0, 1, allow_subnormal=False), min_size=width, max_size=width), min_size=1, max_size=5
    )
)


def clusters(*parts: str) -> dict[str, object]:
    return {mention: number for number, part in enumerate(parts) for mention in part}


GOLD = clusters("12345", "67", "89ABC")
JOINED_A_LARGE_TO_A_SMALL = clusters("12345", "6789ABC")
JOINED_TWO_LARGE = clusters("1234589ABC", "67")


def test_muc_counts_the_two_mistakes_of_bagga_and_baldwin_alike() -> None:
    # One link too many among ten that were made: 9/10; none of the nine that are needed is missing.
    for answer in (JOINED_A_LARGE_TO_A_SMALL, JOINED_TWO_LARGE):
        assert muc(GOLD, answer) == (1.0, pytest.approx(9 / 10))


def test_b_cubed_finds_the_larger_mistake_of_bagga_and_baldwin_worse() -> None:
    # (5 * 5/5 + 2 * 2/7 + 5 * 5/7) / 12 and (10 * 5/10 + 2 * 2/2) / 12, the 76 % and 58 % of the paper.
    assert b_cubed(GOLD, JOINED_A_LARGE_TO_A_SMALL) == (1.0, pytest.approx((5 + 4 / 7 + 25 / 7) / 12))
    assert b_cubed(GOLD, JOINED_TWO_LARGE) == (1.0, pytest.approx(7 / 12))


def test_muc_of_vilain_counts_a_chain_cut_in_two_as_one_missing_link() -> None:
    # Key {A B C D}, response {A B} {C D}: (4 - 2) / (4 - 1), and every link given is right.
    assert muc(clusters("ABCD"), clusters("AB", "CD")) == (pytest.approx(2 / 3), 1.0)


def test_ceaf_pairs_clusters_one_to_one() -> None:
    # Best pairing: 12345 with 12345 (1) and 89ABC with 6789ABC (2 * 5 / 12); 67 stays alone.
    best = 1 + 10 / 12
    assert ceaf_e(GOLD, JOINED_A_LARGE_TO_A_SMALL) == (pytest.approx(best / 3), pytest.approx(best / 2))


def test_everything_in_one_cluster_has_full_recall_of_links_and_mentions() -> None:
    found = measure(GOLD, dict.fromkeys(GOLD, 0))

    assert found.muc.recall == 1
    assert found.b_cubed.recall == 1
    assert found.b_cubed.precision == pytest.approx((25 + 4 + 25) / 12 / 12)
    assert found.ceaf_e.precision == pytest.approx(2 * 5 / 17)


def test_conll_is_the_mean_of_three() -> None:
    found = measure(GOLD, JOINED_TWO_LARGE)

    assert found.conll == pytest.approx((found.muc.f1 + found.b_cubed.f1 + found.ceaf_e.f1) / 3)


def test_no_mentions_score_nothing() -> None:
    assert measure({}, {}).conll == 0


@given(PARTITIONS)
def test_law_the_gold_clusters_under_other_names_are_perfect(gold: dict[str, int]) -> None:
    found = measure(gold, {mention: f"other {cluster}" for mention, cluster in gold.items()})

    assert found.b_cubed == (pytest.approx(1), pytest.approx(1))
    assert found.ceaf_e == (pytest.approx(1), pytest.approx(1))
    assert found.muc.f1 == (1 if len(set(gold.values())) < len(gold) else 0)


@given(PARTITIONS, PARTITIONS)
def test_law_gold_and_answer_change_places_as_recall_and_precision_do(a: dict[str, int], b: dict[str, int]) -> None:
    there, back = measure(a, b), measure(b, a)

    for one, other in zip(there, back, strict=True):
        assert one == pytest.approx((other.precision, other.recall))


@given(PARTITIONS, PARTITIONS)
def test_law_b_cubed_is_what_counting_mention_by_mention_gives(a: dict[str, int], b: dict[str, int]) -> None:
    mentions = sorted(a.keys() | b.keys())

    def cluster(side: dict[str, int], mention: str) -> set[str]:
        return {m for m in mentions if m == mention or (mention in side and side.get(m) == side[mention])}

    recalls = [len(cluster(a, m) & cluster(b, m)) / len(cluster(a, m)) for m in mentions]

    assert b_cubed(a, b).recall == pytest.approx(sum(recalls) / len(mentions))


@given(MATRICES)
def test_law_no_pairing_is_better_than_the_one_found(matrix: list[list[float]]) -> None:
    tall = matrix if len(matrix) <= len(matrix[0]) else [list(column) for column in zip(*matrix, strict=True)]
    every = permutations(range(len(tall[0])), len(tall))
    best = max(sum(tall[row][column] for row, column in enumerate(chosen)) for chosen in every)

    assert _best_pairing(matrix) == pytest.approx(best)
