"""What may be set about the LLM that finds events: the names, their defaults and their bounds.

The key is no setting: `events.api_key_env` names the variable of the environment that holds it. Asking is not here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from onward.errors import SettingInvalid
from onward.model.config import ConfigView

__all__ = ["LLM_DEFAULTS", "LlmSettings", "check_llm_settings", "key_problem"]

LLM_DEFAULTS: Mapping[str, object] = {
    "events.base_url": "",  # of an OpenAI-compatible endpoint, with its /v1
    "events.model": "",  # the model's name, as the endpoint knows it
    "events.api_key_env": "",  # the variable that holds the key; "" sends none
    "events.timeout_s": 60.0,  # for one answer
    "events.retries": 4,  # further tries of one question while the endpoint is busy or away
    "events.concurrency": 2,  # questions at once in one worker
    "events.price_in": 0.0,  # of a million tokens of questions, in your currency
    "events.price_out": 0.0,  # of a million tokens of answers
    "events.max_cost": 0.0,  # the job pauses when its answers have cost this much; 0: no cap
    "events.sentences_max": 0,  # sentences of one document that are asked about, the first ones; 0: all
    "events.answer_tokens_max": 2048,  # tokens of one answer
    "events.ask_again": 0,  # how many more answers may be paid for where a kept one is not valid
}
"""Every setting of this method with its default, for the settings of the pipeline."""

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "events.timeout_s": (0.001, 3600),
    "events.retries": (0, 100),
    "events.concurrency": (1, 64),
    "events.price_in": (0, 1e6),
    "events.price_out": (0, 1e6),
    "events.max_cost": (0, 1e9),
    "events.sentences_max": (0, 1_000_000),
    "events.answer_tokens_max": (16, 100_000),
    "events.ask_again": (0, 100),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmSettings:
    """The settings of one document.

    Only the model's name and the count of sentences say what comes of a document. The rest says how, so changing it
    makes no output stale; also the address: a model is known by its name, wherever it runs.

    Attributes:
        base_url: Without a slash at its end.
        model: As the endpoint knows it.
        key: "" sends none; never shown.
        key_variable: Where the key came from; "" for nowhere.
        timeout_s: Seconds for one answer.
        retries: Further tries of one question.
        concurrency: Questions at once.
        price_in: Of a million tokens of questions.
        price_out: Of a million tokens of answers.
        sentences_max: The first so many sentences are asked about; 0 for all.
        answer_tokens_max: Tokens of one answer.
        ask_again: How many more answers may be paid for where a kept one is not valid.
    """

    base_url: str
    model: str
    key: str = field(default="", repr=False)
    key_variable: str = ""
    timeout_s: float = 60.0
    retries: int = 4
    concurrency: int = 2
    price_in: float = 0.0
    price_out: float = 0.0
    sentences_max: int = 0
    answer_tokens_max: int = 2048
    ask_again: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any] | None) -> LlmSettings:
        """Return the settings that a step sees.

        Raises:
            SettingInvalid: No endpoint or no model is named, or a number is out of bounds.
        """
        config = {} if config is None else config  # asking whether it is empty would read all of it
        counted = {name: config.get(name, LLM_DEFAULTS[name]) for name in _COUNTED}
        values = {name: _aside(config, name) for name in LLM_DEFAULTS} | counted
        _check(values)
        variable = str(values["events.api_key_env"])
        return cls(
            base_url=str(values["events.base_url"]).rstrip("/"),
            model=str(values["events.model"]),
            key=os.environ.get(variable, "").strip() if variable else "",
            key_variable=variable,
            timeout_s=_number(values["events.timeout_s"]),
            retries=int(_number(values["events.retries"])),
            concurrency=int(_number(values["events.concurrency"])),
            price_in=_number(values["events.price_in"]),
            price_out=_number(values["events.price_out"]),
            sentences_max=int(_number(values["events.sentences_max"])),
            answer_tokens_max=int(_number(values["events.answer_tokens_max"])),
            ask_again=int(_number(values["events.ask_again"])),
        )

    @property
    def host(self) -> str:
        """Host and port of the endpoint, as messages name it."""
        return urlsplit(self.base_url).netloc


_COUNTED = ("events.model", "events.sentences_max")


def check_llm_settings(settings: Mapping[str, object]) -> None:
    """Refuse settings with which no question could be asked, before anything starts.

    Args:
        settings: All settings of the pipeline, flat; nothing is checked unless `events.method` is "llm".

    Raises:
        SettingInvalid: No endpoint or no model is named, a number is out of bounds, or the variable with the key is
            not set.
    """
    if settings.get("events.method") == "llm":
        values = {name: settings.get(name, default) for name, default in LLM_DEFAULTS.items()}
        _check(values)
        problem = key_problem(str(values["events.api_key_env"]))
        if problem:
            msg = f"{problem}: set it to the key, or events.api_key_env to '' for an endpoint that takes none."
            raise SettingInvalid(msg)


def key_problem(variable: str) -> str:
    """Return why the variable that should hold the key holds none; "" when all is well, or no key is asked for."""
    key = os.environ.get(variable, "").strip() if variable else ""
    if variable and not key:
        return f"The variable {variable}, which events.api_key_env names, is not set"
    if not (key.isascii() and key.isprintable()) or " " in key:
        # No header takes it, and the error that says so would show it.
        return f"The variable {variable}, which events.api_key_env names, holds more than a key"
    return ""


def _check(values: Mapping[str, object]) -> None:
    _check_url(str(values["events.base_url"]))
    if not str(values["events.model"]).strip():
        msg = "events.model is not set; name the model as its endpoint knows it (GET BASE_URL/models lists them)."
        raise SettingInvalid(msg)
    for name, (least, most) in _BOUNDS.items():
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            msg = f"{name} is a number from {least:g} to {most:g}, not {value!r}."
            raise SettingInvalid(msg)
    _check_variable(str(values["events.api_key_env"]))


def _check_url(url: str) -> None:
    if not url:
        msg = (
            "events.base_url is not set; give the address of an OpenAI-compatible endpoint, e.g. "
            "http://127.0.0.1:8080/v1."
        )
        raise SettingInvalid(msg)
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    # What is wrong with it may be a key in it: the address itself is not shown.
    if not is_good or parts.query or parts.fragment:
        msg = "events.base_url is no address of the form http://host:port/v1 or https://host/v1."
        raise SettingInvalid(msg)
    if parts.username is not None or parts.password is not None:
        msg = "events.base_url holds a name or password; put the key into a variable and name it in events.api_key_env."
        raise SettingInvalid(msg)


def _check_variable(variable: str) -> None:
    if variable and not _VARIABLE.fullmatch(variable):
        # It is not shown: it may be the key itself.
        msg = (
            "events.api_key_env is the name of the variable that holds the key (capital letters, digits and '_'), e.g. "
            "LLM_API_KEY; the key itself is no setting."
        )
        raise SettingInvalid(msg)


def _aside(config: Mapping[str, Any], name: str) -> object:
    """Return a setting in such a way that it does not count as one that the result depends on."""
    found = config.aside(name) if isinstance(config, ConfigView) else config.get(name)
    return LLM_DEFAULTS[name] if found is None else found


def _number(value: object) -> float:
    assert isinstance(value, int | float), "checked before"
    return value
