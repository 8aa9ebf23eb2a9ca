"""What a Databricks workspace says of a run of one of its jobs; which run that is, `databricks.py` knows.

It is asked of the REST interface each time and kept nowhere. Host and token come from `DATABRICKS_HOST` and
`DATABRICKS_TOKEN`; the token stands in no answer, no error and no record.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

from onward import clock
from onward.errors import PlatformSilent
from onward.model.backoff import delay_s
from onward.model.secret import HIDDEN, without_password

_TRIES = 3
_TIMEOUT_S = 5.0
_WAIT_MAX_S = 5.0
"""A person waits for the answer."""
_BODY_MAX = 4_000_000
_ENDED = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})


class PlatformRun(NamedTuple):
    """What the platform says of a run.

    Attributes:
        run_id: Which run.
        job_id: Of which job; '' where it says nothing.
        life_cycle: Where it is: PENDING, QUEUED, RUNNING, TERMINATING, TERMINATED, SKIPPED, INTERNAL_ERROR, ...
        result: How it ended: SUCCESS, FAILED, TIMEDOUT, CANCELED, ...; '' until then.
        message: Its own words.
        page: Where a person sees it.
        started_at: Microseconds since 1970, UTC; None where it has not begun.
        ended_at: Likewise.
    """

    run_id: str
    job_id: str
    life_cycle: str
    result: str
    message: str
    page: str
    started_at: int | None
    ended_at: int | None

    @property
    def has_ended(self) -> bool:
        """Say whether nothing will change any more."""
        return self.life_cycle in _ENDED

    def facts(self) -> dict[str, object]:
        """Return the facts for JSON."""
        return {
            "life_cycle_state": self.life_cycle,
            "result_state": self.result or None,
            "message": self.message or None,
            "page": self.page or None,
            "started_at": None if self.started_at is None else clock.text(self.started_at),
            "ended_at": None if self.ended_at is None else clock.text(self.ended_at),
        }


class Databricks:
    """A workspace's REST interface, as far as runs go.

    Args:
        host: Its address, with or without `https://`.
        token: Who asks.
        timeout_s: So long one try may take, in seconds.
        tries: So often it is asked when it is busy, has failed or is not reached.
        sleep: Waits so many seconds.
        chance: Returns a random number in [0, 1).
    """

    def __init__(
        self,
        host: str,
        token: str,
        *,
        timeout_s: float = _TIMEOUT_S,
        tries: int = _TRIES,
        sleep: Callable[[float], object] = clock.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._host = (host if "://" in host else f"https://{host}").rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._tries = tries
        self._sleep = sleep
        self._chance = chance

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Databricks | None:
        """Return the workspace that variables name, or None where they name none."""
        host, token = environ.get("DATABRICKS_HOST"), environ.get("DATABRICKS_TOKEN")
        return cls(host, token) if host and token else None

    def __repr__(self) -> str:
        return f"Databricks({urlsplit(self._host).hostname!r})"

    def run(self, run_id: str) -> PlatformRun:
        """Ask for a run.

        Raises:
            PlatformSilent: There is no usable answer; says why.
        """
        if urlsplit(self._host).scheme != "https" and not self._is_here:
            self._refuse("DATABRICKS_HOST is not https, and a token is sent over nothing else")
        answer = self._asked("/api/2.1/jobs/runs/get", {"run_id": run_id})
        # Newer workspaces say `status`, older ones `state`; many say both.
        state, status = _mapping(answer.get("state")), _mapping(answer.get("status"))
        details = _mapping(status.get("termination_details"))
        life_cycle = str(state.get("life_cycle_state") or status.get("state") or "")
        if not life_cycle:
            self._refuse("its answer says no state of the run")
        return PlatformRun(
            run_id=str(answer.get("run_id") or run_id),
            job_id=str(answer.get("job_id") or ""),
            life_cycle=life_cycle,
            result=str(state.get("result_state") or details.get("code") or ""),
            message=self._clean(str(state.get("state_message") or details.get("message") or ""))[:500],
            page=self._clean(str(answer.get("run_page_url") or "")),
            started_at=_micros(answer.get("start_time")),
            ended_at=_micros(answer.get("end_time")),
        )

    @property
    def _is_here(self) -> bool:
        return urlsplit(self._host).hostname in ("127.0.0.1", "localhost", "::1")

    def _asked(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            import httpx
        except ImportError:
            self._refuse("the package 'httpx' is missing: pip install 'onward[spark]'")
        failed = 0
        # A proxy of the environment has no business between us and our own machine, and certificates neither.
        at_large = not self._is_here
        with httpx.Client(
            timeout=self._timeout_s, follow_redirects=False, trust_env=at_large, verify=at_large
        ) as client:
            while True:
                after_s = None
                try:
                    response = client.get(
                        self._host + path, params=dict(query), headers={"authorization": f"Bearer {self._token}"}
                    )
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    problem = f"{type(error).__name__}: {error}"
                else:
                    if response.status_code == 200:
                        return self._parsed(response)
                    problem = f"status {response.status_code}{self._said(response)}"
                    if response.status_code not in (408, 429) and response.status_code < 500:
                        self._refuse(problem)
                    after_s = _seconds(response.headers.get("retry-after"))
                failed += 1
                if failed >= self._tries or (after_s or 0) > _WAIT_MAX_S:
                    self._refuse(f"{problem} (asked {failed} times)")
                self._sleep(delay_s(failed, self._chance(), longest_s=_WAIT_MAX_S) if after_s is None else after_s)

    def _parsed(self, response: Any) -> Mapping[str, Any]:
        try:
            answer = response.json() if len(response.content) <= _BODY_MAX else None
        except ValueError:
            answer = None
        if not isinstance(answer, Mapping):
            self._refuse("its answer is no JSON object; see DATABRICKS_HOST")
        return answer

    def _said(self, response: Any) -> str:
        """Return what an error's body says, in its documented form, or nothing."""
        if response.status_code in (401, 403):
            return ", the token is not accepted"  # what a server says of a token may hold a part of it
        try:
            answer = _mapping(response.json())
        except ValueError:
            return ""
        words = [str(answer[name]) for name in ("error_code", "message") if answer.get(name)]
        return f", {': '.join(words)[:300]}" if words else ""

    def _refuse(self, problem: str) -> NoReturn:
        host = self._clean(urlsplit(self._host).netloc)
        msg = f"Databricks at '{host}' says nothing of the run: {self._clean(problem)}."
        raise PlatformSilent(msg) from None

    def _clean(self, text: str) -> str:
        return without_password(" ".join(text.replace(self._token, HIDDEN).split()))


def followed(known: Mapping[str, str], workspace: Databricks | None) -> dict[str, object]:
    """Return ids of a run, with what the platform says of it where somebody may ask.

    Args:
        known: As `ids` gave them when the run began.
        workspace: Where to ask; None asks nobody.
    """
    facts: dict[str, object] = {"name": "databricks", **known}
    if workspace is None or "run_id" not in known:
        return facts
    try:
        return facts | workspace.run(known["run_id"]).facts()
    except PlatformSilent as error:
        return {**facts, "problem": str(error)}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _micros(value: object) -> int | None:
    """Return an instant that the platform gives in milliseconds; 0 is its word for none."""
    return int(value) * 1000 if isinstance(value, int) and value > 0 else None


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None  # a date: as if it had said nothing
