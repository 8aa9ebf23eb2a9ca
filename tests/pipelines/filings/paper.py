"""Small filings for the tests of items: excerpts of real ones between a cover and the signatures."""

from __future__ import annotations

from dataclasses import dataclass

from onward.model.validation import Status, Validation
from onward.pipelines.filings.clean import clean
from onward.pipelines.filings.document import CleanedFiling, ExtractedFiling, ExtractedItem, ParsedFiling
from onward.pipelines.filings.extract import extract
from onward.pipelines.filings.parse import parse
from onward.pipelines.filings.sanitize import sanitize

FILLER = (
    "We design, make and sell widgets. Our customers are wholesalers in the United States and in Canada, and none of"
    " them accounted for more than a tenth of our net sales in any of the last three years. "
) * 8


@dataclass(frozen=True)
class Paper:
    """A filing's bytes, as the engine would offer them."""

    data: bytes
    key: str = "acme/10-K.htm"
    sha256: str = "sha256:" + "0" * 64

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read_bytes(self) -> bytes:
        return self.data


def html(body: str, form: str = "10-K", period: str = "June 30, 2007") -> Paper:
    kind = {"10-K": "ANNUAL REPORT", "10-Q": "QUARTERLY REPORT", "8-K": "CURRENT REPORT"}[form]
    span = {"10-K": "fiscal year", "10-Q": "quarterly period", "8-K": "period"}[form]
    cover = (
        "<p>UNITED STATES</p><p>SECURITIES AND EXCHANGE COMMISSION</p>"
        f"<p>Washington, D.C. 20549</p><p>FORM {form}</p>"
        f"<p>{kind} PURSUANT TO SECTION 13 OR 15(d) OF THE SECURITIES EXCHANGE ACT OF 1934</p>"
        f"<p>For the {span} ended {period}</p><p>Acme Widgets Inc.</p>"
        "<p>(Exact name of registrant as specified in its charter)</p>"
    )
    signed = (
        "<p>SIGNATURES</p><p>Pursuant to the requirements of the Securities Exchange Act of 1934, the registrant has"
        " duly caused this report to be signed on its behalf.</p>"
    )
    return Paper(f"<html><body>{cover}{body}{signed}</body></html>".encode())


def text(body: str, year: int = 1997) -> Paper:
    cover = (
        "UNITED STATES\nSECURITIES AND EXCHANGE COMMISSION\nWashington, D.C. 20549\n\nFORM 10-K\n\n"
        "ANNUAL REPORT PURSUANT TO SECTION 13 OR 15(d) OF THE SECURITIES EXCHANGE ACT OF 1934\n\n"
        f"For the fiscal year ended June 30, {year}\n\nACME WIDGETS INC.\n"
        "(Exact name of registrant as specified in its charter)\n\n"
    )
    return Paper((cover + body + "\n\nSIGNATURES\n\nPursuant to the requirements\n").encode(), key="acme/10-K.txt")


def parsed(paper: Paper) -> ParsedFiling:
    return parse(sanitize(paper))


def extracted(paper: Paper) -> ExtractedFiling:
    return extract(parsed(paper))


def cleaned(paper: Paper) -> CleanedFiling:
    return clean(extracted(paper))


def item(filing: CleanedFiling, number: str, part: str | None = None) -> ExtractedItem:
    return next(entry for entry in filing.items if entry.item == number and part in (None, entry.part))


def words(filing: CleanedFiling, number: str, part: str | None = None) -> str:
    entry = item(filing, number, part)
    return filing.text[entry.start : entry.end] if entry.start is not None else ""


def status(filing: CleanedFiling) -> Status:
    return Validation(filing.checks).status


TITLES = {
    "1": "Business",
    "1A": "Risk Factors",
    "1B": "Unresolved Staff Comments",
    "2": "Properties",
    "3": "Legal Proceedings",
    "4": "Submission of Matters to a Vote of Security Holders",
    "5": "Market for Registrant's Common Equity, Related Stockholder Matters and Issuer Purchases of Equity Securities",
    "6": "Selected Financial Data",
    "7": "Management's Discussion and Analysis of Financial Condition and Results of Operations",
    "7A": "Quantitative and Qualitative Disclosures About Market Risk",
    "8": "Financial Statements and Supplementary Data",
    "9": "Changes in and Disagreements with Accountants on Accounting and Financial Disclosure",
    "9A": "Controls and Procedures",
    "9B": "Other Information",
    "10": "Directors, Executive Officers and Corporate Governance",
    "11": "Executive Compensation",
    "12": "Security Ownership of Certain Beneficial Owners and Management and Related Stockholder Matters",
    "13": "Certain Relationships and Related Transactions, and Director Independence",
    "14": "Principal Accountant Fees and Services",
    "15": "Exhibits and Financial Statement Schedules",
}
PARTS = {"1": "PART I", "5": "PART II", "10": "PART III", "15": "PART IV"}


def annual(
    heading: str = "<p><b>Item {number}. {title}</b></p>",
    *,
    before: str = "",
    behind: str = "",
    texts: dict[str, str] | None = None,
    without: frozenset[str] = frozenset(),
) -> Paper:
    """Return a 10-K for 2007 with every item of its time.

    Args:
        heading: How a heading is marked up.
        before: Markup before the first item.
        behind: Markup behind the last item.
        texts: Markup of single items' texts; the others have the same few sentences, with their number in front.
        without: Items whose heading is left out.
    """
    out = [before]
    for number, title in TITLES.items():
        if number in PARTS:
            out.append(f"<p align=center><b>{PARTS[number]}</b></p>")
        if number not in without:
            out.append(heading.format(number=number, title=title))
        out.append((texts or {}).get(number, f"<p>This is the text of {number}. {FILLER}</p>"))
    return html("".join(out) + behind)


def contents(rows: str = "<tr><td>Item {number}.</td><td>{title}</td><td>{page}</td></tr>") -> str:
    lines = (rows.format(number=n, title=t, page=3 * at + 3) for at, (n, t) in enumerate(TITLES.items()))
    return f"<table>{''.join(lines)}</table>"
