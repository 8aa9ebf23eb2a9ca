"""What a line must have to be an article, and what the error says when it has not."""

from __future__ import annotations

import pytest
from reader import Line, line

from onward.errors import InputRefused
from onward.model.config import ConfigView
from onward.pipelines.articles.read import TEXT_CHARS_MAX, read

SETTINGS = {"id_field": "", "text_field": "text", "segment_words": 300}


def test_a_line_gives_its_id_its_text_and_what_is_known_of_it():
    given = line("doc-7", doc_id="doc-7", text=" Two lines.\n", title="T", published_at="2025-01-05", author="A. B.")

    document = read(given)

    assert document == {
        "key": "doc-7", "doc_id": "doc-7", "text": " Two lines.\n", "title": "T", "published_at": "2025-01-05",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"id": 3, "doc_id": "b", "document_id": "a"}, "a"),
        ({"id": 3, "doc_id": "b"}, "b"),
        ({"id": 3, "doc_id": None}, 3),
        ({"id": 2.5}, 2.5),
    ],
)
def test_the_id_is_the_first_field_that_is_there_and_keeps_its_type(fields, expected):
    doc_id = read(line(text="Rain fell.", **fields))["doc_id"]

    assert (doc_id, type(doc_id)) == (expected, type(expected))


def test_the_fields_of_id_and_text_can_be_named():
    given = line(id="no", uri="u1", body="Rain fell.", text="not this")

    document = read(given, {"id_field": "uri", "text_field": "body"})

    assert (document["doc_id"], document["text"]) == ("u1", "Rain fell.")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"id": "a"', "'doc-7' is not valid JSON"),
        (b'{"id": "\xff"}', "'doc-7' is not valid UTF-8"),
        (b"[1, 2]", "'doc-7' holds a list and not an object"),
        (b'{"id": "a", "text": NaN}', "'doc-7' holds NaN, which is no JSON"),
        (b"[" * 100_000, "'doc-7' is nested too deep"),
    ],
)
def test_a_line_that_is_no_object_is_refused(data, said):
    with pytest.raises(InputRefused) as refused:
        read(Line("doc-7", data))

    assert said in str(refused.value)
    assert "a JSON object" in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "'doc-7' has no 'text'; name the field of the text with --set text_field=NAME."),
        ({"text": None}, "'doc-7' has no 'text'; name the field of the text with --set text_field=NAME."),
        ({"text": 7}, "The 'text' of 'doc-7' is a number, not a string."),
        ({"text": ["a"]}, "The 'text' of 'doc-7' is a list, not a string."),
        ({"text": {"a": 1}}, "The 'text' of 'doc-7' is an object, not a string."),
        ({"text": True}, "The 'text' of 'doc-7' is true or false, not a string."),
        ({"text": ""}, "The 'text' of 'doc-7' is empty."),
        ({"text": " \n\u2003"}, "The 'text' of 'doc-7' is empty."),
        ({"text": "ab\ud800"}, "The 'text' of 'doc-7' has half a surrogate pair at character 2, which is no text."),
    ],
)
def test_a_text_that_is_none_is_refused_with_the_reason(fields, said):
    with pytest.raises(InputRefused) as refused:
        read(line(id="doc-7", **fields))

    assert str(refused.value) == said


def test_a_text_that_is_too_long_is_refused_before_the_model_sees_it():
    longest = read(line(id="a", text="a" * TEXT_CHARS_MAX))

    with pytest.raises(InputRefused, match="has 1,000,001 characters; 1,000,000 can be analysed"):
        read(line(id="a", text="a" * (TEXT_CHARS_MAX + 1)))

    assert len(longest["text"]) == TEXT_CHARS_MAX


def test_a_line_without_the_named_id_is_refused():
    with pytest.raises(InputRefused, match="'doc-7' has no 'uri'; name the field of the id with --set id_field=NAME"):
        read(line(id="a", text="Rain fell."), {"id_field": "uri"})


def test_only_the_two_settings_that_decide_are_read():
    config = ConfigView(SETTINGS)

    read(line(id="a", text="Rain fell."), config)

    assert config.reads == {"id_field", "text_field"}
