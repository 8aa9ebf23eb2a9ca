"""The measure itself: what counts as right, as wrong, and as silently wrong; small oracles written by hand."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from onward.pipelines.filings.accuracy import main, measure, render
from onward.pipelines.filings.oracles import (
    Agreement,
    bare,
    cover_findings,
    current_report_agreements,
    hand_findings,
    length_findings,
    pieces_found,
    service_findings,
    silently_wrong,
    wrong,
)

EXAMPLES = Path(__file__).parents[3] / "examples" / "filings"
ORCL = "ORCL_8-K_2024-11-14_19b55e75bc.html"
REAC = "REAC_10-K_2015-12-31_0001575872-16-000308.html"
SANDISK = "1000180_8K_2010_0000950123-10-080629.htm"


def item(
    name: str, text: str = "", *, status: str = "extracted", confidence: float = 0.95, part: str = "I"
) -> dict[str, Any]:
    return {"item": name, "part": part, "status": status, "text": text, "confidence": confidence}


def result(*items: dict[str, Any], status: str = "PASS", form: str = "10-K", **facts: Any) -> dict[str, Any]:
    known = dict.fromkeys(("cik", "company", "sic", "period_end", "filed", "fiscal_year")) | {
        "ticker": [],
        "form": form,
    }
    return {
        "filing": known | facts,
        "items": list(items),
        "validation": {"status": status},
        "document": "the whole text",
    }


# --- covers -----------------------------------------------------------------------------------------------------------


def test_only_stated_facts_count_and_spelling_does_not():
    ours = result(cik="320193", company="McDONALD\u2019S CORP.", ticker=["A", "B"], form="10-KSB", fiscal_year=2024)
    stated = {"cik": 320193, "company": "McDonald's Corp", "TradingSymbol": ["B", "A"], "form": "10KSB"}

    found = list(cover_findings("f", ours, stated))

    assert [finding.what for finding in found] == ["company", "cik", "ticker", "form"]
    assert wrong(found) == []


@pytest.mark.parametrize(
    ("stated", "what"),
    [
        ({"cik": "0000320194"}, "cik"),
        ({"TradingSymbol": ["AAPL", "AAPL24"]}, "ticker"),
        ({"DocumentPeriodEndDate": "2024-09-27"}, "period_end"),
        ({"DocumentFiscalYearFocus": "2025"}, "fiscal_year"),
        ({"filed": "2024-11-01"}, "filed"),
    ],
)
def test_another_value_is_wrong_and_so_is_none(stated, what):
    ours = result(cik="320193", ticker=["AAPL"], period_end="2024-09-28", fiscal_year=2024)

    assert [finding.what for finding in wrong(cover_findings("f", ours, stated))] == [what]


# --- items ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "label", "is_right"),
    [
        (item("7", "in full"), {"status": "extracted"}, True),
        (item("7", status="incorporated_by_reference"), {"status": "extracted"}, False),
        (item("6", "[Reserved]", status="reserved"), {"status": "extracted"}, True),
        (item("6", "[Reserved]", status="reserved"), {"status": "absent"}, False),
        (item("7", "We  grew\nfast"), {"text_contains": ["We grew fast"]}, True),
        (item("7", "We shrank"), {"text_contains": ["We grew fast"]}, False),
        (item("7", "grew. ITEM 8"), {"text_not_contains": ["ITEM 8"]}, False),
        (item("7", "x" * 50), {"min_chars": 40, "max_chars": 60}, True),
        (item("7", "x" * 50), {"min_chars": 60}, False),
        (item("7", "x" * 50), {"max_chars": 40}, False),
    ],
)
def test_a_label_is_met_or_not(ours, label, is_right):
    (found,) = hand_findings("f", result(ours), {"items": {ours["item"]: label}})

    assert found.is_right is is_right


def test_an_item_that_exists_must_be_found_and_one_that_does_not_must_be_absent():
    ours = result(item("1", "text"), item("1A", status="absent"), item("9B", "text"))

    found = list(hand_findings("f", ours, {"expected_items": ["1", "1A"], "only_items": ["1", "1A"]}))

    assert {finding.what for finding in wrong(found)} == {"item 1A", "item 9B"}


@pytest.mark.parametrize(
    ("confidence", "status", "is_silent"),
    [(0.9, "PASS", True), (0.95, "WARN", True), (0.89, "PASS", False), (0.99, "FAIL", False)],
)
def test_wrong_is_silent_only_where_the_claim_is_sure(confidence, status, is_silent):
    ours = result(item("7", "short", confidence=confidence), status=status)

    found = hand_findings("f", ours, {"items": {"7": {"min_chars": 100}}})

    assert bool(silently_wrong(found)) is is_silent


def test_the_service_knows_the_parts_of_a_quarterly_report():
    ours = result(item("1", "a" * 90), item("1", "b" * 10, part="II"), form="10-Q")

    found = service_findings("f", ours, {"sections": {"part1item1": 900, "part2item1": 100, "part2item5": 7}})

    assert [finding.what for finding in wrong(found)] == ["item part2item5"]


def test_lengths_far_apart_are_listed():
    ours = result(item("1", "x" * 9_000), item("2", "x" * 400))

    found = length_findings("f", ours, {"items": {"1": 2_000, "2": 900}, "known_bad": ["undersized:item_1"]})

    assert [(finding.what, finding.detail) for finding in wrong(found)] == [
        ("item 1", "9000 characters, there 2000 (doubted there too)")
    ]


# --- texts ------------------------------------------------------------------------------------------------------------


def test_agreement_is_counted_in_pieces_both_ways():
    half = "abcdefghij" * 4
    other = "klmnopqrst" * 4

    assert pieces_found(half + other, half) == 0.5
    assert pieces_found(half, half + other) == 1.0
    assert pieces_found("", "x") == 1.0
    assert Agreement(file="f", item="1", is_found=True, recall=1.0, precision=0.5).score == pytest.approx(2 / 3)
    assert bare(" a\n b\u00a0c ") == "abc"


def test_an_item_that_was_not_found_scores_nothing():
    (found,) = current_report_agreements("f", result(item("5.02", status="absent"), form="8-K"), {"item_5.02": "text"})

    assert (found.is_found, found.score) == (False, 0.0)


# --- the whole --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two filings and one broken file, an archive of one current report beside them, and oracles for some."""
    raw, truth = tmp_path / "raw", tmp_path / "oracles"
    raw.mkdir()
    truth.mkdir()
    for name in (ORCL, REAC):
        shutil.copy(EXAMPLES / f"{name}.gz", raw)
    (raw / "broken.txt").write_bytes(b"")
    report = tmp_path / SANDISK
    report.write_bytes(gzip.decompress((EXAMPLES / f"{SANDISK}.gz").read_bytes()))
    with tarfile.open(tmp_path / "raw_8k.tar.xz", "w:xz") as archive:
        archive.add(report, f"8-K/{SANDISK}")
    facts = {"cik": 1341439, "company": "Oracle Corp", "form": "8-K"}
    (truth / "cover_facts.json").write_text(json.dumps({"filings": {ORCL: {"facts": facts}}}))
    return raw, truth


