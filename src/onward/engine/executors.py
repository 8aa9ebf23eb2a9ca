"""Finds an executor by its name: a module in `workers/`, imported when there is work for it and never before.

What an executor owes the engine, and the values that cross between the two, is `executor.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from onward.errors import UsageError

if TYPE_CHECKING:
    from onward.engine.executor import Assignment, Executor

DEFAULT = "local"


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
        msg = f"There is no executor '{name}'; use '{DEFAULT}'."
        raise UsageError(msg) from error
    return start
