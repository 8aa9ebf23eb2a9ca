"""What an engine and a manifest tell each other, as values: where a file stands, and which run it was.

Paths are absolute in this checkout; in the manifest they are relative. Reading and writing is `ledger/manifest/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedEntry:
    """Where one file stands.

    Attributes:
        key: POSIX path relative to the manifest's folder.
        content: Content hash of the input as processed; None when that never succeeded.
        status: `success` or `failed`.
        run_id: The run that recorded it.
        recorded_at: Microseconds since 1970, UTC.
        output: The output, absolute in this checkout, whether or not it is here; None without one.
        output_hash: Digest of its bytes; None where it was not recorded.
        output_size: Bytes; None where it was not recorded.
        code: Code part of the fingerprint; None in entries of the manifest's own making and in historic ones.
        config: Config part, likewise.
        reason: Why it failed.
        attempts: Failed attempts since the last success.
        validation: PASS, WARN or FAIL; None where it was not recorded.
        input_size: Bytes.
        quarantine: Where the evidence of a failure stands, absolute.
        elapsed_s: How long it took.
        extra: Fields that are only handed on.
    """

    key: str
    content: str | None
    status: str
    run_id: str
    recorded_at: int
    output: str | None = None
    output_hash: str | None = None
    output_size: int | None = None
    code: str | None = None
    config: str | None = None
    reason: str | None = None
    attempts: int = 0
    validation: str | None = None
    input_size: int | None = None
    quarantine: str | None = None
    elapsed_s: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRun:
    """A run.

    Attributes:
        run_id: Its id.
        facts: `started_at, completed_at, status, git_commit, summary`, and what else is to be known, such as the
            `anchor` of a journal.
        config: Its config snapshot; secrets are hidden before it is written.
    """

    run_id: str
    facts: Mapping[str, Any]
    config: Mapping[str, Any] | None = None
