"""Whoever watches a run from outside, and whoever could stop it: one that does nothing of each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from onward.engine.run import Tally
from onward.model.states import RunStatus

if TYPE_CHECKING:
    from onward.engine.outcomes import Finished
    from onward.engine.recover import Recovery


class Watcher:
    """Told what happens while a batch runs; does nothing by itself."""

    def job_found(self, job: str, place: str, out: str) -> None:
        """The job's name is known, before anything starts."""

    def recovered(self, recovery: Recovery) -> None:
        """Recovery has ended."""

    def lost(self, entries: int) -> None:
        """The ledger has lost its last entries; the items they told of are done again."""

    def progress(self, tally: Tally, finished: Sequence[Finished]) -> None:
        """These items are acknowledged."""

    def memory_high(self, used_mb: float, workers: int) -> None:
        """So much memory is used, in MB, that there will be no more than so many workers."""

    def told(self, sentence: str) -> None:
        """Something about the manifest that a person should hear of."""

    def noticed(self, sentence: str) -> None:
        """Something about the workers of a shared run that a person should hear of."""

    def ended(self) -> None:
        """Nothing more is acknowledged."""


class NeverStop:
    """Lets a run go on to its end."""

    def requested(self) -> RunStatus | None:
        """Never asks."""
        return None

    def is_urgent(self) -> bool:
        """Never."""
        return False

    def breakable(self) -> AbstractContextManager[None]:
        """Nothing is broken off."""
        return nullcontext()
