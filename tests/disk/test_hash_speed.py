"""The floor under the speed of hashing, as the founders' users were told; the goal is in the benchmarks."""

from __future__ import annotations

import time

import pytest

from onward import compute_file_hash

_MB = 64


@pytest.mark.contract("S0-051", "X-23")
def test_a_file_is_hashed_at_100_megabytes_a_second_or_more(tmp_path):
    """The best of five, since others share the machine."""
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * (_MB * 4096))
    best_s = min(timed(path) for _ in range(5))

    speed = _MB / best_s

    print(f"hashed {_MB} MB at {speed:.0f} MB/s")
    assert speed >= 100


def timed(path) -> float:
    began = time.perf_counter()
    compute_file_hash(path)
    return time.perf_counter() - began
