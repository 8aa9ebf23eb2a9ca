"""What speaks against an item that was found: each doubt was seen on a filing that had been spoilt on purpose."""

from __future__ import annotations

from paper import FILLER, PARTS, TITLES, annual, cleaned, contents, html, item, text, words

from onward.pipelines.filings.answers import answer_of
from onward.pipelines.filings.confidence import SURE
from onward.pipelines.filings.document import CleanedFiling, ItemStatus

BREAK = "<hr style='page-break-after:always'>"


def heading(number: str) -> str:
    return f"<p><b>Item {number}. {TITLES[number]}</b></p>"


def test_a_footer_below_a_number_kept_free_does_not_answer_it() -> None:
    """Apple 2024, its page breaks dropped: the footer then stands below "Item 6. [Reserved]"."""
    assert answer_of("[Reserved]", "Apple Inc. | 2024 Form 10-K | 20") is ItemStatus.RESERVED


def test_a_pages_number_is_no_answer() -> None:
    """Boeing 2003: an asterisk in the title, and nothing below it but the page's end."""
    assert answer_of("Executive Compensation*", "85", "* incorporated by reference") is ItemStatus.INCORPORATED


def test_a_title_over_three_lines_is_read_whole() -> None:
    lines = (
        "<p><b>ITEM 12</b></p><p><b>SECURITY OWNERSHIP OF CERTAIN BENEFICIAL OWNERS</b></p>"
        "<p><b>AND MANAGEMENT AND RELATED STOCKHOLDER MATTERS</b></p>"
    )

    filing = cleaned(annual(without=frozenset({"12"}), texts={"12": f"{lines}<p>{FILLER}</p>"}))

    assert item(filing, "12").title == (
        "SECURITY OWNERSHIP OF CERTAIN BENEFICIAL OWNERS AND MANAGEMENT AND RELATED STOCKHOLDER MATTERS"
    )


def test_a_first_section_below_a_title_is_not_taken_into_it() -> None:
    filing = cleaned(annual(texts={"1": f"<p><b>Overview</b></p><p>{FILLER}</p>"}))

    assert item(filing, "1").title == "Business"


def test_a_mention_with_the_title_in_quotes_does_not_begin_an_item() -> None:
    """Honeywell 2023: the only other claim to item 1 was the heading of Part I."""
    mention = f'<p>Item 1A, "Risk Factors"</p><p>{FILLER}</p>'

    filing = cleaned(annual(without=frozenset({"1A"}), texts={"1A": "", "1": f"<p>{FILLER}</p>{mention}"}))

    assert item(filing, "1A").confidence < SURE


def test_a_report_that_names_one_of_its_items_which_was_not_found_is_not_sure_of_the_others() -> None:
    """AFC Gamma 2023: without the heading of item 7.01 its text runs on under 5.02."""
    body = (
        "<p><b>Item 5.02 Departure of Directors or Certain Officers</b></p>"
        f"<p>{FILLER}</p><p>The information contained in Item 7.01 (including Exhibit 99.1) of this Current Report"
        " shall not be deemed filed.</p>"
        "<p><b>Item 9.01 Financial Statements and Exhibits</b></p><p>99.1 Press release</p>"
    )

    filing = cleaned(html(body, "8-K", "March 17, 2023"))

    assert item(filing, "5.02").confidence < SURE
    assert item(filing, "9.01").confidence >= SURE


def test_a_last_line_that_may_answer_the_missing_next_item_makes_both_unsure() -> None:
    rows = "".join(f"<tr><td>Item {n}.</td><td>{t}</td><td>3</td></tr>" for n, t in TITLES.items() if n != "1B")
    factors = f"<p>{FILLER}</p><p>None.</p>"

    filing = cleaned(
        annual(before=f"<table>{rows}</table>", without=frozenset({"1B"}), texts={"1A": factors, "1B": ""})
    )

    assert item(filing, "1A").confidence < SURE
    assert item(filing, "1B").confidence < SURE


def test_an_item_that_goes_on_behind_its_answer_is_not_sure() -> None:
    filing = cleaned(annual(before=contents(), texts={"9B": f"<p>None.</p><p>{FILLER}</p>"}))

    assert item(filing, "9B").confidence < SURE


def test_an_item_with_a_contents_table_inside_is_not_sure() -> None:
    filing = cleaned(annual(before=contents(), texts={"15": f"<p>{FILLER}</p>{contents()}<p>{FILLER}</p>"}))

    assert item(filing, "15").confidence < SURE
    assert item(filing, "14").confidence >= SURE


def test_what_stands_behind_the_signatures_is_not_sure() -> None:
    """A second filing behind the first one answers what the first leaves out."""
    signed = (
        "<p>SIGNATURES</p><p>Pursuant to the requirements of the Securities Exchange Act of 1934, the registrant has"
        " duly caused this report to be signed on its behalf.</p>"
    )
    exhibit = f"{signed}{heading('15')}<p>This is another's. {FILLER}</p>"

    filing = cleaned(annual(without=frozenset({"15"}), texts={"15": ""}, behind=exhibit))

    assert item(filing, "15").confidence < SURE


