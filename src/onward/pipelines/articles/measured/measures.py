"""How well clusters agree with gold clusters: MUC, B-cubed, CEAF-e and their mean, the CoNLL F1.

Each is written from its definition, over partitions of the same mentions: gold and answer are mappings mention →
cluster. A mention that only one side knows counts as a cluster of its own on the other. Reading gold files is
`links.py`'s to do.

Source:
    MUC: Vilain et al., "A model-theoretic coreference scoring scheme" (MUC-6, 1995). B-cubed: Bagga and Baldwin,
    "Algorithms for scoring coreference chains" (1998). CEAF-e: Luo, "On coreference resolution performance metrics"
    (2005). CoNLL F1: Pradhan et al., "CoNLL-2011 shared task" (2011).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

Partition = Mapping[str, Hashable]


class Score(NamedTuple):
    """Recall, precision and their harmonic mean, each 0 to 1; 0 where nothing could be counted."""

    recall: float
    precision: float

    @property
    def f1(self) -> float:
        """The harmonic mean."""
        total = self.recall + self.precision
        return 2 * self.recall * self.precision / total if total else 0.0


class Scores(NamedTuple):
    """All measures of one answer."""

    muc: Score
    b_cubed: Score
    ceaf_e: Score

    @property
    def conll(self) -> float:
        """Mean of the three F1."""
        return (self.muc.f1 + self.b_cubed.f1 + self.ceaf_e.f1) / 3


def measure(gold: Partition, answer: Partition) -> Scores:
    """Return every measure of an answer."""
    return Scores(muc(gold, answer), b_cubed(gold, answer), ceaf_e(gold, answer))


def muc(gold: Partition, answer: Partition) -> Score:
    """Count links: of the links that a gold cluster needs, the share that the answer has, and the other way."""
    gold, answer = _over_the_same(gold, answer)
    return Score(_share_of_links(gold, answer), _share_of_links(answer, gold))


def b_cubed(gold: Partition, answer: Partition) -> Score:
    """Count mentions: the mean share of a mention's gold cluster that its answered cluster holds, and the other way."""
    gold, answer = _over_the_same(gold, answer)
    if not gold:
        return Score(0.0, 0.0)
    both = Counter((gold[mention], answer[mention]) for mention in gold)
    of_gold, of_answer = Counter(gold.values()), Counter(answer.values())
    recall = sum(n * n / of_gold[g] for (g, _), n in both.items())
    precision = sum(n * n / of_answer[a] for (_, a), n in both.items())
    return Score(recall / len(gold), precision / len(gold))


def ceaf_e(gold: Partition, answer: Partition) -> Score:
    """Count clusters: pair them one to one so that the sum of 2|G∩A| / (|G|+|A|) is greatest."""
    gold, answer = _over_the_same(gold, answer)
    if not gold:
        return Score(0.0, 0.0)
    of_gold, of_answer = Counter(gold.values()), Counter(answer.values())
    likeness: dict[Hashable, dict[Hashable, float]] = defaultdict(dict)
    for (g, a), n in Counter((gold[mention], answer[mention]) for mention in gold).items():
        likeness[g][a] = 2 * n / (of_gold[g] + of_answer[a])
    best = sum(_best_pairing(block) for block in _blocks(likeness))
    return Score(best / len(of_gold), best / len(of_answer))


def _over_the_same(gold: Partition, answer: Partition) -> tuple[dict[str, Hashable], dict[str, Hashable]]:
    """Return both over the union of their mentions."""
    mentions = gold.keys() | answer.keys()
    return (
        {mention: gold.get(mention, ("alone", mention)) for mention in mentions},
        {mention: answer.get(mention, ("alone", mention)) for mention in mentions},
    )


def _share_of_links(wanted: Partition, given: Partition) -> float:
    parts: dict[Hashable, set[Hashable]] = defaultdict(set)
    sizes: Counter[Hashable] = Counter()
    for mention, cluster in wanted.items():
        parts[cluster].add(given[mention])
        sizes[cluster] += 1
    links = sum(size - 1 for size in sizes.values())
    kept = sum(sizes[cluster] - len(parts[cluster]) for cluster in sizes)
    return kept / links if links else 0.0


def _blocks(likeness: Mapping[Hashable, Mapping[Hashable, float]]) -> list[list[list[float]]]:
    """Return the likenesses as matrices, one for each group of clusters that overlap: few are larger than ten."""
    by_answer: dict[Hashable, list[Hashable]] = defaultdict(list)
    for g, row in likeness.items():
        for a in row:
            by_answer[a].append(g)
    seen: set[Hashable] = set()
    blocks = []
    for start in likeness:
        if start in seen:
            continue
        rows, columns, waiting = [], dict[Hashable, int](), [start]
        seen.add(start)
        while waiting:
            g = waiting.pop()
            rows.append(g)
            for a in likeness[g]:
                columns.setdefault(a, len(columns))
                fresh = [other for other in by_answer[a] if other not in seen]
                seen.update(fresh)
                waiting.extend(fresh)
        matrix = [[0.0] * len(columns) for _ in rows]
        for number, g in enumerate(rows):
            for a, value in likeness[g].items():
                matrix[number][columns[a]] = value
        blocks.append(matrix)
    return blocks


def _best_pairing(matrix: Sequence[Sequence[float]]) -> float:
    """Return the greatest sum of a one-to-one pairing of rows and columns.

    Source:
        The Hungarian method with potentials, rows added one at a time; Kuhn (1955), Munkres (1957).
    """
    if len(matrix) > len(matrix[0]):
        matrix = [list(column) for column in zip(*matrix, strict=True)]
    height, width = len(matrix), len(matrix[0])
    row_price, column_price = [0.0] * (height + 1), [0.0] * (width + 1)
    row_of = [0] * (width + 1)  # the row paired with each column, from 1; 0 is none
    for row in range(1, height + 1):
        row_of[0], column = row, 0
        slack, before = [float("inf")] * (width + 1), [0] * (width + 1)
        done = [False] * (width + 1)
        while True:
            done[column] = True
            here, step, nearest = row_of[column], float("inf"), 0
            for other in range(1, width + 1):
                if done[other]:
                    continue
                cost = -matrix[here - 1][other - 1] - row_price[here] - column_price[other]
                if cost < slack[other]:
                    slack[other], before[other] = cost, column
                if slack[other] < step:
                    step, nearest = slack[other], other
            for other in range(width + 1):
                if done[other]:
                    row_price[row_of[other]] += step
                    column_price[other] -= step
                else:
                    slack[other] -= step
            column = nearest
            if row_of[column] == 0:
                break
        while column:
            row_of[column] = row_of[before[column]]
            column = before[column]
    return sum(matrix[row_of[c] - 1][c - 1] for c in range(1, width + 1) if row_of[c])
