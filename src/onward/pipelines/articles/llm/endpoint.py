"""An OpenAI-compatible endpoint, asked over HTTP: one question, one answer as it came, or an error that says why not.

Here is what the network and the server may do; what an answer says is `answer.py`, that it is paid for once is the
engine's `receipts`. A redirect is never followed, so no text and no key goes where nobody sent it. The key is in one
header and nowhere else: not in a message, not in what is kept.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping
from email.utils import mktime_tz, parsedate_tz
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from onward import clock
from onward.errors import LlmAccessRefused, LlmQuestionRefused, LlmUnavailable, PipelineInvalid
from onward.model.backoff import delay_s
from onward.model.secret import HIDDEN, without_password
from onward.pipelines.articles.llm.settings import LlmSettings

if TYPE_CHECKING:
    import httpx

__all__ = ["ANSWER_BYTES_MAX", "WAIT_MAX_S", "Endpoint", "Received"]

ANSWER_BYTES_MAX = 256 * 1024
"""More than this is not read: an answer about one sentence has some hundred bytes."""
WAIT_MAX_S = 60.0
"""An endpoint that wants to be left alone for longer is left alone, and the item waits outside of the worker."""

_KEPT_OF_TOO_LONG = 4096
_SAID_MAX = 200
_ACCESS = frozenset({401, 402, 403, 404, 405, 407, 410})
_BUSY = frozenset({408, 409, 425, 429})
_DISPENSABLE = ("cache_prompt", "max_tokens", "temperature")
"""What some endpoints do not know and then refuse by its name; the answer is asked for without."""
_unwanted: dict[tuple[str, str], frozenset[str]] = {}
"""Address and model → which of these were refused in this process: learnt once, not at each document."""


class Received(NamedTuple):
    """A response that may be an answer.

    Attributes:
        body: As it came; the beginning of it where it was longer than `ANSWER_BYTES_MAX`.
        question_bytes: Size of what was sent.
        answer_bytes: Size of what was read.
    """

    body: str
    question_bytes: int
    answer_bytes: int


class Endpoint:
    """The endpoint that settings name; may be asked by several threads at once.

    Args:
        settings: Address, key, time-out and tries.
        sleep: Waits so many seconds.
        chance: Returns a random number in [0, 1).
    """

    def __init__(
        self,
        settings: LlmSettings,
        *,
        sleep: Callable[[float], object] = clock.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._url = f"{settings.base_url}/chat/completions"
        self._host = settings.host
        self._asked = (settings.base_url, settings.model)
        self._sleep = sleep
        self._chance = chance
        self._made: httpx.Client | None = None
        self._making = threading.Lock()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        with self._making:
            made, self._made = self._made, None
        if made is not None:
            made.close()

    def ask(self, body: Mapping[str, Any], *, token: str) -> Received:
        """Send a question until there is an answer, or until it is clear that there will be none.

        A time-out, a lost connection and a busy or failed server are waited out: `events.retries` times, each wait
        longer than the one before or as long as `Retry-After` says.

        Args:
            body: Of the request, as for a chat completion.
            token: Names the question, the same at each try, for endpoints that charge once for one such name.

        Raises:
            LlmAccessRefused: The endpoint takes no questions from us, or is none.
            LlmQuestionRefused: It does not take this one.
            LlmUnavailable: There is no answer now.
        """
        import httpx

        failed = 0
        while True:
            sent = _sent(body, unwanted := _unwanted.get(self._asked, frozenset()))
            try:
                status, headers, content = self._post(sent, token)
            except httpx.TransportError as error:
                problem, after_s = self._clean(f"{type(error).__name__}: {error}"), None
            except httpx.InvalidURL as error:
                raise LlmAccessRefused(self._host, "its address is none", "See events.base_url.") from error
            else:
                status, said = self._meaning(status, headers, content)
                match status:
                    case 200 if content.strip():
                        return self._received(sent, content)
                    case 200:
                        problem, after_s = "its answer is empty", None
                    case _ if status in _BUSY or status >= 500:
                        problem = f"status {status}" + (f", {said}" if said else "")
                        after_s = _retry_after_s(headers)
                    case _:
                        named = frozenset(name for name in _DISPENSABLE if name in said)
                        if named - unwanted:
                            _unwanted[self._asked] = unwanted | named
                            continue
                        self._refuse(status, said, headers)
            failed += 1
            if failed > self._settings.retries:
                raise LlmUnavailable(self._host, f"{problem} (asked {failed} times)")
            if after_s is not None and after_s > WAIT_MAX_S:
                raise LlmUnavailable(self._host, f"{problem}, and it wants to be left alone for {after_s:.0f} s")
            self._sleep(self._wait_s(failed, after_s))

    def _wait_s(self, failed: int, after_s: float | None) -> float:
        if after_s is None:
            return delay_s(failed, self._chance(), first_s=1.0, longest_s=WAIT_MAX_S)
        # All workers are told the same moment, and should not come back at the same moment.
        return min(after_s + self._chance(), WAIT_MAX_S)

    def _post(self, sent: bytes, token: str) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body of one response, as much of it as may be read."""
        import httpx

        settings = self._settings
        headers = {"content-type": "application/json", "accept": "application/json", "accept-encoding": "identity"}
        headers["idempotency-key"] = token
        if settings.key:
            headers["authorization"] = f"Bearer {settings.key}"
        deadline = clock.monotonic() + settings.timeout_s
        parts: list[bytes] = []
        size = 0
        with self._client().stream("POST", self._url, content=sent, headers=headers) as response:
            for part in response.iter_raw():
                parts.append(part)
                size += len(part)
                if size > ANSWER_BYTES_MAX:
                    break
                # The client's own time-out is one for each part: a server that drips would never meet it.
                if clock.monotonic() > deadline:
                    msg = f"no whole answer within {settings.timeout_s:g} s"
                    raise httpx.ReadTimeout(msg)
            return response.status_code, response.headers, b"".join(parts)

    def _client(self) -> httpx.Client:
        try:
            import httpx
        except ImportError as error:
            msg = "Events by an LLM need the package 'httpx': pip install 'onward[llm]'."
            raise PipelineInvalid(msg) from error

        with self._making:
            if self._made is None:
                # A proxy of the environment has no business between us and our own machine.
                self._made = httpx.Client(
                    timeout=self._settings.timeout_s,
                    follow_redirects=False,
                    trust_env=not _is_loopback(self._settings.base_url),
                )
            return self._made

    def _meaning(self, status: int, headers: Mapping[str, str], content: bytes) -> tuple[int, str]:
        """Return the status of a response, 200 for every success, and what the server says of an error."""
        answer = _parsed(content)
        error = answer.get("error") if isinstance(answer, dict) else None
        if 200 <= status < 300:
            if isinstance(answer, dict) and error and not answer.get("choices"):
                # Some gateways put the status of the model's server into the body of a success.
                code = error.get("code") if isinstance(error, dict) else None
                known = code if isinstance(code, int) and 400 <= code < 600 else 400
                return known, self._said(answer, content)
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if answer is None and content.strip() and "json" not in kind:
                raise LlmAccessRefused(
                    self._host,
                    f"it answers with {self._clean(kind)[:80] or 'no type'} instead of JSON",
                    "See whether events.base_url is the address of an OpenAI-compatible endpoint, with its /v1.",
                    status=status,
                )
            return 200, ""
        return status, self._said(answer, content)

    def _refuse(self, status: int, said: str, headers: Mapping[str, str]) -> None:
        words = f": {said}" if said else ""
        if 300 <= status < 400:
            target = self._clean(urlsplit(headers.get("location", "")).netloc.rpartition("@")[2]) or "another address"
            raise LlmAccessRefused(
                self._host,
                f"it sends us on to '{target}' (status {status}), and nothing is sent where nobody named it",
                "Set events.base_url to the new address if that is right.",
                status=status,
            )
        if status in (401, 403):
            # What the server says of a key mostly holds a part of it.
            variable = self._settings.key_variable
            remedy = (
                f"See the key in the variable {variable}, which events.api_key_env names, and what it may do."
                if variable
                else "Name the variable that holds a key for it in events.api_key_env."
            )
            raise LlmAccessRefused(self._host, f"status {status}, the key is not accepted", remedy, status=status)
        if status in _ACCESS:
            remedy = f"See events.base_url and whether it has the model '{self._settings.model}' (events.model)."
            if status == 402:
                remedy = "Its account has no credit; see to it and run again."
            raise LlmAccessRefused(self._host, f"status {status}{words}", remedy, status=status)
        raise LlmQuestionRefused(self._host, status, said)

    def _received(self, sent: bytes, content: bytes) -> Received:
        kept = content if len(content) <= ANSWER_BYTES_MAX else content[:_KEPT_OF_TOO_LONG]
        return Received(self._without_key(kept.decode(errors="replace")), len(sent), len(content))

    def _said(self, answer: object, content: bytes) -> str:
        found = answer.get("error", answer.get("message", answer.get("detail"))) if isinstance(answer, dict) else None
        if isinstance(found, dict):
            found = found.get("message", found)
        text = content.decode(errors="replace") if answer is None else "" if found is None else str(found)
        return self._clean(" ".join(text.split()))[:_SAID_MAX]

    def _clean(self, text: str) -> str:
        return without_password(self._without_key(text))

    def _without_key(self, text: str) -> str:
        return text.replace(self._settings.key, HIDDEN) if self._settings.key else text


def _sent(body: Mapping[str, Any], unwanted: frozenset[str]) -> bytes:
    """Return a question as it is sent, without what the endpoint does not want."""
    sent = {name: value for name, value in body.items() if name not in unwanted}
    if "max_tokens" in unwanted and "max_tokens" in body:
        sent["max_completion_tokens"] = body["max_tokens"]
    return json.dumps(sent).encode()


def _parsed(content: bytes) -> object:
    """Return what JSON says, None where it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how long a server wants to be left alone, from seconds or a date; None where it does not say."""
    text = headers.get("retry-after", "").strip()
    if text.replace(".", "", 1).isdigit() and text.isascii():
        return min(float(text), 1e9)
    date = _instant_s(text)
    if date is None:
        return None
    # The two clocks may differ, so the server's date is held against the server's own clock, when it tells it.
    now_s = _instant_s(headers.get("date", ""))
    return max(0.0, date - (clock.now() / 1e6 if now_s is None else now_s))


def _instant_s(text: str) -> float | None:
    found = parsedate_tz(text)
    try:
        return None if found is None else float(mktime_tz(found))
    except (ValueError, OverflowError):
        return None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