def test_an_item_under_whose_pages_another_item_is_named_is_not_sure() -> None:
    """Mastercard 2023, items 7A and 8 swapped: the page headers of item 8 stand under item 7."""
    pages = "".join(f"<p>{FILLER}</p>{BREAK}<p>ITEM 8. {TITLES['8'].upper()}</p>" for _ in range(6))

    filing = cleaned(annual(before=contents(), texts={"7": f"{pages}<p>{FILLER}</p>"}))

    assert item(filing, "7").confidence < SURE


def test_an_item_that_begins_at_a_page_header_is_not_sure() -> None:
    """Mastercard 2023, its heading of item 7A dropped: the next page's header names the item too."""
    pages = {
        number: f"<p>{FILLER}</p>{BREAK}<p>ITEM {number}. {TITLES[number].upper()}</p>" * count + f"<p>{FILLER}</p>"
        for number, count in (("1", 4), ("7", 4), ("7A", 1), ("8", 4))
    }

    filing = cleaned(annual(texts=pages, without=frozenset({"7A"})))

    assert words(filing, "7A").startswith("ITEM 7A.")
    assert item(filing, "7A").confidence < SURE
    assert item(filing, "7").confidence < SURE


def test_items_behind_most_of_the_document_are_not_sure() -> None:
    """McDonald's 2023 with a whole other report bound behind it: only the other one has headings."""
    filing = cleaned(annual(before=f"<p>{FILLER}</p>" * 40))

    assert all(item(filing, number).confidence < SURE for number in TITLES)


def test_a_document_that_breaks_off_says_nothing_of_the_items_behind_its_end() -> None:
    rows = "".join(f"Item {n}.  {t} {'.' * 20} {3 + at}\n" for at, (n, t) in enumerate(TITLES.items()))
    body = f"{rows}\n\n" + "".join(
        f"{PARTS.get(n, '')}\n\nITEM {n}. {t.upper()}\n\n{FILLER}\n\n" for n, t in TITLES.items()
    )
    paper = text(body, year=2019)
    broken = type(paper)(paper.data[: paper.data.index(b"ITEM 15.") + 900], key=paper.key)

    assert item(cleaned(paper), "16").confidence >= SURE
    assert item(cleaned(broken), "16").confidence < SURE


def test_a_quarterly_reports_list_of_exhibits_that_holds_more_than_a_list_is_not_sure() -> None:
    def quarter(exhibits: str) -> CleanedFiling:
        first = ("1. Financial Statements", f"2. {TITLES['7']}", f"3. {TITLES['7A']}", f"4. {TITLES['9A']}")
        second = ("1. Legal Proceedings", "1A. Risk Factors", "5. Other Information")
        parts = (
            "<p><b>PART I</b></p>",
            *(f"<p><b>Item {name}</b></p><p>{FILLER}</p>" for name in first),
            "<p><b>PART II</b></p>",
            *(f"<p><b>Item {name}</b></p><p>{FILLER}</p>" for name in second),
        )
        return cleaned(html(f"{''.join(parts)}<p><b>Item 6. Exhibits</b></p>{exhibits}", "10-Q", "March 31, 2007"))

    assert item(quarter(f"<p>{FILLER}</p>"), "6").confidence >= SURE
    assert item(quarter(f"<p>{FILLER}</p>" * 10), "6").confidence < SURE


def test_an_item_whose_follower_was_found_out_of_order_is_not_sure() -> None:
    """Mastercard 2023, a quarter: without its heading item 3 was taken from a page header behind item 4."""
    late = f"<p>{FILLER}</p><p><b>ITEM 7A. {TITLES['7A'].upper()}</b></p><p>{FILLER}</p>"

    filing = cleaned(annual(without=frozenset({"7A"}), texts={"8": late}))

    assert item(filing, "7").confidence < SURE


def test_a_copy_above_a_number_kept_free_makes_it_and_the_item_before_it_unsure() -> None:
    """Bristol-Myers Squibb 2023: nothing stands below the true heading, to which the contents lead."""
    rows = "".join(f"<tr><td><a href='#i{n}'>Item {n}. {t}</a></td></tr>" for n, t in TITLES.items())
    headings = "<p><a name='i{number}'></a><b>Item {number}. {title}</b></p>"
    copy = "<p><b>Item 6. Selected Financial Data [Reserved]</b></p>"
    text_of_5 = f"<p>{FILLER}</p>{copy}<p>Peer Group</p><p>The end.</p>"

    filing = cleaned(annual(headings, before=f"<table>{rows}</table>", texts={"5": text_of_5, "6": ""}))

    assert item(filing, "5").confidence < SURE
    assert item(filing, "6").confidence < SURE


def test_words_on_comments_of_the_staff_tell_that_their_item_was_swallowed() -> None:
    rows = "".join(f"<tr><td>Item {n}.</td><td>{t}</td><td>3</td></tr>" for n, t in TITLES.items() if n != "1B")
    factors = f"<p>{FILLER}</p><p>We have no unresolved comments from the staff of the Commission.</p>"

    filing = cleaned(
        annual(before=f"<table>{rows}</table>", without=frozenset({"1B"}), texts={"1A": factors, "1B": ""})
    )

    assert item(filing, "1A").confidence < SURE
    assert item(filing, "1B").confidence < SURE
