"""From blocks to items: what is a heading, where an item ends, what it amounts to, and how sure that is."""

from __future__ import annotations

import pytest
from paper import FILLER, TITLES, annual, cleaned, contents, html, item, text, words

from onward.pipelines.filings.answers import answer_of
from onward.pipelines.filings.confidence import SURE
from onward.pipelines.filings.document import ItemStatus

HEADINGS = {
    "bold": "<p><b>Item {number}. {title}</b></p>",
    "plain": "<p>Item {number}. {title}</p>",
    "capitals": "<p>ITEM {number} - {title}</p>",
    "no blank": "<p><b>Item {number}.{title}</b></p>",
    "cells": "<table><tr><td>Item {number}.</td><td>{title}</td></tr></table>",
    "split in a cell": "<table><tr><td>ITEM<br>{number}.</td><td>{title}</td></tr></table>",
    "two paragraphs": "<p><b>Item {number}.</b></p><p><b>{title}</b></p>",
    "small capitals": "<p><b>I<small>TEM</small> {number}. {title}</b></p>",
    "a number word": "<p><b>Item No. {number} {title}</b></p>",
    "hard blanks": "<p><b>Item&nbsp;{number}.&nbsp;&nbsp;&nbsp;{title}</b></p>",
    "dash": "<p><b>ITEM {number} &#151; {title}</b></p>",
    "colon": "<p><u>Item {number}: {title}</u></p>",
}


@pytest.mark.parametrize("heading", HEADINGS.values(), ids=HEADINGS)
def test_every_way_to_set_a_heading_is_read(heading: str) -> None:
    filing = cleaned(annual(heading, before=contents()))

    for number in TITLES:
        assert f"This is the text of {number}." in words(filing, number)
        assert words(filing, number).count("This is the text of") == 1
        assert item(filing, number).confidence >= SURE


def test_a_contents_table_at_the_end_is_not_taken_for_headings() -> None:
    filing = cleaned(annual(before=contents(), behind=contents()))

    assert all(f"This is the text of {number}." in words(filing, number) for number in TITLES)


def test_a_contents_table_without_pages_is_not_taken_for_headings() -> None:
    filing = cleaned(annual(before=contents("<tr><td>Item {number}. {title}</td></tr>")))

    assert all(f"This is the text of {number}." in words(filing, number) for number in TITLES)


def test_a_sentence_that_mentions_an_item_does_not_begin_it() -> None:
    mention = "<p>Item 1A. Risk Factors in this report describes what may go wrong.</p>"

    filing = cleaned(annual(texts={"7": f"<p>{FILLER}</p>{mention}<p>{FILLER}</p>"}))

    assert "This is the text of 1A." in words(filing, "1A")
    assert mention[3:30] in words(filing, "7")


def test_a_reference_set_as_a_heading_does_not_end_the_item_it_stands_in() -> None:
    reference = "<p><b>Item 7. Management's Discussion and Analysis of Financial Condition</b></p><p>See there.</p>"

    filing = cleaned(annual(texts={"1": f"<p>{FILLER}</p>{reference}<p>The end of the first item. {FILLER}</p>"}))

    assert "The end of the first item." in words(filing, "1")
    assert "This is the text of 7." in words(filing, "7")


def test_running_headers_that_repeat_the_heading_do_not_split_the_item_and_are_not_its_text() -> None:
    # As in the annual reports of a card network: each page opens with the item's title in capitals.
    pages = "".join(
        f"<p>{FILLER} Page {n}.</p><p align=center>{n}</p><hr style='page-break-after:always'>"
        "<p><b>ITEM 1A. RISK FACTORS</b></p>"
        for n in range(10, 16)
    )

    filing = cleaned(annual(before=contents(), texts={"1A": f"{pages}<p>Last risk. {FILLER}</p>"}))

    assert "Page 10." in words(filing, "1A")
    assert "Last risk." in words(filing, "1A")
    assert words(filing, "1A").lower().count("item 1a. risk factors") == 1


def test_items_under_one_heading_share_one_span() -> None:
    # Norfolk Southern, 10-K for 2008.
    heading = "<p><b>Item 1. Business and Item 2. Properties</b></p>"

    filing = cleaned(
        annual(before=heading + f"<p>Railroads. {FILLER}</p>", without=frozenset({"1", "2"}), texts={"1": "", "2": ""})
    )

    assert (item(filing, "1").start, item(filing, "1").end) == (item(filing, "2").start, item(filing, "2").end)
    assert "Railroads." in words(filing, "2")
    assert "This is the text of 1A." in words(filing, "1A")


@pytest.mark.parametrize(
    "numbers", ["Items 1 and 2", "Items 1. and 2.", "ITEMS 1 & 2", "Item 1 and Item 2", "Item 1/2"]
)
def test_combined_numbers_are_read(numbers: str) -> None:
    filing = cleaned(
        html(
            f"<p><b>{numbers}. Business and Properties</b></p><p>{FILLER}</p>"
            "<p><b>Item 3. Legal Proceedings</b></p><p>None.</p>"
        )
    )

    assert words(filing, "1") == words(filing, "2") != ""


