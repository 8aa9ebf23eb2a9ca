"""What the checks say: FAIL for what nobody should use, WARN for what is not sure."""

from __future__ import annotations

import pytest
from paper import FILLER, Paper, annual, cleaned, contents, html, item, status

from onward.model.validation import Status
from onward.pipelines.filings.confidence import SURE
from onward.pipelines.filings.document import CleanedFiling


def answer(filing: CleanedFiling, name: str) -> Status:
    return next(check.status for check in filing.checks if check.name == name)


def test_a_complete_filing_passes() -> None:
    assert status(cleaned(annual(before=contents()))) is Status.PASS


def test_a_filing_without_any_item_fails() -> None:
    filing = cleaned(html(f"<p>{FILLER}</p>"))

    assert answer(filing, "items-found") is Status.FAIL


def test_a_filing_with_two_of_twenty_items_fails() -> None:
    filing = cleaned(html(f"<p>Item 1. Business</p><p>{FILLER}</p><p>Item 2. Properties</p><p>{FILLER}</p>"))

    assert answer(filing, "items-found") is Status.FAIL


def test_a_quarterly_report_that_calls_itself_annual_fails() -> None:
    markup = (
        f"<p><b>Item 1. Financial Statements</b></p><p>{FILLER}</p>"
        f"<p><b>Item 2. Management's Discussion and Analysis</b></p><p>{FILLER}</p>"
        f"<p><b>Item 3. Quantitative and Qualitative Disclosures About Market Risk</b></p><p>{FILLER}</p>"
        f"<p><b>Item 4. Controls and Procedures</b></p><p>{FILLER}</p>"
        f"<p><b>Item 5. Other Information</b></p><p>{FILLER}</p><p><b>Item 6. Exhibits</b></p><p>{FILLER}</p>"
    )

    filing = cleaned(html(markup))

    assert status(filing) is Status.FAIL


def test_an_item_out_of_its_band_is_not_sure_and_warns() -> None:
    filing = cleaned(annual(texts={"1B": f"<p>{FILLER * 5}</p>"}))

    assert item(filing, "1B").confidence < SURE
    assert answer(filing, "items-sure") is Status.WARN


def test_an_omission_that_the_contents_confirm_does_not_warn() -> None:
    listed = contents().replace("<tr><td>Item 6.</td><td>Selected Financial Data</td><td>24</td></tr>", "")

    filing = cleaned(annual(before=listed, without=frozenset({"6"}), texts={"6": ""}))

    assert item(filing, "6").start is None
    assert answer(filing, "items-found") is Status.PASS


@pytest.mark.parametrize(
    "body",
    [
        "<p>Item 1. Business</p>" * 3_000,
        "<p>Item 1. Business</p><p>Item 1A. Risk Factors</p>" * 1_500,
        "<p>PART I</p>" * 10_000,
        "<table><tr>" + "<td>a</td>" * 50_000,
        "<p>Items 1" + " and 1" * 50_000,
        "<a href='#x'>" * 20_000,
        "<table><tr><td>" * 5_000,
        "<!--" * 20_000,
        "<" * 200_000,
    ],
    ids=["one heading", "two headings", "parts", "cells", "numbers", "links", "tables", "comments", "brackets"],
)
def test_a_hostile_document_ends_with_a_verdict(body: str) -> None:
    paper = html(body)

    filing = cleaned(Paper(paper.data))

    assert status(filing) is Status.FAIL
