"""The facts of a filing's cover: who files, on which form, for which period.

Three witnesses are heard in this order: facts that the document tags itself, the SGML header around it, and the words
of its cover page. What none of them says stays None. The form is the exception: there the document outranks its
header, and a contradiction between the two is written down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from onward.errors import InputRefused
from onward.pipelines.filings import cover_page
from onward.pipelines.filings.dates import compact_date
from onward.pipelines.filings.document import Block, Cover, Fact, RawFiling
from onward.pipelines.filings.registrant import registrant
from onward.pipelines.filings.submission import form_name
from onward.pipelines.filings.tagged import cik_digits, tagged_cover
from onward.pipelines.filings.ticker import page_symbols, stated_symbol

_SIC = re.compile(r"(?<!\d)(\d{3,4})(?!\d)")
_CLOSING_BLOCKS = 160
_TAKEN = "a 10-K, 10-K405, 10-KSB, 10-KT, 10-Q or 8-K, or an amendment of one, would be taken"


def read_cover(raw: RawFiling, blocks: Sequence[Block], facts: Sequence[Fact] = ()) -> Cover:
    """Return what the filing says of itself.

    Args:
        raw: For its SGML header and the type of its document.
        blocks: The whole document; the cover page is at its beginning.
        facts: Its tagged `dei:` facts, hidden ones too.

    Raises:
        InputRefused: It is of a form that is not taken here, names none, or contradicts itself.
    """
    tagged = tagged_cover(facts)
    lines = cover_page.cover_lines(blocks)
    form, doubts = _form(tagged.form, raw, lines)
    header = _header_cover(raw.header)
    end = tagged.period_end or header.period_end or cover_page.period_end(lines, form)
    company = tagged.company or header.company
    if company is None:
        closing = [line for block in blocks[-_CLOSING_BLOCKS:] for line in block.text.split("\n")]
        company = registrant(lines, closing)
    return Cover(
        cik=tagged.cik or header.cik or cover_page.cik(lines),
        company=company,
        ticker=tagged.ticker or (() if facts else page_symbols(lines) or stated_symbol(blocks)),
        sic=header.sic or cover_page.sic(lines),
        form=form,
        period_end=end,
        filed=header.filed or cover_page.filed(lines),
        fiscal_year=tagged.fiscal_year or cover_page.fiscal_year(lines, blocks, form, end),
        doubts=doubts,
    )


def _form(tagged: str | None, raw: RawFiling, lines: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the form and what speaks against it.

    The header knows variants that a page does not print: a 10-K405's page says 10-K. So within one family the header's
    name is taken; between families the document's own.
    """
    stated = [form_name(raw.header.get("CONFORMED SUBMISSION TYPE", "")), form_name(raw.document_type)]
    outside = next((form for form in stated if form), None)
    shown = cover_page.page_form(lines)
    inside = tagged or (shown if cover_page.is_cover(lines) else None)
    if inside is None:
        if outside is None:
            raise InputRefused(f"The document names no form on a cover page; {_TAKEN}.")
        return outside, (f"the cover page names no form; the submission says {outside}",)
    if form_name(inside) is None:
        raise InputRefused(f"The document is a form {inside}; {_TAKEN}.")
    if tagged is None and cover_page.contradicts_itself(lines, inside):
        raise InputRefused(f"The cover page says form {inside}, and then the period of another; {_TAKEN}.")
    if outside is None:
        return inside, ()
    if _family(outside) == _family(inside):
        return outside, ()
    return inside, (f"the submission says form {outside}, and the document is a form {inside}",)


def _family(form: str) -> str:
    """Return what of a form's name decides over its items."""
    bare = form.removesuffix("/A")
    return "10-KSB" if bare.startswith("10-KSB") else bare[:4]


def _header_cover(header: Mapping[str, str]) -> Cover:
    """Return what the SGML header says."""
    sic = _SIC.search(header.get("STANDARD INDUSTRIAL CLASSIFICATION", ""))
    return Cover(
        cik=cik_digits(header.get("CENTRAL INDEX KEY", "")),
        company=header.get("COMPANY CONFORMED NAME") or None,
        # 0000 is EDGAR's way of saying that none was assigned.
        sic=sic[1].zfill(4) if sic and int(sic[1]) else None,
        period_end=compact_date(header.get("CONFORMED PERIOD OF REPORT", "")),
        filed=compact_date(header.get("FILED AS OF DATE", "")),
    )
