"""The fixture of this suite: `herd`, a farm with PostgreSQL, Redis and workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from distributed.herd import Herd
from farm import Farm

Plant = Callable[..., Farm]


@pytest.fixture
def herd(plant: Plant, postgres: Any, redis: Any) -> Iterator[Callable[[Mapping[str, str | bytes]], Herd]]:
    """Return a function that plants a farm whose runs are shared out; its workers are ended after the test."""
    made: list[Herd] = []

    def make(files: Mapping[str, str | bytes]) -> Herd:
        made.append(Herd(plant(files), postgres, redis))
        return made[-1]

    yield make
    for one in made:
        one.close()
