"""`BatchConfig`: promised names and defaults, the environment, and that nothing out of bounds ever stands in it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward import BatchConfig
from onward.errors import SettingInvalid

NUMBERS = [
    "max_file_size", "chunk_processing_size", "max_retry_attempts", "memory_threshold_mb", "temporal_query_limit",
    "max_batch_size", "progress_interval",
]
VARIABLES = {
    "BATCH_MAX_FILE_SIZE": "max_file_size",
    "BATCH_MAX_BATCH_SIZE": "max_batch_size",
    "BATCH_CHUNK_SIZE": "chunk_processing_size",
    "BATCH_MEMORY_THRESHOLD_MB": "memory_threshold_mb",
    "BATCH_PROGRESS_INTERVAL": "progress_interval",
    "BATCH_MAX_RETRIES": "max_retry_attempts",
    "TEMPORAL_QUERY_LIMIT": "temporal_query_limit",
}


@pytest.mark.contract("S4-001", "S4-002", "S4-003", "S4-004", "S4-006", "X-35")
def test_it_is_a_typed_dataclass_with_the_promised_defaults() -> None:
    config = BatchConfig()

    assert is_dataclass(config)
    assert all(one.type for one in fields(config))
    assert {name: getattr(config, name) for name in NUMBERS} == {
        "max_file_size": 50 * 1024 * 1024, "chunk_processing_size": 100, "max_retry_attempts": 3,
        "memory_threshold_mb": 1024, "temporal_query_limit": 1000, "max_batch_size": 1000, "progress_interval": 10,
    }


@pytest.mark.contract("S4-005")
def test_it_takes_markdown_html_rst_and_text_unless_told_otherwise() -> None:
    assert {".md", ".html", ".rst", ".txt"} <= set(BatchConfig().supported_extensions)
    assert BatchConfig(supported_extensions=(".MD", " .rst", ".md")).supported_extensions == (".md", ".rst")


@pytest.mark.contract("S4-001", "S4-021")
def test_a_value_can_be_changed_at_any_time_and_what_is_refused_changes_nothing() -> None:
    config = BatchConfig()

    config.chunk_processing_size = 200
    with pytest.raises(SettingInvalid, match="chunk_processing_size"):
        config.chunk_processing_size = 0

    assert config.chunk_processing_size == 200


def test_there_are_no_other_fields_to_mistype() -> None:
    with pytest.raises(AttributeError):
        BatchConfig().chunk_size = 3


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "10", None, float("nan"), 10**30], ids=repr)
def test_a_number_that_is_none_is_refused_in_one_line_that_names_it(name: str, wrong: object) -> None:
    with pytest.raises(SettingInvalid, match=name) as refused:
        setattr(BatchConfig(), name, wrong)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("wrong", ["md", ".md", [], ["md"], [".md", 3], [""], [".m d"], ["../.md"], None], ids=repr)
def test_suffixes_that_are_none_are_refused(wrong: object) -> None:
    with pytest.raises(SettingInvalid, match="supported_extensions"):
        BatchConfig(supported_extensions=wrong)  # type: ignore[arg-type]


@pytest.mark.contract(
    "S4-007", "S4-008", "S4-009", "S4-010", "S4-011", "S4-012", "S4-013", "S4-014"
)
def test_every_variable_sets_its_field_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, name in VARIABLES.items():
        with monkeypatch.context() as environment:
            environment.setenv(variable, " 7 ")

            config = BatchConfig.from_environment()

            assert {one for one in NUMBERS if getattr(config, one) != getattr(BatchConfig(), one)} == {name}
            assert getattr(config, name) == 7


@pytest.mark.contract("S4-007")
def test_without_variables_and_with_empty_ones_there_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")

    assert BatchConfig.from_environment() == BatchConfig()


@pytest.mark.contract("S4-007")
@pytest.mark.parametrize("wrong", ["ten", "1e3", "1.5", "0x10", "-1", "0", "٣", "9" * 400, "10 MB"])
def test_a_variable_that_is_no_number_is_named(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_CHUNK_SIZE", wrong)

    with pytest.raises(SettingInvalid, match="BATCH_CHUNK_SIZE") as refused:
        BatchConfig.from_environment()

    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


@given(st.sampled_from(NUMBERS), st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none()))
def test_law_whatever_is_set_a_field_stays_a_whole_number_above_0(name: str, value: object) -> None:
    config = BatchConfig()

    try:
        setattr(config, name, value)
    except SettingInvalid:
        assert getattr(config, name) == getattr(BatchConfig(), name)
    else:
        assert getattr(config, name) == value

    assert type(getattr(config, name)) is int
    assert getattr(config, name) >= 1
