"""The forms this room takes, and the items of each: numbers, parts, titles, when they came and went, usual lengths.

What a form asks for is a table, kept here and nowhere else; how an item is found in a filing is for `detectors/`.
Instructions change: an item has the first and last filing date it is expected at, and a filing of another date may
still have it (early adopters, late filers), so dates only say what a missing item means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

__all__ = ["Form", "FormItem", "form_of"]

_WORD = re.compile(r"[a-z0-9]+")
_SMALL = frozenset(["and", "of", "the", "in", "on", "a", "s", "registrant", "company", "about", "with"])
_ALIKE = 0.6
_TITLE_CHARS = 170


@dataclass(frozen=True, slots=True, kw_only=True)
class FormItem:
    """One item of a form.

    Args:
        item: `"1A"`, `"5.02"`.
        part: `"I"` to `"IV"`, or None.
        title: The form's own wording, newest.
        wording: Regular expression for the beginnings of titles in all eras; a blank stands for anything between words.
        since: First filing date (ISO) at which a filing is expected to have it.
        until: Last one.
        chars: Usual lengths of the whole item when it is answered in place, from shortest to longest.
        is_optional: Whether a filing may leave it out where there is nothing to say.
        telling: Regular expression for words that hardly any other item's text has; empty where there are none such.
    """

    item: str
    part: str | None
    title: str
    wording: str
    since: str = ""
    until: str = "9999"
    chars: tuple[int, int] = (0, 100_000)
    is_optional: bool = False
    telling: str = ""

    @property
    def id(self) -> tuple[str | None, str]:
        """What tells it from the other items of its form; in a 10-Q the number alone does not."""
        return (self.part, self.item)

    def is_expected(self, filed: str) -> bool:
        """Whether a filing of the date `filed` (ISO, or empty when unknown) is expected to name it."""
        return not filed or self.since <= filed <= self.until

    def titled(self, text: str) -> re.Match[str] | None:
        """Match the beginning of `text` with the item's titles."""
        return _pattern(self.wording).match(text)

    def is_title(self, text: str) -> bool:
        """Whether `text` says the form's title for the item, and nothing much besides."""
        if len(text) > _TITLE_CHARS or text.rstrip()[-1:] in ".;," or self.titled(text) is None:
            return False
        said = {word for word in _WORD.findall(text.lower()) if word not in _SMALL}
        asked = {word for word in _WORD.findall(self.title.lower()) if word not in _SMALL}
        if not said or not asked:
            return False
        same = len(said & asked)
        return same >= _ALIKE * len(asked) and same >= _ALIKE * len(said)

    def goes_on(self, title: str, line: str) -> bool:
        """Whether a line below a title says more of the form's title, and nothing else."""
        said = {word for word in _WORD.findall(title.lower()) if word not in _SMALL}
        more = {word for word in _WORD.findall(line.lower()) if word not in _SMALL}
        return bool(more) and more <= set(_WORD.findall(self.title.lower())) - said


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form's items in order.

    Args:
        name: Family name (`"10-K"`); amendments and variants belong to a family.
        items: In the form's order.
        is_menu: Whether a filing names only the items that it reports (8-K).
        has_servicing_items: Whether items of Regulation AB (1112 and up) are among them.
    """

    name: str
    items: tuple[FormItem, ...]
    is_menu: bool = False
    has_servicing_items: bool = False

    def named(self, item: str) -> tuple[FormItem, ...]:
        """Return the items with this number: two in a 10-Q, one elsewhere, none when the form has no such item."""
        return tuple(entry for entry in self.items if entry.item == item)


@lru_cache(maxsize=256)
def _pattern(wording: str) -> re.Pattern[str]:
    spaced = wording.replace(" ", r"[\W_]{1,6}").replace("~", r"[\W_]{0,4}")
    return re.compile(rf"[\W_]{{0,6}}(?:{spaced})", re.IGNORECASE)


_OPTIONAL = {
    "1B": r"unresolved (?:staff )?comments",
    "8B": "10b5-1",
    "9B": "10b5-1|trading arrangement",
    "9C": "",
    "16": "10-k summary",
}


def _k(
    item: str, part: str, title: str, wording: str, chars: tuple[int, int], era: tuple[str, str] = ("", "9999")
) -> FormItem:
    return FormItem(
        item=item,
        part=part,
        title=title,
        wording=wording,
        chars=chars,
        since=era[0],
        until=era[1],
        is_optional=item in _OPTIONAL,
        telling=_OPTIONAL.get(item, ""),
    )


_FREE = "removed and reserved|reserved|intentionally (?:omitted|left blank)|removed|omitted|not used"
_MARKET = "market for|market price|markets? and|common stock|stock market|price range|registrant~s common"
_CHANGES = "changes? in and|changes? in|changes? and|disagreements"
_SUBMISSION = f"submissions? of|mine safety|results of votes|{_FREE}"
_CONTROLS = "controls? and|disclosure controls|evaluation of|internal controls?|management~s report on"
_CERTAIN = (
    "certain relationships?|certain transactions|relationships? and|related (?:party )?transactions|transactions with"
    "|interest of management"
)
_OWNERSHIP = "security ownership|ownership of|stock ownership|beneficial ownership|principal (?:stock|share)holders"
_PAY = "executive|management (?:remuneration|compensation)|compensation|remuneration|directors? compensation"
_BOARD = (
    "directors|executive officers|identification of|information (?:about|regarding|concerning)|management"
    "|board of directors"
)
_FEES = "principal account|principal (?:auditor|independent)|auditor~?s?~? fees|independent|fees|accountant"
_EXHIBITS = "exhibits?|financial statements?,? (?:and )?schedules?|financial statements|index to|list of"
_MDA = "management~s?~? ?discussion|management discussion|discussion and analysis|plan of operation|managements"
_RISK = "risk factors|factors|certain (?:risk )?factors|executive officers|risks|cautionary"
_PROPERTY = "(?:description of )?(?:the )?(?:our )?propert(?:y|ies)"
_LEGAL = "legal proceedings?|litigation|legal matters"
_STATEMENTS = (
    "(?:consolidated |condensed |unaudited |interim |index to ){0,4}financial (?:statements?|information)"
    "|consolidated (?:balance|condensed)"
)
_MARKET_RISK = "quantitative|qualitative|market risk|disclosures? about|disclosures? of"

_10_K = Form(
    name="10-K",
    items=(
        _k(
            "1",
            "I",
            "Business",
            "(?:description of )?(?:the )?(?:our )?(?:company~s? )?business|general",
            (1_000, 600_000),
        ),
        _k("1A", "I", "Risk Factors", _RISK, (15, 900_000), ("2005-12-01", "9999")),
        _k("1B", "I", "Unresolved Staff Comments", "unresolved|staff comments?", (15, 3_000), ("2005-12-01", "9999")),
        _k("1C", "I", "Cybersecurity", "cyber~security", (15, 40_000), ("2023-12-15", "9999")),
        _k("2", "I", "Properties", _PROPERTY, (15, 120_000)),
        _k("3", "I", "Legal Proceedings", _LEGAL, (15, 80_000)),
        _k("4", "I", "Mine Safety Disclosures", _SUBMISSION, (10, 20_000)),
        _k(
            "5",
            "II",
            "Market for Registrant's Common Equity, Related Stockholder Matters and"
            " Issuer Purchases of Equity Securities",
            _MARKET,
            (30, 50_000),
        ),
        _k(
            "6",
            "II",
            "Selected Financial Data",
            f"(?:selected|consolidated selected|five.year|financial|summary|{_FREE})",
            (10, 40_000),
        ),
        _k(
            "7",
            "II",
            "Management's Discussion and Analysis of Financial Condition and Results of Operations",
            _MDA,
            (800, 900_000),
        ),
        _k(
            "7A",
            "II",
            "Quantitative and Qualitative Disclosures About Market Risk",
            _MARKET_RISK,
            (15, 80_000),
            ("1998-06-01", "9999"),
        ),
        _k(
            "8", "II", "Financial Statements and Supplementary Data", _STATEMENTS + "|supplementary", (1_200, 3_000_000)
        ),
        _k(
            "9",
            "II",
            "Changes in and Disagreements with Accountants on Accounting and Financial Disclosure",
            _CHANGES,
            (15, 12_000),
        ),
        _k("9A", "II", "Controls and Procedures", _CONTROLS, (60, 40_000), ("2003-08-15", "9999")),
        _k("9B", "II", "Other Information", "other", (10, 25_000), ("2004-08-23", "9999")),
        _k(
            "9C",
            "II",
            "Disclosure Regarding Foreign Jurisdictions that Prevent Inspections",
            "disclosures? (?:regarding|about|concerning)|foreign jurisdictions",
            (10, 10_000),
            ("2022-01-10", "9999"),
        ),
        _k("10", "III", "Directors, Executive Officers and Corporate Governance", _BOARD, (30, 200_000)),
        _k("11", "III", "Executive Compensation", _PAY, (30, 400_000)),
        _k(
            "12",
            "III",
            "Security Ownership of Certain Beneficial Owners and Management and Related Stockholder Matters",
            _OWNERSHIP,
            (30, 80_000),
        ),
        _k(
            "13",
            "III",
            "Certain Relationships and Related Transactions, and Director Independence",
            _CERTAIN,
            (15, 80_000),
        ),
        _k("14", "III", "Principal Accountant Fees and Services", f"{_FEES}|{_EXHIBITS}|{_CONTROLS}", (30, 900_000)),
        _k(
            "15",
            "IV",
            "Exhibits and Financial Statement Schedules",
            f"{_EXHIBITS}|{_FEES}",
            (60, 2_000_000),
            ("2002-10-01", "9999"),
        ),
        _k(
            "16",
            "IV",
            "Form 10-K Summary",
            f"form 10~k summary|summary|{_EXHIBITS}|{_FEES}|none",
            (10, 60_000),
            ("2016-08-01", "9999"),
        ),
    ),
)

_10_KSB = Form(
    name="10-KSB",
    items=(
        _k(
            "1",
            "I",
            "Description of Business",
            "(?:description of )?(?:the )?(?:our )?business|general",
            (500, 400_000),
        ),
        _k("1A", "I", "Risk Factors", _RISK, (15, 400_000), ("9999", "9999")),
        _k("1B", "I", "Unresolved Staff Comments", "unresolved|staff comments?", (15, 3_000), ("9999", "9999")),
        _k("2", "I", "Description of Property", _PROPERTY, (15, 60_000)),
        _k("3", "I", "Legal Proceedings", _LEGAL, (15, 60_000)),
        _k("4", "I", "Submission of Matters to a Vote of Security Holders", _SUBMISSION, (10, 20_000)),
        _k("5", "II", "Market for Common Equity and Related Stockholder Matters", _MARKET, (30, 50_000)),
        _k("6", "II", "Management's Discussion and Analysis or Plan of Operation", f"{_MDA}|selected", (100, 200_000)),
        _k("7", "II", "Financial Statements", _STATEMENTS, (1_200, 900_000)),
        _k(
            "8",
            "II",
            "Changes in and Disagreements with Accountants on Accounting and Financial Disclosure",
            _CHANGES,
            (15, 12_000),
        ),
        _k("8A", "II", "Controls and Procedures", _CONTROLS, (60, 30_000), ("2003-08-15", "9999")),
        _k("8B", "II", "Other Information", "other", (10, 25_000), ("2004-08-23", "9999")),
        _k(
            "9",
            "III",
            "Directors, Executive Officers, Promoters, Control Persons and Corporate Governance",
            _BOARD,
            (30, 100_000),
        ),
        _k("10", "III", "Executive Compensation", _PAY, (30, 150_000)),
        _k("11", "III", "Security Ownership of Certain Beneficial Owners and Management", _OWNERSHIP, (30, 60_000)),
        _k(
            "12",
            "III",
            "Certain Relationships and Related Transactions, and Director Independence",
            _CERTAIN,
            (15, 60_000),
        ),
        _k("13", "III", "Exhibits", f"{_EXHIBITS}|reports on", (30, 600_000)),
        _k(
            "14",
            "III",
            "Principal Accountant Fees and Services",
            f"{_FEES}|{_CONTROLS}",
            (30, 60_000),
            ("2003-12-15", "9999"),
        ),
    ),
)


def _q(
    item: str, part: str, title: str, wording: str, chars: tuple[int, int], era: tuple[str, str] = ("", "9999")
) -> FormItem:
    """Make an item of a 10-Q; what has nothing to report may be left out of Part II."""
    told = _TELLING.get(item, "") if part == "II" else ""
    return replace(_k(item, part, title, wording, chars, era), telling=told, is_optional=part == "II" and item != "6")


_TELLING = {
    "1": r"legal proceedings|litigation|lawsuits?",
    "1A": r"risk factors",
    "2": r"repurchase|unregistered|use of proceeds|shares purchased",
    "3": r"\bdefaults?\b",
    "4": r"mine safety|vote of (?:security|share|stock)|annual meeting",
    "5": r"10b5-1|trading arrangement|other information",
}
_10_Q = Form(
    name="10-Q",
    items=(
        _q("1", "I", "Financial Statements", _STATEMENTS, (1_200, 2_000_000)),
        _q(
            "2",
            "I",
            "Management's Discussion and Analysis of Financial Condition and Results of Operations",
            _MDA,
            (500, 600_000),
        ),
        _q(
            "3",
            "I",
            "Quantitative and Qualitative Disclosures About Market Risk",
            _MARKET_RISK,
            (15, 60_000),
            ("1998-06-01", "9999"),
        ),
        _q("4", "I", "Controls and Procedures", _CONTROLS, (60, 30_000), ("2002-10-01", "9999")),
        _q("1", "II", "Legal Proceedings", _LEGAL, (15, 80_000)),
        _q("1A", "II", "Risk Factors", _RISK, (15, 600_000), ("2005-12-01", "9999")),
        _q(
            "2",
            "II",
            "Unregistered Sales of Equity Securities and Use of Proceeds",
            "unregistered|changes? in|recent sales|issuer purchases|purchases? of|repurchases?|share repurchases?"
            "|use of proceeds|sales? of",
            (15, 20_000),
        ),
        _q("3", "II", "Defaults Upon Senior Securities", "defaults?", (10, 8_000)),
        _q("4", "II", "Mine Safety Disclosures", _SUBMISSION, (10, 20_000)),
        _q("5", "II", "Other Information", "other", (10, 30_000)),
        _q("6", "II", "Exhibits", f"{_EXHIBITS}|reports on", (30, 12_000)),
    ),
)


_EXHIBIT_LIST = r"^\(?[cd][).]{1,2}\s{0,3}exhibits?\b|^exhibit\s+(?:no\b|number|index|\d+\.\d)|^(?:99\.\d|104)\s"


def _m(item: str, title: str, wording: str, telling: str = "") -> FormItem:
    return FormItem(item=item, part=None, title=title, wording=wording, chars=(15, 300_000), telling=telling)


_8_K = Form(
    name="8-K",
    is_menu=True,
    items=(
        _m(
            "1.01",
            "Entry into a Material Definitive Agreement",
            "entry into|entrance into|entering into|material definitive",
        ),
        _m("1.02", "Termination of a Material Definitive Agreement", "termination of"),
        _m("1.03", "Bankruptcy or Receivership", "bankruptcy"),
        _m("1.04", "Mine Safety - Reporting of Shutdowns and Patterns of Violations", "mine safety"),
        _m("1.05", "Material Cybersecurity Incidents", "material cyber|cyber"),
        _m("2.01", "Completion of Acquisition or Disposition of Assets", "completion of|acquisition or|acquisition"),
        _m("2.02", "Results of Operations and Financial Condition", "results of|disclosure of results"),
        _m("2.03", "Creation of a Direct Financial Obligation", "creation of"),
        _m("2.04", "Triggering Events That Accelerate or Increase a Direct Financial Obligation", "triggering"),
        _m("2.05", "Costs Associated with Exit or Disposal Activities", "costs? associated"),
        _m("2.06", "Material Impairments", "material impairments?|impairments?"),
        _m("3.01", "Notice of Delisting", "notice of|failure to"),
        _m("3.02", "Unregistered Sales of Equity Securities", "unregistered"),
        _m("3.03", "Material Modification to Rights of Security Holders", "material modifications?"),
        _m("4.01", "Changes in Registrant's Certifying Accountant", "changes? in"),
        _m("4.02", "Non-Reliance on Previously Issued Financial Statements", "non~reliance"),
        _m("5.01", "Changes in Control of Registrant", "changes? (?:in|of)"),
        _m(
            "5.02",
            "Departure of Directors or Certain Officers",
            "departures?|election|appointment|compensatory|resignation",
        ),
        _m("5.03", "Amendments to Articles of Incorporation or Bylaws", "amendments?|change in fiscal"),
        _m("5.04", "Temporary Suspension of Trading Under Employee Benefit Plans", "temporary"),
        _m("5.05", "Amendments to the Registrant's Code of Ethics", "amendments?|waiver|code of ethics"),
        _m("5.06", "Change in Shell Company Status", "changes? in"),
        _m("5.07", "Submission of Matters to a Vote of Security Holders", "submission"),
        _m("5.08", "Shareholder Director Nominations", "share~holder"),
        _m("6.01", "ABS Informational and Computational Material", "abs|asset"),
        _m("6.02", "Change of Servicer or Trustee", "change of|servicer"),
        _m("6.03", "Change in Credit Enhancement or Other External Support", "change in|credit"),
        _m("6.04", "Failure to Make a Required Distribution", "failure"),
        _m("6.05", "Securities Act Updating Disclosure", "securities"),
        _m("6.06", "Static Pool", "static"),
        _m("7.01", "Regulation FD Disclosure", "regulation|reg"),
        _m("8.01", "Other Events", "other|voluntary"),
        _m("9.01", "Financial Statements and Exhibits", "financial|exhibits?", telling=_EXHIBIT_LIST),
    ),
)

_8_K_OLD = Form(
    name="8-K",
    is_menu=True,
    items=(
        _m("1", "Changes in Control of Registrant", "changes? in"),
        _m("2", "Acquisition or Disposition of Assets", "acquisitions?|dispositions?"),
        _m("3", "Bankruptcy or Receivership", "bankruptcy"),
        _m("4", "Changes in Registrant's Certifying Accountant", "changes? in"),
        _m("5", "Other Events", "other|regulation fd|other materially"),
        _m("6", "Resignations of Registrant's Directors", "resignations?"),
        _m("7", "Financial Statements and Exhibits", "financial|exhibits?", telling=_EXHIBIT_LIST),
        _m("8", "Change in Fiscal Year", "changes? in"),
        _m("9", "Regulation FD Disclosure", "regulation|sales of equity|reg"),
        _m("10", "Amendments to the Registrant's Code of Ethics", "amendments?|code"),
        _m("11", "Temporary Suspension of Trading Under Employee Benefit Plans", "temporary"),
        _m("12", "Results of Operations and Financial Condition", "results|disclosure of"),
    ),
)


_ABS = (
    ("1112(b)", "Significant Obligors of Pool Assets", "significant obligors?|financial information"),
    ("1114(b)(2)", "Credit Enhancement and Other Support", "credit enhancement|significant enhancement"),
    ("1115(b)", "Certain Derivatives Instruments", "certain derivatives?|derivatives?"),
    ("1117", "Legal Proceedings", "legal proceedings"),
    ("1119", "Affiliations and Certain Relationships and Related Transactions", "affiliations"),
    ("1122", "Compliance with Applicable Servicing Criteria", "compliance with|report on assessment"),
    ("1123", "Servicer Compliance Statement", "servicer compliance"),
)
_REGULATION_AB = "(?:of |under )?(?:sec )?regulation ab"
_10_K_ABS = Form(
    name="10-K of asset-backed securities",
    has_servicing_items=True,
    items=(
        # Hardly any of the usual items is more than a word here, the statements among them.
        *(
            replace(entry, since="9999", is_optional=True, chars=(10, entry.chars[1]))
            for entry in _10_K.items
            if entry.part != "IV"
        ),
        *(
            FormItem(
                item=item,
                part=None,
                title=title,
                wording=f"(?:{_REGULATION_AB}~)?(?:{wording})|{_REGULATION_AB}",
                since="9999",
                chars=(10, 60_000),
                is_optional=True,
            )
            for item, title, wording in _ABS
        ),
        *(replace(entry, is_optional=True) for entry in _10_K.items if entry.part == "IV"),
    ),
)
"""General Instruction J: the report of an issuer of asset-backed securities names items of Regulation AB instead."""


def form_of(name: str | None) -> tuple[Form, ...]:
    """Return the catalogues that a filing of the form `name` may follow; empty when the room does not take the form.

    Two for an 8-K: items were renumbered in August 2004, and the numbers in the filing say which it follows. Two for a
    10-K: the second is for those alone that name items of Regulation AB.
    """
    stated = re.sub(r"[\s-]", "", name or "").upper().removesuffix("/A")
    if stated.startswith("10KSB"):
        return (_10_KSB,)
    if stated in {"10K", "10K405", "10KT", "10KT405"}:
        return (_10_K, _10_K_ABS)
    if stated == "10Q":
        return (_10_Q,)
    if stated == "8K":
        return (_8_K, _8_K_OLD)
    return ()
