"""Kinds of filings that are rare, or set in their own way: what they are taken for, and how sure that is."""

from __future__ import annotations

import pytest
from paper import FILLER, TITLES, Paper, annual, cleaned, contents, html, item, status, words

from onward.errors import InputRefused
from onward.model.validation import Status
from onward.pipelines.filings.confidence import SURE
from onward.pipelines.filings.document import ItemStatus


def named(paper: Paper, form: str) -> Paper:
    return Paper(paper.data.replace(b"FORM 10-K<", f"FORM {form}<".encode()))


def items(*numbers: str) -> str:
    return "".join(
        f"<p><b>Item {number}. {TITLES[number]}</b></p><p>This is the text of {number}. {FILLER}</p>"
        for number in numbers
    )


NOTE = "<p>EXPLANATORY NOTE</p><p>This Amendment No. 1 is filed solely to provide what Part III asks for.</p>"


def test_an_amendment_of_part_3_alone_is_no_failure_and_claims_nothing_else() -> None:
    filing = cleaned(named(html(f"{NOTE}<p><b>PART III</b></p>{items('10', '11', '12', '13', '14')}"), "10-K/A"))

    assert status(filing) is Status.WARN
    assert "holds 5 items alone" in next(check.detail for check in filing.checks if check.name == "items-found")
    assert item(filing, "11").confidence >= SURE
    assert "This is the text of 11." in words(filing, "11")
    assert item(filing, "7").status is ItemStatus.ABSENT
    assert item(filing, "7").confidence < SURE


def test_an_amendment_of_exhibits_alone_is_no_failure() -> None:
    filing = cleaned(named(html(f"{NOTE}<p>EXHIBIT INDEX</p><p>101.INS Instance document</p>"), "10-K/A"))

    assert status(filing) is Status.WARN
    assert all(entry.start is None for entry in filing.items)


def test_an_amendment_that_skips_an_item_between_two_is_not_sure_of_the_first() -> None:
    filing = cleaned(named(html(f"{NOTE}<p><b>PART III</b></p>{items('10', '11', '13', '14')}"), "10-K/A"))

    assert item(filing, "11").confidence < SURE


@pytest.mark.parametrize(
    "heading", ["<p><b>{number}. {title}</b></p>", "<p><b>{number} - {title}</b></p>"], ids=["point", "dash"]
)
def test_headings_without_the_word_item_are_found_and_not_sure(heading: str) -> None:
    filing = cleaned(annual(heading, before=contents("<tr><td>{number}.</td><td>{title}</td><td>{page}</td></tr>")))

    for number in TITLES:
        assert f"This is the text of {number}." in words(filing, number)
        assert item(filing, number).confidence < SURE


def test_titles_alone_are_found_and_not_sure() -> None:
    filing = cleaned(annual("<p><b>{title}</b></p>"))

    assert "This is the text of 1A." in words(filing, "1A")
    assert "This is the text of 7." in words(filing, "7")
    assert all(entry.confidence < SURE for entry in filing.items if entry.start is not None)


def test_headings_that_are_pictures_are_not_answered_from_the_contents() -> None:
    filing = cleaned(annual("<p><img src='{number}.gif'></p>", before=contents()))

    assert status(filing) is Status.FAIL


def test_letters_set_apart_are_a_heading() -> None:
    filing = cleaned(annual("<p><b>I T E M &nbsp;{number}. {title}</b></p>"))

    assert all(f"This is the text of {number}." in words(filing, number) for number in TITLES)


def test_three_cells_are_a_heading() -> None:
    row = "<table><tr><td>ITEM</td><td>{number}.</td><td>{title}</td></tr></table>"

    filing = cleaned(annual(row, before=contents()))

    assert all(f"This is the text of {number}." in words(filing, number) for number in TITLES)


def test_lines_with_places_of_their_own_do_not_hide_the_headings() -> None:
    line = "<div style='position:absolute;top:{number}0px;left:72px'><b>Item {number}. {title}</b></div>"

    filing = cleaned(annual(line))

    assert all(f"This is the text of {number}." in words(filing, number) for number in TITLES)


