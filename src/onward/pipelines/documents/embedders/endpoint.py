"""Vectors from an OpenAI-compatible endpoint, `POST <url>/embeddings`: in batches, asked again when it may yet answer.

Texts go to the address that the settings name and nowhere else; a redirect is never followed. The key is in one header
and in no message. What was answered is kept with its version as soon as that is committed, and not asked for again.
What an answer may look like is `_vectors_of`; what the network may do is `_ask`.
"""

from __future__ import annotations

import json
import os
import random
import weakref
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from onward import clock
from onward.errors import EmbedderRefused, EmbedderUnavailable
from onward.model.backoff import delay_s
from onward.model.secret import HIDDEN, without_password

if TYPE_CHECKING:
    import httpx

__all__ = ["ANSWER_BYTES_MAX", "TRIES", "WAIT_MAX_S", "EndpointEmbedder"]

TRIES = 6
"""With half of all requests lost, one document in 64 has to wait for its next attempt."""
WAIT_MAX_S = 30.0
"""An endpoint that wants to be left alone for longer is left alone, and the item waits outside of the worker."""
ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""More than this is not read: 64 vectors of 4,096 numbers have some 6 MB."""

_BUSY = frozenset({408, 409, 425, 429})
_KEY_REFUSED = frozenset({401, 403})
_SAID_MAX = 200


class EndpointEmbedder:
    """See the module.

    Args:
        url: Up to and with `/v1`.
        model: As the endpoint calls it.
        key: Sent as a bearer token; '' for none.
        batch: How many texts a request has.
        timeout_s: How long one request may take, from the first byte sent to the last one read.
        dimensions: Asked for and insisted on; 0 takes what comes, and insists on that from then on.
        sleep: Waits so many seconds.
        chance: Returns a random number in [0, 1).
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str,
        *,
        batch: int,
        timeout_s: float,
        dimensions: int,
        sleep: Callable[[float], object] = clock.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = f"endpoint:{model}" + (f"/{dimensions}" if dimensions else "")
        self.dimensions: int | None = dimensions or None
        self._url = url.rstrip("/") + "/embeddings"
        self._host = urlsplit(url).netloc.rpartition("@")[2]
        self._model = model
        self._key = key
        self._batch = batch
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._chance = chance
        self._expected = self.dimensions
        self._client: tuple[int, httpx.Client] | None = None

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """Return a vector for each text.

        Raises:
            EmbedderUnavailable: It did not answer, or with something that is no answer.
            EmbedderRefused: It does not take the question, or its vectors have other dimensions than were asked for,
                or than they had before.
        """
        return [
            vector
            for start in range(0, len(texts), self._batch)
            for vector in self._some(texts[start : start + self._batch])
        ]

    def _some(self, texts: Sequence[str]) -> list[bytes]:
        import numpy as np

        # Half a character (a lone surrogate) is no JSON that anybody takes.
        whole = [text.encode("utf-8", "replace").decode() for text in texts]
        body: dict[str, Any] = {"model": self._model, "input": whole, "encoding_format": "float"}
        if self.dimensions:
            body["dimensions"] = self.dimensions
        vectors = []
        for numbers in self._ask(body, len(texts)):
            if self._expected is not None and len(numbers) != self._expected:
                wanted = "were asked for" if self.dimensions else "were there before"
                msg = f"its vectors have {len(numbers)} dimensions, and {self._expected} {wanted}"
                raise EmbedderRefused(self._host, msg)
            self._expected = len(numbers)
            vector = np.array(numbers, dtype=np.float64)
            vectors.append((vector / np.linalg.norm(vector)).astype("<f4").tobytes())
        return vectors

    def _ask(self, body: Mapping[str, Any], wanted: int) -> list[list[float]]:
        """Send a question until there is an answer that goes with it, or until it is clear that there will be none."""
        import httpx

        sent = json.dumps(body).encode()
        for tried in range(1, TRIES + 1):
            after_s = None
            try:
                status, headers, content = self._post(sent)
            except httpx.TransportError as error:
                problem = self._clean(f"{type(error).__name__}: {error}")
            except httpx.InvalidURL as error:
                raise EmbedderRefused(self._host, "its address is none; see 'endpoint.url'") from error
            else:
                if 200 <= status < 300:
                    numbers, problem = _vectors_of(content, wanted)
                    if not problem:
                        return numbers
                else:
                    problem = self._problem(status, content)
                    if status < 500 and status not in _BUSY:
                        raise EmbedderRefused(self._host, problem)
                    after_s = _retry_after_s(headers)
            if after_s is not None and after_s > WAIT_MAX_S:
                raise EmbedderUnavailable(self._host, f"{problem}, and it wants to be left alone for {after_s:.0f} s")
            if tried < TRIES:
                # All workers are told the same moment, and should not come back at the same moment.
                self._sleep(
                    after_s + self._chance()
                    if after_s is not None
                    else delay_s(tried, self._chance(), first_s=0.2, longest_s=10.0)
                )
        raise EmbedderUnavailable(self._host, f"{problem} (asked {TRIES} times)")

    def _post(self, sent: bytes) -> tuple[int, Mapping[str, str], bytes]:
        import httpx

        headers = {"content-type": "application/json", "accept": "application/json", "accept-encoding": "identity"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        deadline = clock.monotonic() + self._timeout_s
        parts: list[bytes] = []
        size = 0
        with self._connected().stream("POST", self._url, content=sent, headers=headers) as response:
            for part in response.iter_raw():
                parts.append(part)
                size += len(part)
                if size > ANSWER_BYTES_MAX:
                    msg = f"its answer is longer than {ANSWER_BYTES_MAX} bytes"
                    raise httpx.ReadError(msg)
                # The client's own time-out is one for each part: a server that drips would never meet it.
                if clock.monotonic() > deadline:
                    msg = f"no whole answer within {self._timeout_s:g} s"
                    raise httpx.ReadTimeout(msg)
            return response.status_code, response.headers, b"".join(parts)

    def _problem(self, status: int, content: bytes) -> str:
        if status in _KEY_REFUSED:  # what a server says of a key mostly holds a part of it
            return f"status {status}, the key is not accepted"
        said = self._clean(" ".join(content[:4096].decode(errors="replace").split()))[:_SAID_MAX]
        return f"status {status}" + (f", {said}" if said else "")

    def _connected(self) -> httpx.Client:
        import httpx

        if self._client is None or self._client[0] != os.getpid():
            # A proxy of the environment has no business between us and our own machine.
            client = httpx.Client(
                timeout=self._timeout_s, follow_redirects=False, trust_env=not _is_loopback(self._url)
            )
            weakref.finalize(self, client.close)
            self._client = os.getpid(), client
        return self._client[1]

    def _clean(self, text: str) -> str:
        return without_password(text.replace(self._key, HIDDEN) if self._key else text)


def _vectors_of(content: bytes, wanted: int) -> tuple[list[list[float]], str]:
    """Return the vectors of an answer in the order of the texts, and what is wrong with it; '' when nothing is."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return [], "its answer is no JSON"
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or len(data) != wanted:
        return [], f"its answer does not have {wanted} vectors"
    found: dict[int, list[float]] = {}
    for at, one in enumerate(data):
        numbers: Any = one.get("embedding") if isinstance(one, dict) else None
        if not _is_vector(numbers):
            return [], "a vector of its answer is no list of numbers with a length"
        index = one.get("index", at)
        if type(index) is not int or not 0 <= index < wanted or index in found:
            return [], "its vectors do not go with the texts"
        found[index] = numbers
    if len({len(numbers) for numbers in found.values()}) > 1:
        return [], "its vectors have not all the same number of dimensions"
    return [found[at] for at in range(wanted)], ""


def _is_vector(numbers: object) -> bool:
    """Say whether this is a vector that can be brought to unit length: numbers that are some, and not all zero."""
    if not isinstance(numbers, list):
        return False
    # The square of more than 1e150 is no number, and no model has such a value.
    if not all(type(n) in (int, float) and -1e150 < n < 1e150 for n in numbers):
        return False
    return any(abs(n) > 1e-150 for n in numbers)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds a server wants to be left alone; None where it does not say it in seconds."""
    text = headers.get("retry-after", "").strip()
    return min(float(text), 1e9) if text.isascii() and text.replace(".", "", 1).isdigit() else None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
