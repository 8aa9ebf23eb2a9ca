"""Reading beside a writer: a version counts once what it is made of is there, wherever its commit falls between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from documents_farm import DocumentsFarm
from onward import open_documents
from onward.engine.by_hand import ByHand
from onward.engine.faults import FaultPoint
from onward.engine.options import Options
from onward.engine.sources.handed_over import Handed
from onward.ledger.base import Ledger
from onward.pipelines.documents.pipeline import pipeline
from onward.pipelines.documents.reading import Documents

T = 1_700_000_000_000_000
HAND_OVER = """
from onward.engine.batch import Options
from onward.engine.by_hand import ByHand, Handed
from onward.pipelines.documents.pipeline import pipeline
import sys
out, state, name, text, at = sys.argv[1:]
with ByHand(pipeline, out, options=Options(state=state, settings={"embedder": "lexical"})) as by_hand:
    by_hand.put(Handed(name, text.encode(), int(at), None, {}))
"""


def hand_over(farm: DocumentsFarm, *versions: tuple[str, str, int]) -> None:
    options = Options(state=str(farm.state), settings=farm.settings)
    with ByHand(pipeline, str(farm.out), options=options) as by_hand:
        by_hand.put_all([Handed(name, text.encode(), T + at, None, {}) for name, text, at in versions])


def hand_over_and_die(farm: DocumentsFarm, point: FaultPoint, nth: int, name: str, text: str, at: int) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", HAND_OVER, str(farm.out), str(farm.state), name, text, str(T + at)],
        env={**os.environ, "ONWARD_FAULT": f"{point}:{nth}:kill"}, capture_output=True, check=False, text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr


class Between:
    """A ledger beside which something happens before one of the questions that are asked of it."""

    def __init__(self, ledger: Ledger, number: int, happens: Callable[[], None]) -> None:
        self._ledger = ledger
        self._left = number
        self._happens = happens
        self.has_happened = False

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._ledger, name)
        if name == "close":
            return asked

        def ask(*args: Any, **kwargs: Any) -> Any:
            if self._left == 0:
                self._happens()
                self.has_happened = True
            self._left -= 1
            return asked(*args, **kwargs)

        return ask


ASKS: dict[str, Callable[[Documents], object]] = {
    "get": lambda found: found.get("a.md", T + 99),
    "tree": lambda found: list(found.tree(T + 99)),
    "history": lambda found: found.history("a.md"),
    "search": lambda found: found.search("alpha", at=T + 15),
    "until": lambda found: [hit.valid_to for hit in found.search("alpha", at=T + 11)],
}


@pytest.mark.parametrize("ask", ASKS)
def test_a_version_that_is_committed_while_one_reads_counts_only_with_what_it_is_made_of(
    ask: str, tmp_path: Path
) -> None:
    """The commit falls before each of the questions in turn, and the writer dies before it has delivered."""
    number, is_done = 0, False
    while not is_done:
        farm = DocumentsFarm.of(tmp_path / str(number), {})
        hand_over(farm, ("a.md", "alpha one", 10), ("b.md", "alpha beside", 10))
        with open_documents(state=str(farm.state)) as documents:
            before = ASKS[ask](documents)
            # The first commit is that of the claim.
            dies = partial(hand_over_and_die, farm, FaultPoint.COMMITTED, 2, "a.md", "alpha two", 12)
            beside = Between(documents._ledger, number, dies)
            documents._ledger = cast("Ledger", beside)

            assert ASKS[ask](documents) == before, number
            assert ASKS[ask](documents) == before, number
        is_done = not beside.has_happened
        number += 1
    assert number > 2


def test_a_version_that_is_in_the_library_and_not_yet_in_the_store_is_found_by_its_meaning_too(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, ("a.md", "alpha one", 10), ("b.md", "alpha beside", 10))
    hand_over_and_die(farm, FaultPoint.SHELVED, 1, "a.md", "alpha two", 20)
    assert len(farm.stored()) < len(farm.kept())

    with open_documents(state=str(farm.state)) as documents:
        before = documents.search("alpha", at=T + 99)
        hand_over(farm, ("b.md", "alpha beside", 10))  # it is delivered
        after = documents.search("alpha", at=T + 99)

    assert farm.stored() == farm.kept()
    assert [hit.text for hit in before] == ["alpha two", "alpha beside"]
    assert before == after
