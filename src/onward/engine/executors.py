"""Finds an executor by its name: a module in `workers/`, imported when there is work for it and never before.

What an executor owes the engine, and the values that cross between the two, is `executor.py`. Where other processes do
the work, the module has `courier` in the place of `start`: what carries hints to them; see `courier.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from onward.errors import UsageError

if TYPE_CHECKING:
    from onward.engine.executor import Assignment, Executor, Report, Task
    from onward.engine.shared.courier import Courier

DEFAULT = "local"
_ELSEWHERE = {"celery": "celery"}
"""Executors that are couriers → the extra that each needs."""


def executor(name: str, assignment: Assignment) -> Executor:
    """Start the executor of this name."""
    made: Executor = find_executor(name)(assignment)
    return made


def find_executor(name: str) -> Callable[[Assignment], Executor]:
    """Return what starts the executor of this name: `start` in the module `onward.workers.<name>`.

    Raises:
        UsageError: There is no such executor.
    """
    try:
        start: Callable[[Assignment], Executor] = importlib.import_module(f"onward.workers.{name}").start
    except (ModuleNotFoundError, AttributeError) as error:
        msg = f"There is no executor '{name}'; use {', '.join((DEFAULT, *_ELSEWHERE))}."
        raise UsageError(msg) from error
    return start


def bench(assignment: Assignment) -> Callable[[Task], Report]:
    """Return what makes an attempt in this process."""
    made: Callable[[Task], Report] = importlib.import_module("onward.workers.attempt").Bench(assignment).attempt
    return made


def is_elsewhere(name: str) -> bool:
    """Say whether other processes than the one that starts a run do its work."""
    return name in _ELSEWHERE


def find_courier(name: str, ledger: str) -> Courier:
    """Return what carries hints to the workers of a ledger, named by its uuid.

    Raises:
        UsageError: What it needs is not installed, or not set.
    """
    try:
        module = importlib.import_module(f"onward.workers.{name}")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("onward"):
            raise
        msg = f"The executor '{name}' needs '{error.name}': pip install 'onward[{_ELSEWHERE[name]}]'."
        raise UsageError(msg) from error
    made: Courier = module.courier(ledger)
    return made
