"""Hand committed results to their destination. May be repeated: recovery does the same with what a crash left.

When this begins, the ledger already says that the result exists and where it must go; when it ends, everything
stands durably in its place, and only the confirmation is missing, which rides on the next commit.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import NamedTuple

from onward.engine.faults import FaultPoint, hit
from onward.engine.sink import Sink
from onward.model.item import is_evidence, quarantine_path
from onward.model.record import Publish

_BLOCKED = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.EEXIST, errno.EINVAL})
"""Errors that tell of one output path and not of the disk."""


class Delivery(NamedTuple):
    """One result to hand over, or an output to take away.

    Attributes:
        publish: What goes where.
        key: The item.
        replaces: Digest, size in bytes and mtime in nanoseconds that are recorded of the output it replaces.
        version_before: Number of the version it replaces.
        is_renamed: It stands in its place already; a crash came before the rename was durable and confirmed.
    """

    publish: Publish
    key: str
    replaces: tuple[str, int, int] | None
    version_before: int | None
    is_renamed: bool = False


class Blocked(NamedTuple):
    """A result that cannot be put in its place, because of what stands there."""

    delivery: Delivery
    why: str

    @property
    def is_evidence(self) -> bool:
        """Say whether it is the evidence of a quarantined item and not a result."""
        return self.delivery.publish.kind == "quarantine"


def publish(sink: Sink, deliveries: Sequence[Delivery]) -> list[Blocked]:
    """Put every result in its place, durably, and take away what is to go; return those that something else blocks.

    Raises:
        OSError: The disk failed. What was committed stays pending and is delivered by the next run.
    """
    to_retract = [delivery for delivery in deliveries if delivery.publish.kind == "retract"]
    blocked = _take_away(sink, to_retract)
    for delivery in deliveries:
        row = delivery.publish
        try:
            if row.kind == "output":
                if not delivery.is_renamed:
                    sink.keep_old(row.output, delivery.replaces)
                hit(FaultPoint.LINKED)
                _put_in_place(sink, delivery)
                hit(FaultPoint.RETRACTING)
                _retract_evidence(sink, delivery.key)
            elif row.kind == "quarantine":
                _put_in_place(sink, delivery)
        except OSError as error:
            if error.errno not in _BLOCKED:
                raise
            blocked.append(Blocked(delivery, f"'{row.output}' cannot be written: {error.strerror}"))
        hit(FaultPoint.RENAMED)
    sink.sync_published()
    hit(FaultPoint.PUBLISHED)
    return blocked


def _put_in_place(sink: Sink, delivery: Delivery) -> None:
    if delivery.is_renamed:
        sink.published_before(delivery.publish.output)
    else:
        sink.publish(delivery.publish.staged, delivery.publish.output)


def _take_away(sink: Sink, deliveries: Sequence[Delivery]) -> list[Blocked]:
    """Take outputs away, with the evidence beside them. What stands there is safe in the history before it goes."""
    if not deliveries:
        return []
    blocked = []
    free = []
    for delivery in deliveries:
        try:
            if not is_evidence(delivery.publish.output):
                sink.keep_old(delivery.publish.output, delivery.replaces)
            free.append(delivery)
        except OSError as error:
            if error.errno not in _BLOCKED:
                raise
            blocked.append(Blocked(delivery, f"'{delivery.publish.output}' is not ours: {error.strerror}"))
    sink.sync_published()
    hit(FaultPoint.KEPT)
    for delivery in free:
        sink.retract(delivery.publish.output)
        hit(FaultPoint.RETRACTING)
        _retract_evidence(sink, delivery.key)
    return blocked


def _retract_evidence(sink: Sink, key: str) -> None:
    for place in evidence_places(sink, key):
        sink.retract(place)


def evidence_places(sink: Sink, key: str) -> list[str]:
    """Return where evidence of an item may stand, relative to where the results go."""
    whole = quarantine_path(key, owns_output=False)
    return [quarantine_path(key), whole] if sink.names_by_stem else [whole]
