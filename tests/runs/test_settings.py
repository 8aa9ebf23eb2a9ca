from __future__ import annotations

import pytest

from onward.errors import SettingInvalid
from onward.runs.settings import gather, parse_assignments, redacted

DECLARED = {"words": 300, "ratio": 0.5, "deep.on": False, "name": "x"}


def settings(tmp_path, flags=(), file=None, declared=DECLARED):
    return gather("filings", declared, flags=parse_assignments(flags), config_file=file, root=str(tmp_path))


def test_flags_come_before_variables_before_the_file_before_defaults(tmp_path, monkeypatch):
    (tmp_path / "onward.toml").write_text("words = 1\nratio = 0.1\nname = 'file'\n[filings]\nname = 'own'\n")
    monkeypatch.setenv("ONWARD_WORDS", "2")
    monkeypatch.setenv("ONWARD_RATIO", "0.2")

    found = settings(tmp_path, ["words=3"])

    assert (found["words"].value, found["words"].origin) == (3, "--set")
    assert (found["ratio"].value, found["ratio"].origin) == (0.2, "ONWARD_RATIO")
    assert found["name"].value == "own"
    assert (found["deep.on"].value, found["deep.on"].origin) == (False, "default")


def test_a_double_underscore_is_a_dot_in_a_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("ONWARD_DEEP__ON", "true")

    assert settings(tmp_path)["deep.on"].value is True


def test_another_pipelines_table_is_not_read(tmp_path):
    (tmp_path / "onward.toml").write_text("[articles]\nwords = 7\n")

    assert settings(tmp_path)["words"].value == 300


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("wrods=3", "Did you mean 'words'"),
        ("words=many", "must be a whole number"),
        ("words=true", "must be a whole number"),
        ("words=2.5", "must be a whole number"),
        ("deep.on=1", "must be true or false"),
        ("words", "key=value"),
        ("=3", "key=value"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(tmp_path, flag, says):
    with pytest.raises(SettingInvalid, match=says) as caught:
        settings(tmp_path, [flag])

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["words = ", "\x00", "[filings", "words = 1\nwords = 2"])
def test_a_file_that_is_not_toml_is_refused_by_name(tmp_path, text):
    (tmp_path / "own.toml").write_text(text)

    with pytest.raises(SettingInvalid, match=r"own\.toml"):
        settings(tmp_path, file=str(tmp_path / "own.toml"))


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path):
    (tmp_path / "own.toml").write_bytes("words = 1".encode("utf-16"))

    with pytest.raises(SettingInvalid, match=r"own\.toml"):
        settings(tmp_path, file=str(tmp_path / "own.toml"))


def test_a_missing_file_and_a_folder_in_its_place_are_refused(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(SettingInvalid, match="cannot be read"):
            settings(tmp_path, file=str(path))


def test_a_pipeline_that_declares_nothing_takes_any_setting(tmp_path):
    found = settings(tmp_path, ["a.b=[1, 2]", "when=2025-01-23", "text=plain words"], declared=None)

    assert found["a.b"].value == [1, 2]
    assert found["when"].value == "2025-01-23"
    assert found["text"].value == "plain words"


def test_secrets_are_not_shown(tmp_path):
    found = settings(tmp_path, ["db.password=hunter2", "api_key=k", "words=3"], declared=None)

    assert redacted(found) == {"db.password": "***", "api_key": "***", "words": 3}
