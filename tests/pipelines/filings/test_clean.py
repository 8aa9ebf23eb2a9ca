"""The cleaned text: furniture goes, substance stays, and every offset holds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from paper import FILLER, TITLES, annual, cleaned, contents, extracted, html, text, words

from onward.pipelines.filings.clean import clean

PAGES = "".join(
    f"<p>Paragraph {n}. {FILLER}</p><p align=center>{n}</p><hr style='page-break-after:always'>"
    "<p><a href='#toc'>Table of Contents</a></p><p>ACME WIDGETS INC.</p>"
    for n in range(4, 12)
)


def test_page_numbers_running_headers_and_links_to_the_contents_go() -> None:
    filing = cleaned(annual(before=f"<a name='toc'></a>{contents()}", texts={"7": PAGES}))

    assert "Table of Contents" not in words(filing, "7")
    assert "ACME WIDGETS INC." not in words(filing, "7")
    assert "\n9\n" not in words(filing, "7")
    assert all(f"Paragraph {n}." in words(filing, "7") for n in range(4, 12))


def test_column_heads_that_repeat_on_pages_in_a_row_stay() -> None:
    rows = (("Year", "Sales"), ("2006", "12"), ("2005", "11"), ("2004", "9"))
    table = "<table>" + "".join(f"<tr><td>{year}</td><td>{sales}</td></tr>" for year, sales in rows) + "</table>"
    pages = "".join(f"{table}<hr style='page-break-after:always'>" for _ in range(6))

    filing = cleaned(annual(texts={"8": f"{pages}<p>{FILLER}</p>"}))

    assert words(filing, "8").count("Year\tSales") == 6


def test_single_numbers_that_do_not_count_pages_stay() -> None:
    pages = "".join(f"<p>{n}</p><p>{FILLER}</p><hr style='page-break-after:always'>" for n in (500, 31, 8000, 12, 7))

    filing = cleaned(annual(texts={"8": f"{pages}<p>{FILLER}</p>"}))

    assert all(f"\n{n}\n" in words(filing, "8") for n in (500, 31, 8000))


def test_items_begin_with_their_heading() -> None:
    assert words(cleaned(annual()), "1A").startswith("Item 1A. Risk Factors")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "<p>A paragraph.</p>",
                "<p><b>Item 1. Business</b></p>",
                "<p>Item 2. Properties</p>",
                "<p>7</p>",
                "<table><tr><td>a</td><td>b</td></tr></table>",
                "<hr style='page-break-after:always'>",
                "PART II",
                "<div><div>nested<p>Item 3. Legal Proceedings",
                "<br><br>",
                "<p>Item 15. Exhibits</p>",
                "</div>",
            ]
        ),
        max_size=40,
    )
)
def test_blocks_and_items_of_any_document_are_in_order_and_inside_the_text(parts: list[str]) -> None:
    """Law: kept blocks never overlap, only white space lies between them, and every item begins and ends at a block."""
    found = extracted(html("".join(parts)))

    filing = clean(found)

    at = 0
    for kept in filing.blocks:
        assert filing.text[at : kept.start].strip() == ""
        assert filing.text[kept.start : kept.end] == kept.block.text
        at = kept.end
    assert filing.text[at:].strip() == ""
    starts, ends = {kept.start for kept in filing.blocks}, {kept.end for kept in filing.blocks}
    for entry in filing.items:
        assert (entry.start is None) == (entry.end is None)
        if entry.start is not None and entry.end is not None:
            assert entry.start in starts
            assert entry.end in ends
            assert entry.start < entry.end


@settings(max_examples=30, deadline=None)
@given(st.integers(min_value=0, max_value=60), st.integers(min_value=0, max_value=5))
def test_nothing_but_furniture_is_lost(paragraphs: int, pages: int) -> None:
    """Law: the text is every block that is not furniture, in order; white space aside."""
    body = "".join(f"<p>Sentence number {n} of the text.</p>" for n in range(paragraphs))
    turned = "<hr style='page-break-after:always'>".join([body] * (pages + 1))

    found = extracted(html(f"<p><b>Item 1. Business</b></p>{turned}"))

    kept = [block.text for at, block in enumerate(found.parsed.blocks) if at not in found.furniture]
    assert clean(found).text.split() == " ".join(kept).split()


def test_lines_on_one_page_that_are_alike_but_for_their_numbers_are_not_page_headers() -> None:
    """The notes below a list of exhibits of 2000 stood at a page's end, and were taken for running footers."""
    notes = "".join(
        f"({mark}) Incorporated by reference to Exhibit {exhibit} to the Registration Statement on Form S-2"
        " (Registration No. 333-35544).\n\n"
        for mark, exhibit in ((1, "2.7"), (2, "2.6"), (9, "10.5"))
    )
    pages = "".join(f"Item {number}. {title}\n\n{FILLER}\n\n<PAGE>\n\n" for number, title in TITLES.items())

    filing = cleaned(text(f"{pages}{notes}<PAGE>\n\n{FILLER}"))

    assert filing.text.count("Incorporated by reference to Exhibit") == 3
