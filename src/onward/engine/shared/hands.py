"""The shared runs that one process works on: opened when they are first asked for, closed when they have ended."""

from __future__ import annotations

from collections.abc import Callable, Collection

from onward.engine.shared.at_hand import AtHand, Shelf
from onward.errors import OnwardError
from onward.ledger.base import Ledger
from onward.ledger.tasks import Distribution, Tasks
from onward.runs.workspace import Workspace


class Hands:
    """One for a process.

    Attributes:
        holder: The name under which this process has its leases.
        lease_s: How long a lease lasts, in seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        tasks: Tasks,
        workspace: Workspace,
        shelf: Shelf,
        *,
        holder: str,
        lease_s: float,
        tell: Callable[[str], None],
    ) -> None:
        """Open nothing yet.

        Args:
            ledger: Where runs are recorded.
            tasks: Where they are shared out.
            workspace: What places are relative to.
            shelf: The pipelines of this process.
            holder: A name that no other process has.
            lease_s: How long a lease lasts.
            tell: Told, once for each run, why this process cannot work on it.
        """
        self.holder = holder
        self.lease_s = lease_s
        self._ledger = ledger
        self._tasks = tasks
        self._workspace = workspace
        self._shelf = shelf
        self._tell = tell
        self._open: dict[int, AtHand] = {}
        self._refused: dict[int, str] = {}

    def of(self, shared: Distribution) -> AtHand | None:
        """Return a run, or None when what it needs is not here."""
        found = self._open.get(shared.run_id)
        if found is not None:
            return found
        try:
            found = AtHand(
                self._ledger, self._tasks, shared, self._workspace, self._shelf, holder=self.holder,
                lease_s=self.lease_s,
            )
        except (OnwardError, OSError) as error:
            self._refuse(shared, str(error))
            return None
        self._refused.pop(shared.run_id, None)
        if found.difference is not None:
            self._refuse(shared, f"this worker is on another version ({found.difference})")
        self._open[shared.run_id] = found
        return found

    def keep_only(self, runs: Collection[int]) -> None:
        """Close the runs that are not among these, but for those in which this process is at work."""
        for run_id in [one for one, hand in self._open.items() if one not in runs and not hand.leased.held]:
            self._open.pop(run_id).close()

    def close(self) -> None:
        """Close all of them."""
        while self._open:
            self._open.popitem()[1].close()

    def _refuse(self, shared: Distribution, why: str) -> None:
        if self._refused.get(shared.run_id) == why:
            return
        self._refused[shared.run_id] = why
        job = self._ledger.job_by_id(shared.job_id)
        run = self._ledger.run_by_id(shared.run_id)
        names = f"run {run.name if run else shared.run_id} of job '{job.name if job else shared.job_id}'"
        self._tell(f"{names} is left to other workers: {why}")
