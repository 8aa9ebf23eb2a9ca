"""Items whose answer stands in another place of the same document: their text is right, and it is not the answer."""

from __future__ import annotations

import pytest
from paper import FILLER, TITLES, annual, cleaned, contents, html, item, words

from onward.pipelines.filings.confidence import SURE
from onward.pipelines.filings.document import ItemStatus

STATEMENTS = {
    "colgate 2023": "See &#8220;Index to Financial Statements.&#8221;",
    "general electric 1993": "See index under item 14.",
    "nvidia 2024": "The information required by this Item is set forth in our Consolidated Financial Statements and"
    " Notes thereto included in this Annual Report on Form 10-K.",
    "netflix 2024": "The consolidated financial statements and accompanying notes listed in Part IV, Item 15(a)(1) of"
    " this Annual Report on Form 10-K are included immediately following Part IV hereof and incorporated by reference"
    " herein.",
}
EXHIBITS = {
    "visa 2024": "<p>The following exhibits are filed as part of this report or, where indicated, were previously"
    " filed and are hereby incorporated by reference:</p><p>Refer to the Exhibit Index herein.</p>",
    "vulcan 2012": "<p>The exhibits required by Item 601 of Regulation S-K are either incorporated by reference herein"
    " or accompany this report. See the Index to Exhibits set forth below.</p>",
}
LIST = "<tr><td>3.1</td><td>Articles</td></tr><tr><td>3.2</td><td>Bylaws</td></tr><tr><td>31.1</td><td>Oath</td></tr>"


@pytest.mark.parametrize("said", STATEMENTS.values(), ids=STATEMENTS)
def test_statements_that_stand_elsewhere_are_not_sure(said: str) -> None:
    filing = cleaned(annual(before=contents(), texts={"8": f"<p>{said}</p>"}))

    assert item(filing, "8").confidence < SURE
    assert item(filing, "9").confidence >= SURE


def test_statements_in_the_report_to_shareholders_are_surely_incorporated() -> None:
    said = (
        "<p>The information required by this item is incorporated by reference to all information under the captions"
        " &#8220;Consolidated Statements of Income&#8221; and &#8220;Consolidated Balance Sheets&#8221; included in our"
        " Annual Report to Shareholders. Such information is included in an exhibit to this report.</p>"
    )

    filing = cleaned(annual(before=contents(), texts={"8": said}))

    assert item(filing, "8").status is ItemStatus.INCORPORATED
    assert item(filing, "8").confidence >= SURE


def test_a_list_of_statements_in_the_report_to_shareholders_is_a_pointer_as_well() -> None:
    listed = "".join(
        f"<p>{name}</p>"
        for name in (
            "Consolidated Statements of Income - Years ended December 31, 1994, 1993 and 1992",
            "Consolidated Balance Sheets - December 31, 1994 and 1993",
            "Notes to Consolidated Financial Statements",
            "Report of Independent Public Accountants",
        )
    )
    said = (
        "<p>The following consolidated financial statements of the Company, included on pages 23 through 40 of the 1994"
        f" Annual Report to Shareholders (Exhibit 13), are incorporated herein by reference:</p>{listed}"
    )

    filing = cleaned(annual(before=contents(), texts={"8": said}))

    assert item(filing, "8").status is ItemStatus.INCORPORATED
    assert item(filing, "8").confidence >= SURE


def test_what_stands_in_place_behind_a_pointer_is_no_list_of_what_it_points_to() -> None:
    officers = "".join(
        f"<p>Person {n}, 5{n}, Vice President of Reports of Operations since 199{n}.</p>" for n in range(8)
    )
    said = (
        "<p>The information required by this item is incorporated by reference to the Proxy Statement, except for the"
        f" executive officers, who are:</p>{officers}"
    )

    filing = cleaned(annual(before=contents(), texts={"10": said}))

    assert item(filing, "10").status is ItemStatus.EXTRACTED


@pytest.mark.parametrize("said", EXHIBITS.values(), ids=EXHIBITS)
def test_an_item_of_exhibits_that_only_names_their_index_is_not_sure(said: str) -> None:
    filing = cleaned(annual(before=contents(), texts={"15": said}))

    assert item(filing, "15").confidence < SURE


def test_an_item_of_exhibits_that_lists_them_is_sure_though_it_names_an_index() -> None:
    said = f"<p>See the Exhibit Index. The exhibits are:</p><table>{LIST}</table>"

    filing = cleaned(annual(before=contents(), texts={"15": said}))

    assert item(filing, "15").confidence >= SURE


def test_in_a_cross_reference_index_the_next_parts_title_is_not_an_items_answer() -> None:
    """General Electric 2023: the row of item 4 is its answer, and "Part II" stands below it."""
    rows = "".join(
        f"<tr><td>{'Part II' if number == '5' else ''}</td></tr>"
        f"<tr><td>Item {number}.</td><td>{title}</td><td>{'Not applicable' if number == '4' else 3 + at}</td></tr>"
        for at, (number, title) in enumerate(TITLES.items())
    )
    pages = "".join(f"<p>{FILLER}</p><p>{at}</p><hr style='page-break-after:always'>" for at in range(1, 30))

    filing = cleaned(html(f"{pages}<p>Form 10-K Cross Reference Index</p><table>{rows}</table>"))

    assert words(filing, "4").endswith("Not applicable")


def test_a_range_of_pages_of_which_the_first_has_no_number_is_found_from_the_next_one_on() -> None:
    """Intel 2023: the index names pages 3-36, and the first pages of the range bear no number."""
    rows = "".join(
        f"<tr><td>Item {number}.</td><td>{title}</td><td>{'3-9' if number == '1' else 10 + at}</td></tr>"
        for at, (number, title) in enumerate(TITLES.items())
    )
    pages = "".join(
        f"<p>Page {at}. {FILLER}</p><p>{at if at > 4 else ''}</p><hr style='page-break-after:always'>"
        for at in range(1, 40)
    )

    filing = cleaned(html(f"{pages}<p>Form 10-K Cross Reference Index</p><table>{rows}</table>"))

    assert all(f"Page {at}." in words(filing, "1") for at in range(5, 10))
    assert item(filing, "1").confidence < SURE
