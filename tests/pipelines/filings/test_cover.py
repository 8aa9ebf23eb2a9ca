"""The facts of the cover, from tagged facts, the SGML header and the words of cover pages of all eras.

Lines of cover pages are excerpts of public filings or of the same shape; a tab parts the cells of a row.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import InputRefused
from onward.pipelines.filings.accuracy import StoredFiling
from onward.pipelines.filings.cover import read_cover
from onward.pipelines.filings.cover_page import fiscal_year, page_form, period_end, sic
from onward.pipelines.filings.dates import compact_date, dates_in, first_date
from onward.pipelines.filings.document import Block, Cover, Fact, RawFiling, Source
from onward.pipelines.filings.parse import parse
from onward.pipelines.filings.registrant import registrant
from onward.pipelines.filings.sanitize import sanitize
from onward.pipelines.filings.tagged import tagged_cover
from onward.pipelines.filings.ticker import page_symbols, stated_symbol

EXAMPLES = Path(__file__).parents[3] / "examples" / "filings"
SOURCE = Source(path="a.txt", sha256="sha256:" + "0" * 64, size_bytes=1)
PAGE = (
    "SECURITIES AND EXCHANGE COMMISSION",
    "FORM 10-K",
    "For the fiscal year ended December 31, 2003",
    "Commission file number 1-442",
    "THE BOEING COMPANY",
    "(Exact name of registrant as specified in its charter)",
)


def raw(header: dict[str, str] | None = None, type_: str = "") -> RawFiling:
    return RawFiling(source=SOURCE, header=header or {}, document_type=type_, kind="html", body="")


def cover(*lines: str, header: dict[str, str] | None = None, type_: str = "", facts: tuple[Fact, ...] = ()) -> Cover:
    return read_cover(raw(header, type_), [Block(text=line) for line in lines], facts)


def dei(name: str, text: str, **more: object) -> Fact:
    return Fact(name=f"dei:{name}", text=text, **more)  # type: ignore[arg-type]


# --- dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("December 31, 2003", "2003-12-31"),
        ("DECEMBER 31 , 2003", "2003-12-31"),
        ("December\n31,\n1996", "1996-12-31"),
        ("Dec. 31, 1996", "1996-12-31"),
        ("Sept. 30th, 2002", "2002-09-30"),
        ("31 December 2001", "2001-12-31"),
        ("the 31st day of December, 2001", "2001-12-31"),
        ("June 30,2004", "2004-06-30"),
        ("12/31/95", "1995-12-31"),
        ("9-30-1997", "1997-09-30"),
        ("2024-09-28", "2024-09-28"),
        ("February 29, 2024", "2024-02-29"),
        ("February 30, 2024", None),
        ("13/31/2003", None),
        ("333-221302", None),
        ("1-800-555-1212", None),
        ("May 2003", None),
        ("section 13 or 15(d) of 1934", None),
    ],
)
def test_a_date_is_read_however_it_is_written(text, day):
    assert first_date(text) == day


@given(st.dates(min_value=date(1990, 1, 1), max_value=date(2060, 1, 1)))
def test_every_day_of_the_calendar_is_read_back(day):
    written = [f"{day:%B} {day.day}, {day.year}", f"{day:%b} {day.day} {day.year}", f"{day.month}/{day.day}/{day.year}"]

    assert [found for _, _, found in dates_in(" ; ".join(written))] == [day.isoformat()] * 3
    assert compact_date(f"{day:%Y%m%d}") == day.isoformat()


@given(st.text())
def test_no_text_breaks_the_dates(text):
    for start, end, _ in dates_in(text):
        assert 0 <= start < end <= len(text)


# --- tagged facts -----------------------------------------------------------------------------------------------------


def test_tagged_facts_are_the_first_witness():
    found = tagged_cover(
        [
            dei("EntityRegistrantName", "Apple  Inc."),
            dei("EntityCentralIndexKey", "0000320193"),
            dei("TradingSymbol", "AAPL"),
            dei("DocumentType", "10-K"),
            dei("DocumentPeriodEndDate", "September 28, 2024", period_end="2024-09-28"),
            dei("DocumentFiscalYearFocus", "2024"),
        ]
    )

    assert found == Cover(
        cik="320193", company="Apple Inc.", ticker=("AAPL",), form="10-K", period_end="2024-09-28", fiscal_year=2024
    )


def test_the_filers_own_facts_go_before_those_of_a_subsidiary():
    facts = [
        dei("EntityRegistrantName", "Alabama Power Company", members=("so:AlabamaPowerMember",)),
        dei("EntityRegistrantName", "The Southern Company"),
        dei("EntityCentralIndexKey", "0000003153", members=("so:AlabamaPowerMember",)),
        dei("EntityCentralIndexKey", "0000092122"),
    ]

    assert (tagged_cover(facts).company, tagged_cover(facts).cik) == ("The Southern Company", "92122")


def test_every_class_of_shares_gives_its_symbol_once_and_no_symbol_is_none():
    texts = ["GOOGL", "GOOG", "GOOGL", "N/A", "None", "\u2014", "\u201cGE 29\u201d", "CELG RT", "Not Applicable"]

    facts = [dei("TradingSymbol", text, members=(str(at),)) for at, text in enumerate(texts)]

    assert tagged_cover(facts).ticker == ("GOOGL", "GOOG", "GE 29", "CELG RT")


@pytest.mark.parametrize(
    ("text", "more", "day"),
    [
        ("June 30, 2023", {}, "2023-06-30"),
        ("2023-06-30", {}, "2023-06-30"),
        ("30.06.2023", {"format": "ixt:date-day-month-year"}, "2023-06-30"),
        ("05.06.2023", {"format": "ixt:datedaymonthyear"}, "2023-06-05"),
        ("06/05/2023", {"format": "ixt:date-month-day-year"}, "2023-06-05"),
        ("December 31", {"period_end": "2023-12-30"}, "2023-12-30"),
        ("soon", {}, None),
    ],
)
def test_a_tagged_period_end_is_read_by_its_format_or_its_context(text, more, day):
    assert tagged_cover([dei("DocumentPeriodEndDate", text, **more)]).period_end == day


def test_facts_of_other_taxonomies_are_not_cover_facts():
    assert tagged_cover([Fact(name="us-gaap:EntityRegistrantName", text="No Inc.")]) == Cover()


# --- the header -------------------------------------------------------------------------------------------------------

HEADER = {
    "CONFORMED SUBMISSION TYPE": "10-K405",
    "CONFORMED PERIOD OF REPORT": "20031231",
    "FILED AS OF DATE": "20040302",
    "COMPANY CONFORMED NAME": "BOEING CO",
    "CENTRAL INDEX KEY": "0000012927",
    "STANDARD INDUSTRIAL CLASSIFICATION": "AIRCRAFT [3721]",
}


def test_the_header_gives_what_no_page_states():
    found = cover(*PAGE, header=HEADER)

    assert (found.cik, found.sic, found.filed, found.form) == ("12927", "3721", "2004-03-02", "10-K405")
    assert found.company == "BOEING CO"


@pytest.mark.parametrize(
    ("stated", "code"), [("3600", "3600"), ("[0100]", "0100"), ("UNKNOWN [0000]", None), ("", None)]
)
def test_an_industry_code_that_was_never_assigned_is_none(stated, code):
    assert cover(*PAGE, header=HEADER | {"STANDARD INDUSTRIAL CLASSIFICATION": stated}).sic == code


def test_what_nobody_says_is_none():
    found = cover(*PAGE)

    assert (found.cik, found.sic, found.filed, found.ticker) == (None, None, None, ())
    assert (found.company, found.period_end, found.fiscal_year) == ("THE BOEING COMPANY", "2003-12-31", 2003)


# --- the form ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "form"),
    [
        (["UNITED STATES", "FORM 10-K", "(Mark One)"], "10-K"),
        (["F O R M  1 0 - K"], "10-K"),
        (["FORM 10-K405"], "10-K405"),
        (["Form 10-K/A", "(Amendment No. 2)"], "10-K/A"),
        (["FORM 10-K", "Amendment No. 1"], "10-K/A"),
        (["ANNUAL REPORT ON FORM 10-KSB"], "10-KSB"),
        (["FORM 10\u2013Q"], "10-Q"),
        (["10-K", "UNITED STATES"], "10-K"),
        (["FORM 8-K", "CURRENT REPORT"], "8-K"),
        (["FORM 12b-25", "NOTIFICATION OF LATE FILING", "(Check One): [X] Form 10-K [ ] Form 10-Q"], "12B-25"),
        (["FORM S-1", "as described in our annual report on Form 10-K"], "S-1"),
        (["SCHEDULE 14A"], "14A"),
        (["FORM 10-QSB"], "10-QSB"),
        (["FORM 20-F"], "20-F"),
        (["A letter to our shareholders"], None),
    ],
)
def test_the_form_is_the_first_one_that_the_page_names(lines, form):
    assert page_form(lines) == form


def test_a_quarterly_report_under_an_annual_header_is_what_it_says_itself():
    page = [line.replace("10-K", "10-Q").replace("fiscal year", "quarterly period") for line in PAGE]

    found = cover(*page, header=HEADER)

    assert found.form == "10-Q"
    assert found.doubts == ("the submission says form 10-K405, and the document is a form 10-Q",)


def test_an_annual_cover_that_speaks_only_of_a_quarter_is_refused():
    page = [line.replace("fiscal year", "quarterly period") for line in PAGE]

    with pytest.raises(InputRefused, match="then the period of another"):
        cover(*page)


@pytest.mark.parametrize("form", ["S-1", "12b-25", "20-F", "10-QSB"])
def test_a_document_of_another_form_is_refused_by_its_cover(form):
    with pytest.raises(InputRefused, match=f"form {form.upper()};"):
        cover(PAGE[0], f"FORM {form}", *PAGE[2:])


def test_a_press_release_that_cites_a_form_is_not_that_form():
    with pytest.raises(InputRefused, match="names no form"):
        cover("ACME REPORTS RECORD YEAR", "More is said in our Form 10-K.", "About Acme", "Acme makes anvils.")


def test_a_tagged_form_outranks_the_words():
    assert cover("FORM 10-K", facts=(dei("DocumentType", "10-K/A"),)).form == "10-K/A"


# --- the name ---------------------------------------------------------------------------------------------------------

LABEL = "(Exact name of registrant as specified in its charter)"


NAMED = {
    "THE BOEING COMPANY": ["Commission file number 1-442", "THE BOEING COMPANY", LABEL],
    "PERKINELMER, INC.": ["COMMISSION FILE NUMBER 1-5075", f"PERKINELMER, INC. {LABEL.upper()}"],
    "Bank of America Corporation": ["File No. 1-6523", f"{LABEL.strip('()')}: Bank of America Corporation"],
    "Wachovia Corporation": [
        "File No. 1-10000",
        f"{LABEL.strip('()')}:",
        "Wachovia Corporation",
        "State: North Carolina",
    ],
    "24HOLDINGS INC": ["FORM 10-KSB", "24HOLDINGS INC", "(Name of small business issuer in its charter)"],
    "THE BANK OF LONG ISLAND CORPORATION": ["FILE NO. 33-1234", "THE BANK OF LONG", "ISLAND CORPORATION", LABEL],
    "Westport Futures Fund L.P.": ["Commission file number 0-1", "Westport", "Futures Fund L.P.", LABEL],
    "1-800-FLOWERS.COM, Inc.": ["May 3, 1999", "1-800-FLOWERS.COM, Inc.", LABEL],
    "3M COMPANY": ["3M COMPANY", LABEL],
    "Ford Credit Auto Owner Trust 2010-A": [
        "Commission File Number of issuing entity: 333-167489-01",
        "Ford Credit Auto Owner Trust 2010-A",
        "(Exact name of issuing entity as specified in its charter)",
    ],
    "SOUTHERN CO": ["SOUTHERN CO", "(Exact name of registrant(s) as specified in its (their) charter(s))"],
    "WASHINGTON MUTUAL, INC.": [
        f"WASHINGTON, D.C. 20549 FORM 10-Q quarter ended June 30, 1996 File No. 0-1234 WASHINGTON MUTUAL, INC. {LABEL}"
    ],
    "MICROSOFT CORPORATION": [
        "COMMISSION FILE NUMBER 0-14278",
        "MICROSOFT CORPORATION",
        "WASHINGTON\t91-1144442",
        "(STATE OF INCORPORATION)\t(I.R.S. ID)",
    ],
    "Louisville Gas and Electric Company": [
        "Commission\tRegistrant, State of Incorporation,\tIRS Employer",
        "File Number\tAddress, and Telephone Number\tNo.",
        "2-26720\tLouisville Gas and Electric Company\t61-0264150",
    ],
    "The Southern Company": [
        "Commission File Number\tRegistrant, State of Incorporation, Address and Telephone Number\tI.R.S. Employer No.",
        "1-3526\tThe Southern Company (A Delaware Corporation) 30 Ivan Allen Jr. Boulevard, N.W.\t58-0690070",
        "1-3164\tAlabama Power Company (An Alabama Corporation) 600 North 18th Street\t63-0004250",
    ],
    "AMERICAN ELECTRIC POWER COMPANY, INC.": [
        "Commission\tRegistrants; States of Incorporation;\tI.R.S. Employer",
        "File Number\tAddress and Telephone Number\tIdentification Nos.",
        "1-3525\tAMERICAN ELECTRIC POWER COMPANY, INC. (A New York Corporation)\t13-4922640",
    ],
    "EXELON CORPORATION": [
        "Commission File Number\tName of Registrant, State of Incorporation, Address\tIRS Employer No.",
        "1-16169\tEXELON CORPORATION (a Pennsylvania corporation)\t23-2990190",
    ],
}


@pytest.mark.parametrize("name", NAMED)
def test_the_name_stands_by_its_label_or_in_its_place(name):
    assert registrant(NAMED[name]) == name


@pytest.mark.parametrize(
    "lines",
    [
        ["Commission file number 1-3464", "220 West Main Street", "P.O. Box 32010"],
        ["FORM 8-K", "CURRENT REPORT", LABEL],
        [],
    ],
)
def test_an_address_or_a_title_is_no_name(lines):
    assert registrant(lines) is None


def test_the_name_that_signs_is_taken_when_the_cover_is_silent():
    closing = [
        "the registrant has duly caused this report to be signed on its behalf",
        "ZURN INDUSTRIES, INC.",
        "(Registrant)",
    ]

    assert registrant(["FORM 8-K"], closing) == "ZURN INDUSTRIES, INC."


@pytest.mark.parametrize("junk", ["----- ", "FORM 10-K ", "Amendment No. 1 ", "(Mark One) (", "names of registrant "])
def test_a_megabyte_on_one_line_is_read_in_no_time(junk):
    line = junk * (1_000_000 // len(junk))

    cover(line, *PAGE, line)
    registrant([line + LABEL, LABEL + line])


@given(st.lists(st.text()), st.lists(st.text()))
def test_no_lines_break_the_name(lines, closing):
    registrant([*lines, LABEL, *lines], closing)


# --- the period -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "form", "day"),
    [
        ("FOR THE FISCAL YEAR ENDED JUNE 30, 1996 COMMISSION FILE NUMBER 0-1234", "10-K", "1996-06-30"),
        ("For the 52 weeks ended December 28, 1996", "10-K", "1996-12-28"),
        ("For the fiscal year (52 weeks) ended January 3, 1998", "10-K", "1998-01-03"),
        ("For the fiscal year ended:\nFebruary 3, 2006", "10-K", "2006-02-03"),
        ("For the fiscal year ended\tCommission file number\nDecember 31, 1996\t1-1234", "10-K", "1996-12-31"),
        ("year ended __\n[X] For the transition period from July 1, 2003 to December 31, 2003", "10-KT", "2003-12-31"),
        ("For the transition period from ____ to ____\nFiscal year ended: 12-31-95", "10-K", "1995-12-31"),
        ("December 31, 1999\n(Fiscal Year End)", "10-K", "1999-12-31"),
        ("For the quarterly period ended: 9/30/97", "10-Q", "1997-09-30"),
        ("For the three months ended March 31, 2002", "10-Q", "2002-03-31"),
        ("aggregate market value as of June 30, 2003", "10-K", None),
        ("March 25, 2003\nDate of Report (Date of earliest event reported)", "8-K", "2003-03-25"),
        ("Date of Report (Date of earliest event reported)\tMay 5, 2010", "8-K", "2010-05-05"),
        ("Date of Report (Date of earliest event reported): August 30, 2005 (August 29, 2005)", "8-K", "2005-08-29"),
        ("Date of Report: May 5, 2010 (Date of earliest event reported: April 30, 2010)", "8-K", "2010-04-30"),
        ("Date of Report (Date of earliest event reported): January 19, 2016 (January 14, 2015)", "8-K", "2016-01-19"),
    ],
)  # fmt: skip
def test_the_period_is_the_one_that_the_page_ticks(page, form, day):
    assert period_end(page.split("\n"), form) == day


def test_a_year_that_ends_in_december_has_its_number_and_a_quarter_has_none():
    assert fiscal_year([], [], "10-K", "2003-12-31") == 2003
    assert fiscal_year([], [], "10-Q", "2003-12-31") is None
    assert fiscal_year([], [], "10-KT", "2003-12-31") is None
    assert fiscal_year([], [], "10-K", None) is None


@pytest.mark.parametrize(
    ("said", "year"),
    [
        ({2010: 9, 2009: 8}, 2010),
        ({2009: 20, 2010: 1}, 2009),
        ({2009: 9, 2010: 4}, None),
        ({2010: 1}, None),
    ],
)
def test_around_new_year_the_document_itself_says_which_fiscal_year_it_is(said, year):
    blocks = [Block(text=f"In fiscal {number} sales rose.") for number, times in said.items() for _ in range(times)]

    assert fiscal_year([], blocks, "10-K", "2010-01-31") == year


@given(st.lists(st.text(max_size=120), max_size=12), st.sampled_from(["FORM 10-K", "FORM 8-K", "10-Q"]))
def test_no_cover_does_more_than_be_refused(lines, form):
    try:
        found = cover(PAGE[0], form, *lines, *PAGE[4:], *lines)
    except InputRefused:
        return
    assert found.form


# --- numbers and symbols ----------------------------------------------------------------------------------------------


def test_an_industry_code_is_read_out_of_its_own_column():
    lines = [
        "Nevada\t2821\t38-4045138",
        "(State or Other Jurisdiction of\t(Primary Standard Industrial\t(IRS Employer",
        "Incorporation or Organization)\tClassification Number)\tIdentification Number)",
    ]

    assert sic(lines) == "2821"


TABLE = "Title of each class\tTrading Symbol(s)\tName of each exchange on which registered"


@pytest.mark.parametrize(
    ("lines", "symbols"),
    [
        ([TABLE, "Common Stock, $5.00 Par Value\tBA\tNew York Stock Exchange", "INDEX"], ("BA",)),
        ([TABLE, "Class A\tGOOGL\tNasdaq", "Class C\tGOOG\tNasdaq", "12(g) None", "FORD"], ("GOOGL", "GOOG")),
        ([TABLE, "N/A\tN/A\tN/A"], ()),
        ([TABLE, "1.000% Notes due 2026\tGE /26\tNew York Stock Exchange"], ("GE /26",)),
        (["Class B Common Stock\tNKE\tNYSE", "(Title of class)\t(Trading symbol)\t(Exchange)"], ("NKE",)),
        ([f"{TABLE}\t{TABLE}", "A\tJCI\tNYSE\tB\tJCI35\tNYSE", "C\tJCI3A\tNYSE"], ("JCI", "JCI35", "JCI3A")),
        ([TABLE, "Common Stock\tORCL \u2014\tNew York Stock Exchange"], ("ORCL",)),
        (["shares held by non-affiliates, and no trading symbol.", "YES"], ()),
        (["Common Stock\tNew York Stock Exchange"], ()),
    ],
)  # fmt: skip
def test_symbols_are_those_in_the_column_of_symbols(lines, symbols):
    assert page_symbols(lines) == symbols


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("Our common stock is traded on the NASDAQ Stock Market under the symbol MSFT.", ("MSFT",)),
        (
            "The Company\u2019s common stock is listed on the NYSE under the trading symbol \u201cBRK.A\u201d.",
            ("BRK.A",),
        ),
        ("There is no trading symbol for our common stock.", ()),
        ("The warrants trade under the symbol XYZ.", ()),
    ],
)
def test_a_symbol_in_a_sentence_is_believed_only_of_common_stock(text, symbols):
    assert stated_symbol([Block(text=text)]) == symbols


# --- real covers ------------------------------------------------------------------------------------------------------

# Read off the documents by eye; what is None is not stated in them.
REAL = {
    "F_10-K_1993": ("FORD MOTOR CO", "37996", "10-K", "1993-12-31", "1994-03-21", "3711", 1993),
    "109446_8K_1994": ("ZURN INDUSTRIES INC", "109446", "8-K", "1994-03-22", "1994-03-22", "4991", None),
    "AAPL_10-K_1996": ("APPLE COMPUTER INC", "320193", "10-K", "1996-09-27", "1996-12-19", "3571", 1996),
    "IBM_10-K405": (
        "INTERNATIONAL BUSINESS MACHINES CORP",
        "51143",
        "10-K405",
        "1997-12-31",
        "1998-03-30",
        "3570",
        1997,
    ),
    "AAMES_8-K": ("AAMES CAPITAL CORP", "913951", "8-K", "1998-12-15", "1998-12-31", "6189", None),
    "PKI_10-K405": ("PERKINELMER, INC.", None, "10-K405", "2000-12-31", None, None, 2000),
    "MSFT_10-K_2001": ("MICROSOFT CORPORATION", None, "10-K", "2001-06-30", None, None, 2001),
    "LGE_8-K": ("Louisville Gas and Electric Company", None, "8-K", "2003-03-25", None, None, None),
    "KSB24H": ("24HOLDINGS INC", "1025315", "10-KSB", "2007-12-31", "2008-02-20", "6770", 2007),
    "WMT_10-K_2010": ("WAL-MART STORES, INC.", None, "10-K", "2010-01-31", None, None, 2010),
    "1000180_8K_2010": ("SanDisk Corporation", None, "8-K", "2010-08-19", None, None, None),
    "NAUH_10-Q": ("National American University Holdings, Inc.", None, "10-Q", "2014-08-31", None, None, None),
    "F_8-K_2017": ("FORD MOTOR CO", "37996", "8-K", "2017-10-03", "2017-10-03", "3711", None),
    "WMT_10-Q_2023": ("WALMART INC.", "104169", "10-Q", "2023-07-31", None, None, 2024),
    "AAPL_10-K_2024": ("Apple Inc.", "320193", "10-K", "2024-09-28", None, None, 2024),
}


@pytest.mark.parametrize("name", REAL)
def test_the_facts_of_real_covers_are_read(name):
    path = next(EXAMPLES.glob(f"{name}*"))

    found = parse(sanitize(StoredFiling(path.name, path.read_bytes()))).cover

    facts = (found.company, found.cik, found.form, found.period_end, found.filed, found.sic, found.fiscal_year)
    assert facts == REAL[name]
