"""`BatchProgress`: how far a batch of documents has come, how fast it is, and how much memory it takes.

It only counts. What is done is in the ledger; what a later batch may leave out unread is in `progress_file.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from onward import clock

__all__ = ["BatchProgress", "memory_mb"]

_MB = 1 << 20


@dataclass(slots=True)
class BatchProgress:
    """How far a batch has come; `update_metrics` brings the rates up to date.

    Attributes:
        processed: Files whose new version was recorded.
        elapsed_time: Seconds since the batch began.
        files_per_second: `processed` by `elapsed_time`; 0 before any time has passed.
        memory_usage_mb: Resident memory of this process in MB (2^20 bytes), when it was last looked at.
        peak_memory_mb: The most that was seen.
        total_files: Files that the batch has to come to.
        skipped: Files that are as they were.
        failed: Files that could not be taken.
        began: When the batch began, on `clock.monotonic`; None where `elapsed_time` is kept by somebody else.

    Contract: S4-026 to S4-028.
    """

    processed: int = 0
    elapsed_time: float = 0.0
    files_per_second: float = 0.0
    memory_usage_mb: float = 0.0
    peak_memory_mb: float = 0.0
    total_files: int = 0
    skipped: int = 0
    failed: int = 0
    began: float | None = field(default=None, repr=False)

    @property
    def done(self) -> int:
        """Files that the batch has come to."""
        return self.processed + self.skipped + self.failed

    @property
    def success_rate(self) -> float:
        """Percent of the files come to that are recorded, now or before; 100 before the first one."""
        return 100.0 if not self.done else 100.0 * (self.done - self.failed) / self.done

    @property
    def remaining_time(self) -> float | None:
        """Seconds that the rest would take at the pace so far; None before there is a pace."""
        left = max(self.total_files - self.done, 0)
        if not left:
            return 0.0
        return self.elapsed_time / self.done * left if self.done and self.elapsed_time > 0 else None

    def update_metrics(self) -> None:
        """Measure time, rate and memory."""
        if self.began is not None:
            self.elapsed_time = clock.monotonic() - self.began
        self.files_per_second = self.processed / self.elapsed_time if self.elapsed_time > 0 else 0.0
        self.memory_usage_mb = memory_mb()
        self.peak_memory_mb = max(self.peak_memory_mb, self.memory_usage_mb)


def memory_mb() -> float:
    """Return the resident memory of this process in MB (2^20 bytes)."""
    import psutil

    return float(psutil.Process().memory_info().rss) / _MB
