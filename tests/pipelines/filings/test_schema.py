"""The written value is what `filing.schema.json` says, for every example and for what is odd."""

from __future__ import annotations

import copy
import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from onward.pipelines.filings.accuracy import StoredFiling, filing_of

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "filings").glob("*.gz"))
SCHEMA = json.loads(files("onward.pipelines.filings").joinpath("filing.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


@cache
def result_of(path: Path) -> dict[str, Any]:
    return filing_of(StoredFiling(path.name, path.read_bytes()))


def small() -> dict[str, Any]:
    return copy.deepcopy(result_of(next(path for path in EXAMPLES if path.name.startswith("REAC_10-K"))))


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name[:24])
def test_every_example_gives_what_the_schema_says(path):
    result = result_of(path)

    VALIDATOR.validate(result)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name[:24])
def test_every_offset_of_an_example_indexes_its_document(path):
    result = result_of(path)

    for item in result["items"]:
        if item["start"] is not None:
            assert result["document"][item["start"] : item["end"]] == item["text"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name[:24])
def test_the_segments_of_an_item_are_its_text_but_for_white_space(path):
    """What a reader of the written value can check without offsets: segments in order, joined, are their items."""
    result = result_of(path)
    texts: dict[tuple[str | None, str], list[str]] = {}
    for piece in result["segments"]:
        part = piece["id"].split("-")[0] if piece["id"].startswith("I") else None
        texts.setdefault((part, piece["item"]), []).append(piece["text"])

    seen = set()
    for item in result["items"]:
        if item["start"] is None or (item["start"], item["end"]) in seen:
            continue
        seen.add((item["start"], item["end"]))
        joined = "".join(texts[item["part"], item["item"]])
        assert "".join(joined.split()) == "".join(item["text"].split())


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("schema",), "onward.filing/2"),
        (("source", "sha256"), "md5:0"),
        (("filing", "cik"), "0000320193"),
        (("filing", "ticker"), None),
        (("filing", "form"), "S-1"),
        (("filing", "period_end"), "March 2003"),
        (("filing", "fiscal_year"), "2003"),
        (("items", 0, "status"), "lost"),
        (("items", 0, "confidence"), 1.5),
        (("items", 0, "part"), "V"),
        (("segments", 0, "words"), 0),
        (("validation", "status"), "OK"),
        (("more",), 1),
    ],
)
def test_what_is_not_as_agreed_does_not_pass(where, value):
    result = small()
    inside: Any = result
    for step in where[:-1]:
        inside = inside[step]
    inside[where[-1]] = value

    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(result)


@pytest.mark.parametrize("field", ["schema", "source", "filing", "items", "segments", "validation"])
def test_no_field_may_be_missing(field):
    result = small()
    del result[field]

    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(result)


def test_an_absent_item_with_text_does_not_pass():
    result = small()
    absent = next(item for item in result["items"] if item["status"] == "absent")
    absent["text"] = "words"

    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(result)