def test_what_introduces_a_part_is_not_the_text_of_the_item_before_it() -> None:
    # NVIDIA, 10-K for fiscal 2024: the sentence made "Not applicable" look like a reference to the proxy statement.
    intro = (
        "<p>Certain information required by Part III is incorporated herein by reference to our Proxy Statement.</p>"
    )
    markup = annual(texts={"9B": "<p>Not Applicable.</p>"}).data.replace(
        b"<b>PART III</b></p>", b"<b>PART III</b></p>" + intro.encode()
    )

    filing = cleaned(html(markup.decode()))

    assert item(filing, "9B").status is ItemStatus.EXTRACTED
    assert words(filing, "9B").endswith("Not Applicable.")


def test_a_part_that_is_incorporated_as_a_whole_answers_its_items() -> None:
    # Dell, 10-K for fiscal 2006: Part III has no headings at all.
    part = frozenset({"10", "11", "12", "13", "14"})
    answer = (
        "<p>The information called for by Part III of Form 10-K (Item 10 - Directors and Executive Officers"
        " and Items 11 to 14) is incorporated by reference from the definitive proxy statement.</p>"
    )

    filing = cleaned(annual(before=contents(), without=part, texts={**dict.fromkeys(part, ""), "10": answer}))

    assert {item(filing, number).status for number in part} == {ItemStatus.INCORPORATED}
    assert words(filing, "9B").endswith(FILLER.strip())


def test_headings_with_an_asterisk_are_answered_by_the_note() -> None:
    # Boeing, 10-K for 2003.
    note = (
        "<p>* Certain information required by Items 11 and 13 is incorporated by reference to the proxy statement.</p>"
    )
    starred = annual(texts={"11": "", "13": "", "14": note}).data.decode()
    for title in ("Executive Compensation", "and Director Independence"):
        starred = starred.replace(f"{title}</b>", f"{title}*</b>")

    filing = cleaned(html(starred))

    assert item(filing, "11").status is ItemStatus.INCORPORATED
    assert item(filing, "13").status is ItemStatus.INCORPORATED


def test_the_officers_section_is_not_part_of_item_4() -> None:
    # Wal-Mart, 10-K for fiscal 2010.
    section = "<p>RESERVED</p><p><b>EXECUTIVE OFFICERS OF THE REGISTRANT</b></p><p>Each is elected by the Board.</p>"

    filing = cleaned(annual(texts={"4": section}))

    assert item(filing, "4").status is ItemStatus.RESERVED
    assert "EXECUTIVE OFFICERS" not in words(filing, "4")


def test_the_officers_section_inside_item_1_does_not_cut_it() -> None:
    officers = "<p><b>EXECUTIVE OFFICERS OF THE REGISTRANT</b></p><p>Names.</p>"
    section = f"<p>{FILLER}</p>{officers}<p><b>EMPLOYEES</b></p><p>None left.</p>"

    filing = cleaned(annual(texts={"1": section}))

    assert "None left." in words(filing, "1")


def test_a_section_of_officers_that_the_contents_list_apart_is_set_behind_item_1() -> None:
    # Microsoft, 10-K for fiscal 2013: it stands between "Customers" and "Employees".
    officers = "<p><a name='officers'></a><u>EXECUTIVE OFFICERS</u></p><p>Ms. Doe was named president.</p>"
    section = f"<p><u>CUSTOMERS</u></p><p>{FILLER}</p>{officers}<p><u>EMPLOYEES</u></p><p>None left.</p>"
    row = "<tr><td>Item 1A.</td>"
    listed = contents().replace(row, f"<tr><td><a href='#officers'>Executive Officers</a></td><td>4</td></tr>{row}")

    filing = cleaned(annual(before=listed, texts={"1": section}))

    assert "EXECUTIVE OFFICERS" not in words(filing, "1")
    assert words(filing, "1").endswith("None left.")
    assert filing.text.index("Ms. Doe") < item(filing, "1A").start
    assert item(filing, "1").confidence < SURE


def test_before_2005_risk_factors_are_a_section_of_item_1() -> None:
    others = "ITEM 2. PROPERTIES\n\nNone.\n\nITEM 3. LEGAL PROCEEDINGS\n\nNone.\n"
    body = f"ITEM 1. BUSINESS\n\n{FILLER}\n\nRISK FACTORS\n\nWe may fail.\n\n{others}"

    filing = cleaned(text(body))

    assert "We may fail." in words(filing, "1")
    assert item(filing, "1A").status is ItemStatus.ABSENT


def test_what_follows_the_signatures_belongs_to_no_item() -> None:
    filing = cleaned(annual())

    assert "SIGNATURES" not in words(filing, "15")
    assert "duly caused" not in words(filing, "15")