def hand(truth: Path, label: dict[str, Any]) -> None:
    (truth / "items_hand.json").write_text(json.dumps({"filings": {REAC: {"items": {"3": label}}}}))


def test_oracles_that_are_missing_are_not_missed(folders):
    raw, truth = folders

    figures = measure(raw, truth, workers=1)

    assert figures["filings"]["refused"] == 1
    assert sum(figures["filings"].values()) == 4
    assert (figures["cover_facts"]["stated"], figures["cover_facts"]["right"]) == (3, 3)
    assert figures["silent_wrong"] == figures["items_hand"]["stated"] == figures["service"]["stated"] == 0
    assert "refused: broken.txt: input-refused: The file is empty" in render(figures)


def test_a_sure_claim_that_is_contradicted_ends_with_1(folders, capsys):
    raw, truth = folders
    hand(truth, {"text_contains": ["a sentence that stands nowhere"]})

    code = main([str(raw), str(truth), "--json", "--workers", "1"])

    figures = json.loads(capsys.readouterr().out)
    assert code == 1
    assert [finding["file"] for finding in figures["silent"]] == [REAC]


def test_a_claim_that_is_confirmed_ends_with_0(folders, capsys):
    raw, truth = folders
    hand(truth, {"status": "extracted", "max_chars": 2_000})

    assert main([str(raw), str(truth), "--limit", "3", "--workers", "1"]) == 0
    assert "items by hand         1 of 1 (100.00%)" in capsys.readouterr().out


def test_the_current_reports_of_an_archive_are_read_out_of_it(folders):
    raw, truth = folders
    row = {
        "filename": SANDISK,
        "item_9.01": "Item 9.01 Financial Statements and Exhibits.\n(d) Exhibits",
        "item_7.01": "",
    }
    with gzip.open(truth / "items_8k.jsonl.gz", "wt", encoding="utf-8") as lines:
        lines.write(json.dumps(row) + "\n")

    reports = measure(raw, truth, workers=2)["current_reports"]

    assert (reports["items"], reports["found"], reports["recall"]) == (1, 1, 1.0)
