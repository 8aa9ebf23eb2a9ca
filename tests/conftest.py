"""What every suite shares: a farm of its own for each test, and nothing inherited from the person's environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest

from farm import Farm, kill_all
from services.fixtures import (  # noqa: F401  # fixtures are found where they are imported
    mariadb,
    mariadb_server,
    postgres,
    postgres_server,
    postgres_url,
    redis,
    redis_server,
    redis_url,
)
from services.llm import faulty_llm, small_llm  # noqa: F401  # likewise


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail where a whole file of tests would be left out for want of a library, when this is CI, which has them all."""
    report = yield
    if report.outcome == "skipped" and os.environ.get("CI", "").lower() == "true":
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} was not run: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("ONWARD_", "BATCH_")):
            monkeypatch.delenv(name)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Callable[..., Farm]]:
    """Return a function that makes a farm; whatever its steps left running is ended after the test."""
    farms: list[Farm] = []

    def make(files: Mapping[str, str | bytes] | None = None, *, workers: int = 1) -> Farm:
        farms.append(Farm.plant(tmp_path / f"farm{len(farms)}", files, workers=workers))
        return farms[-1]

    yield make
    for farm in farms:
        kill_all(farm.children())
