"""`@retry`: call a function again when it fails in a way that may pass, waiting longer each time.

For code of one's own that is not a step, or that must try again within one: it sleeps where it is called, so a step
that uses it holds its worker meanwhile. A step that simply raises gives its worker back, and the engine tries its item
again under the same rule; see `Pipeline(transient=...)`. How long to wait is `model/backoff.py`.

The file is not called `retry.py`, because a module of that name would take the function's place in `onward`.
"""

from __future__ import annotations

import functools
import inspect
import logging
import random
from collections.abc import Callable
from typing import ParamSpec, TypeVar, overload

from onward import clock
from onward.errors import SettingInvalid
from onward.model.backoff import delay_s

P = ParamSpec("P")
R = TypeVar("R")
OnRetry = Callable[[BaseException, int, float], object]
"""Called with the error, how many tries have failed so far, and the seconds until the next one."""


@overload
def retry(max_attempts: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def retry(
    max_attempts: int = 3,
    backoff_factor: float = 2.0,
    exceptions: type[BaseException] | tuple[type[BaseException], ...] = (ConnectionError, TimeoutError),
    on_retry: OnRetry | None = None,
    *,
    first_s: float = 1.0,
    longest_s: float = 60.0,
    sleep: Callable[[float], object] = clock.sleep,
    chance: Callable[[], float] = random.random,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def retry(
    max_attempts: int | Callable[P, R] = 3,
    backoff_factor: float = 2.0,
    exceptions: type[BaseException] | tuple[type[BaseException], ...] = (ConnectionError, TimeoutError),
    on_retry: OnRetry | None = None,
    *,
    first_s: float = 1.0,
    longest_s: float = 60.0,
    sleep: Callable[[float], object] = clock.sleep,
    chance: Callable[[], float] = random.random,
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that calls a function again when it raises one of some errors.

    Between two tries it waits: at most `first_s`, then `backoff_factor` times as long each time, never longer than
    `longest_s`, and by chance up to half less. The last error is raised as it is.

    Args:
        max_attempts: Calls in all, at least 1.
        backoff_factor: Growth of the wait from one try to the next, at least 1.
        exceptions: Errors that may pass; any other is raised at once.
        on_retry: Called before each wait with the error, the count of failed tries, and the wait in seconds; e.g.
            `with_retry_logging`.
        first_s: Bound of the first wait, in seconds.
        longest_s: Bound of every wait, in seconds.
        sleep: Waits so many seconds.
        chance: Returns a random number in [0, 1).

    Raises:
        SettingInvalid: A number is out of bounds, or the function is a coroutine function.
    """
    if callable(max_attempts):
        return retry()(max_attempts)  # @retry without parentheses
    most = max_attempts
    if most < 1 or backoff_factor < 1 or first_s < 0 or longest_s < 0:
        msg = (
            f"retry() takes at least one attempt, a factor of at least 1 and waits of at least 0 s, not "
            f"max_attempts={most}, backoff_factor={backoff_factor}, first_s={first_s}, longest_s={longest_s}."
        )
        raise SettingInvalid(msg)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            msg = f"retry() cannot try '{function.__name__}' again: it is not done when its call returns."
            raise SettingInvalid(msg)

        @functools.wraps(function)
        def tried(*args: P.args, **kwargs: P.kwargs) -> R:
            failed = 0
            while True:
                try:
                    return function(*args, **kwargs)
                except exceptions as error:
                    failed += 1
                    if failed >= most:
                        raise
                    wait_s = delay_s(failed, chance(), first_s=first_s, factor=backoff_factor, longest_s=longest_s)
                    if on_retry is not None:
                        on_retry(error, failed, wait_s)
                sleep(wait_s)

        return tried

    return decorate


def with_retry_logging(error: BaseException, failed: int, wait_s: float) -> None:
    """Log a warning that a call failed and is tried again; to be given to `retry` as `on_retry`."""
    logging.getLogger("onward.retry").warning(
        "Attempt %d failed with %s: %s; trying again in %.2f s", failed, type(error).__name__, error, wait_s
    )
