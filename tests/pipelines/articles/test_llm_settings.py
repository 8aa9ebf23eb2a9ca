"""Settings with which no question could be asked are refused before anything starts, and no key is ever shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from onward.errors import SettingInvalid
from onward.model.config import ConfigView
from onward.model.secret import is_secret
from onward.pipelines.articles.llm.settings import LLM_DEFAULTS, LlmSettings, check_llm_settings

GOOD = {"events.method": "llm", "events.base_url": "http://127.0.0.1:8080/v1/", "events.model": "small"}


def test_nothing_is_checked_unless_the_method_is_chosen():
    check_llm_settings({"events.method": "rules", "events.base_url": "nonsense"})
    check_llm_settings(GOOD)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("events.base_url", "", "events.base_url is not set"),
        ("events.base_url", "127.0.0.1:8080/v1", "no address of the form"),
        ("events.base_url", "file:///etc/passwd", "no address of the form"),
        ("events.base_url", "http://[::1/v1", "no address of the form"),
        ("events.base_url", "http://host:99999/v1", "no address of the form"),
        ("events.base_url", "https://host/v1?key=tops3cret", "no address of the form"),
        ("events.base_url", "https://me:tops3cret@host/v1", "name or password"),
        ("events.model", " ", "events.model is not set"),
        ("events.timeout_s", 0.0, "events.timeout_s is a number from 0.001 to 3600"),
        ("events.concurrency", 0, "from 1 to 64"),
        ("events.retries", -1, "from 0 to 100"),
        ("events.price_in", float("nan"), "events.price_in"),
        ("events.api_key_env", "sk-tops3cret", "is the name of the variable"),
        ("events.api_key_env", "tops3cret", "is the name of the variable"),
        ("events.api_key_env", "ONWARD_TEST_NO_SUCH_VARIABLE", "ONWARD_TEST_NO_SUCH_VARIABLE"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused_without_showing_a_secret(name, value, said):
    with pytest.raises(SettingInvalid, match=said) as refused:
        check_llm_settings({**GOOD, name: value})

    assert "tops3cret" not in str(refused.value)


@pytest.mark.parametrize("key", ["two\nlines-tops3cret", "with blank tops3cret", "schlüssel-tops3cret"])
def test_a_key_that_no_header_takes_is_refused_without_showing_it(key, monkeypatch):
    monkeypatch.setenv("SOME_LLM_KEY", key)

    with pytest.raises(SettingInvalid, match=r"SOME_LLM_KEY.* holds more than a key") as refused:
        check_llm_settings({**GOOD, "events.api_key_env": "SOME_LLM_KEY"})

    assert "tops3cret" not in str(refused.value)


def test_the_key_comes_from_the_variable_that_is_named_and_is_not_shown(monkeypatch):
    monkeypatch.setenv("SOME_LLM_KEY", "tops3cret\n")

    settings = LlmSettings.of({**GOOD, "events.api_key_env": "SOME_LLM_KEY"})

    assert settings.key == "tops3cret"
    assert "tops3cret" not in repr(settings)
    assert settings.host == "127.0.0.1:8080"
    assert settings.base_url == "http://127.0.0.1:8080/v1"


def test_the_name_of_the_variable_is_no_secret():
    assert not is_secret("events.api_key_env")
    assert is_secret("events.api_key")


def test_only_what_changes_the_events_counts_as_read():
    config = ConfigView({**LLM_DEFAULTS, **GOOD})

    LlmSettings.of(config)

    assert config.reads == {"events.model", "events.sentences_max"}


def test_the_page_lists_every_setting_with_its_default():
    page = (Path(__file__).parents[3] / "docs" / "howto" / "llm-events.md").read_text()
    rows = dict(re.findall(r"^\| `(events\.\w+)` \| (.*?)\|", page, re.MULTILINE))

    said = {name: default.strip() for name, default in rows.items()}

    assert said == {"events.method": "rules"} | {name: str(default) for name, default in LLM_DEFAULTS.items()}
