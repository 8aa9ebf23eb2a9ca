"""What came from what: edges from an input through an attempt to an output, walkable both ways."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One way that an output came to be.

    Attributes:
        key: The item.
        content: Content hash of the input as processed.
        fingerprint: Digest of content, code and config.
        run: Run id of the run that made it.
        attempt: Serial number of the attempt, counted over all runs, from 1.
        reason: Why it was made; `rolled-back` when it was put back and not made.
        output: Output path relative to the output folder.
        digest: Digest of the output's bytes.
        is_current: This is what stands at `output` now.
    """

    key: str
    content: str
    fingerprint: str
    run: str
    attempt: int
    reason: str
    output: str
    digest: str
    size_bytes: int
    validation: str
    recorded_at: int
    is_current: bool