def test_an_item_that_swallowed_the_next_one_is_not_sure() -> None:
    with_contents = cleaned(annual(before=contents(), without=frozenset({"8"})))
    without_contents = cleaned(annual(without=frozenset({"8"})))

    assert item(with_contents, "7A").confidence < SURE
    assert item(without_contents, "7A").confidence < SURE


def test_the_two_items_1_of_a_quarterly_report_are_told_apart() -> None:
    markup = (
        "<p>PART I - FINANCIAL INFORMATION</p><p><b>Item 1. Financial Statements</b></p><p>Balance sheets.</p>"
        f"<p><b>Item 2. Management's Discussion and Analysis</b></p><p>{FILLER}</p>"
        "<p><b>Item 4. Controls and Procedures</b></p><p>They are effective.</p>"
        "<p>PART II - OTHER INFORMATION</p><p><b>Item 1. Legal Proceedings</b></p><p>We were sued.</p>"
        "<p><b>Item 6. Exhibits</b></p><p>31.1</p>"
    )

    filing = cleaned(html(markup, form="10-Q"))

    assert "Balance sheets." in words(filing, "1", "I")
    assert "We were sued." in words(filing, "1", "II")


def test_an_8_k_lists_only_what_it_reports_and_passes_over_its_contents() -> None:
    # SanDisk, 8-K of July 2011: a contents table of one line stands before the report.
    markup = (
        "<p>TABLE OF CONTENTS</p>"
        "<table><tr><td>Item 5.02</td><td>Departure of Directors or Certain Officers</td></tr></table><p>SIGNATURE</p>"
        "<p><b>Item 5.02 Departure of Directors or Certain Officers.</b></p><p>We appointed Ms. Doe.</p>"
    )

    filing = cleaned(html(markup, form="8-K"))

    assert [entry.item for entry in filing.items] == ["5.02"]
    assert "We appointed Ms. Doe." in words(filing, "5.02")


def test_the_old_numbers_of_an_8_k_are_read() -> None:
    filing = cleaned(html("<p>Item 5. Other Events</p><p>We merged.</p><p>Item 7. Exhibits</p><p>99.1</p>", form="8-K"))

    assert [entry.item for entry in filing.items] == ["5", "7"]


def test_a_cross_reference_index_gives_coarse_spans_that_are_not_sure() -> None:
    # The form of General Electric's report for 2023: no headings, an index at the end.
    titles = {1: "OUR BUSINESS", 2: "RISK FACTORS", 3: "PROPERTIES AND LAWSUITS", 4: "DISCUSSION", 5: "STATEMENTS"}
    pages = "".join(
        f"<p><b>{titles[n]}</b></p><p>On page {n}. {FILLER}</p><p>{n}</p><hr style='page-break-after:always'>"
        for n in titles
    )
    rows = {"1": "1", "1A": "2", "1B": "Not applicable", "2": "3", "3": "3", "4": "Not applicable", "7": "4", "8": "5"}
    index = "".join(f"<tr><td>Item {n}.</td><td>{TITLES[n]}</td><td>{where}</td></tr>" for n, where in rows.items())

    filing = cleaned(html(f"{pages}<table>{index}</table>"))

    assert "On page 2." in words(filing, "1A")
    assert "On page 5." in words(filing, "8")
    assert not any(entry.confidence >= SURE for entry in filing.items if entry.item in rows)


def test_an_item_of_a_later_year_is_absent_and_one_of_its_year_omitted() -> None:
    filing = cleaned(annual(without=frozenset({"9B"}), texts={"9B": ""}))

    assert item(filing, "1C").status is ItemStatus.ABSENT
    assert item(filing, "9B").status is ItemStatus.OMITTED


@pytest.mark.parametrize(
    ("title", "body", "status"),
    [
        ("Risk Factors", "Not applicable to smaller reporting companies.", ItemStatus.EXTRACTED),
        ("Unresolved Staff Comments", "None.", ItemStatus.EXTRACTED),
        ("[Reserved]", "", ItemStatus.RESERVED),
        ("Selected Financial Data", "(Removed and Reserved)", ItemStatus.RESERVED),
        ("Executive Compensation", "", ItemStatus.OMITTED),
        (
            "Executive Compensation",
            "The information under the caption \u201cDirector Compensation\u201d is incorporated herein by reference.",
            ItemStatus.INCORPORATED,
        ),
        (
            "Management's Discussion and Analysis",
            "Reported on pages 32-43 of the Annual Report to Share Owners for the fiscal year ended December 31, 1993.",
            ItemStatus.INCORPORATED,
        ),
        ("Financial Statements", "See index under item 14.", ItemStatus.EXTRACTED),
        (
            "Directors and Executive Officers",
            "John F. Welch, Jr., Chairman of the Board. " * 12 + "Other information is incorporated by reference.",
            ItemStatus.EXTRACTED,
        ),
    ],
)
def test_what_an_items_words_amount_to(title: str, body: str, status: ItemStatus) -> None:
    assert answer_of(title, body) is status