def test_items_in_an_order_of_their_own_are_told_apart_and_not_sure() -> None:
    filing = cleaned(html(items("1", "1A", "1B", "2", "3", "4", "7", "7A", "5", "6", "8", "9", "9A", "9B", "10")))

    assert "text of 5." not in words(filing, "7A")
    assert "This is the text of 5." in words(filing, "5")
    assert item(filing, "5").confidence < SURE
    assert item(filing, "7A").confidence < SURE


def test_two_filings_in_one_file_are_not_sure() -> None:
    one = annual(before=contents()).data.decode()

    filing = cleaned(Paper((one.replace("</body></html>", "") + one).encode()))

    assert not any(entry.confidence >= SURE for entry in filing.items if entry.start is not None)


def test_a_second_heading_of_an_item_makes_it_and_the_one_before_unsure() -> None:
    again = f"<p><b>Item 9B. {TITLES['9B']}</b></p>"

    filing = cleaned(annual(texts={"9A": f"<p>Effective. {FILLER}</p>{again}<p>More of 9A. {FILLER}</p>"}))

    assert item(filing, "9A").confidence < SURE
    assert item(filing, "9B").confidence < SURE


def test_reports_of_asset_backed_issuers_have_the_items_of_regulation_ab() -> None:
    # The form of an automobile receivables trust's report under General Instruction J.
    body = (
        "<p><b>Item 1B. Unresolved Staff Comments</b></p><p>None.</p>"
        "<p><b>Item 9B. Other Information</b></p><p>None.</p>"
        "<p><b>Item 1112(b) of Regulation AB. Significant Obligors of Pool Assets</b></p><p>No single obligor.</p>"
        "<p><b>Item 1114(b)(2) of Regulation AB. Credit Enhancement and Other Support</b></p><p>Not applicable.</p>"
        "<p><b>Item 1117 of Regulation AB. Legal Proceedings</b></p><p>The trustee was sued.</p>"
        "<p><b>Item 1119 of Regulation AB. Affiliations and Certain Relationships</b></p><p>Wholly owned.</p>"
        "<p><b>Item 1122 of Regulation AB. Compliance with Applicable Servicing Criteria</b></p><p>Filed.</p>"
        "<p><b>Item 15. Exhibits, Financial Statement Schedules</b></p><p>31.1 Certification</p>"
    )

    filing = cleaned(html(body))

    assert words(filing, "9B").endswith("None.")
    assert "The trustee was sued." in words(filing, "1117")
    assert item(filing, "7").status is ItemStatus.ABSENT
    assert status(filing) is not Status.FAIL


@pytest.mark.parametrize("form", ["10-K405", "10-KT", "10-K405/A", "10-K/A"])
def test_variants_of_the_annual_report_have_its_items(form: str) -> None:
    filing = cleaned(named(annual(), form))

    assert filing.cover.form == form
    assert all(f"This is the text of {number}." in words(filing, number) for number in TITLES)


def test_the_small_companies_annual_report_has_its_own_items() -> None:
    body = (
        f"<p>PART II</p><p><b>Item 6. Management's Discussion and Analysis or Plan of Operation</b></p><p>{FILLER}</p>"
        f"<p><b>Item 7. Financial Statements</b></p><p>{FILLER}</p>"
        f"<p><b>Item 8A. Controls and Procedures</b></p><p>{FILLER}</p>"
        f"<p>PART III</p><p><b>Item 13. Exhibits and Reports on Form 8-K</b></p><p>{FILLER}</p>"
    )

    filing = cleaned(named(html(body), "10-KSB"))

    assert item(filing, "6", "II").title.startswith("Management")
    assert FILLER.strip() in words(filing, "8A")
    assert item(filing, "13").part == "III"


def test_the_small_companies_quarterly_report_is_refused() -> None:
    with pytest.raises(InputRefused, match="10-QSB"):
        cleaned(Paper(html(f"<p>{FILLER}</p>", form="10-Q").data.replace(b"FORM 10-Q<", b"FORM 10-QSB<")))
