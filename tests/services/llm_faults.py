"""An LLM endpoint that misbehaves on command: a real HTTP server on loopback, with every fault that a network has.

Its good answers take the first of everything that the question's schema offers, so it is no model: what a real one
does is asked of `services/llm.py`, also through this server (`forward`). A script says what the next requests meet.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
PATIENCE_S = 20.0


class Request(NamedTuple):
    """What came in."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


Behaviour = Callable[["Handler", Request], None]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the next behaviour of the script."""

    protocol_version = "HTTP/1.1"
    server: FaultyEndpoint

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["content-length"]))
        request = Request(self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(sent))
        self.server.next_for(request)(self, request)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        """Send one whole response; `_` in the name of a header is `-`."""
        self.send_response(status)
        for name, value in {"content_type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class FaultyEndpoint(ThreadingHTTPServer):
    """The server.

    Attributes:
        url: Base address, with its /v1.
        requests: Everything that was asked, in order of arrival.
        most_at_once: The most requests that were being answered at one time.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.requests: list[Request] = []
        self.always: Behaviour = good
        self.most_at_once = 0
        self.over = threading.Event()
        self._at_once = 0
        self._script: deque[Behaviour] = deque()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def then(self, *behaviours: Behaviour) -> None:
        """Add to the script; after its end everything meets `always`."""
        self._script.extend(behaviours)

    def next_for(self, request: Request) -> Behaviour:
        with self._lock:
            self.requests.append(request)
            behaviour = self._script.popleft() if self._script else self.always

        def counted(handler: Handler, request: Request) -> None:
            with self._lock:
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
            try:
                behaviour(handler, request)
            finally:
                with self._lock:
                    self._at_once -= 1

        return counted

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are what this server is for."""

    def close(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()
        self._thread.join()


def chosen(request: Request, **instead: object) -> dict[str, object]:
    """Return that the first word tells of a happening, with the first value offered for each role not given."""
    schema = request.body["response_format"]["json_schema"]["schema"]
    event = {role: values["enum"][0] for role, values in schema["$defs"]["event"]["properties"].items()}
    return {label: event | instead if at == 0 else None for at, label in enumerate(schema["properties"])}


def completion(content: str | None, *, finish: str = "stop", usage: object = USAGE, **more: object) -> bytes:
    """Return the body of a chat completion."""
    message = {"role": "assistant", "content": content, **more}
    answer: dict[str, object] = {"choices": [{"index": 0, "finish_reason": finish, "message": message}]}
    if usage is not None:
        answer["usage"] = usage
    return json.dumps(answer).encode()


def good(handler: Handler, request: Request) -> None:
    handler.reply(200, completion(json.dumps(chosen(request))))


def saying(content: str | None, **more: Any) -> Behaviour:
    """Answer with this text."""
    return lambda handler, _: handler.reply(200, completion(content, **more))


def naming(**values: object) -> Behaviour:
    """Answer well, but for these values."""
    return lambda handler, request: handler.reply(200, completion(json.dumps(chosen(request, **values))))


def status(code: int, body: bytes = b"{}", **headers: str) -> Behaviour:
    """Answer with a status."""
    return lambda handler, _: handler.reply(code, body, **headers)


def error(code: int, message: str, **headers: str) -> Behaviour:
    """Answer with an error as such endpoints spell it."""
    return status(code, json.dumps({"error": {"message": message}}).encode(), **headers)


def reset(handler: Handler, _: Request) -> None:
    """Reset the connection instead of answering."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def torn(handler: Handler, request: Request) -> None:
    """Close the connection in the middle of the body."""
    body = completion(json.dumps(chosen(request)))
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def silent(handler: Handler, _: Request) -> None:
    """Answer nothing until the server closes."""
    handler.server.over.wait(PATIENCE_S)
    handler.close_connection = True


def dripping(handler: Handler, _: Request) -> None:
    """Answer one byte at a time, each soon enough for whoever waits for the next one only."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "100000")
    handler.end_headers()
    while not handler.server.over.wait(0.02):
        handler.wfile.write(b" ")


def endless(handler: Handler, _: Request) -> None:
    """Answer with more than anybody should read, for as long as it is read."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("connection", "close")
    handler.end_headers()
    handler.wfile.write(b'{"choices":"')
    while not handler.server.over.is_set():
        handler.wfile.write(b"x" * 65536)


def meeting(count: int) -> Behaviour:
    """Answer well, but only when so many requests have come: whoever asks one after the other waits in vain."""
    together = threading.Barrier(count)

    def answer(handler: Handler, request: Request) -> None:
        together.wait(PATIENCE_S)
        good(handler, request)

    return answer


def forward(url: str) -> Behaviour:
    """Let another endpoint answer."""

    def answer(handler: Handler, request: Request) -> None:
        passed = urllib.request.Request(
            url + request.path.removeprefix("/v1"),
            json.dumps(request.body).encode(),
            {"content-type": "application/json"},
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(passed) as response:
                handler.reply(response.status, response.read())
        except urllib.error.HTTPError as refused:
            handler.reply(refused.code, refused.read())

    return answer
