"""Measures the filings room against oracles: `python -m onward.pipelines.filings.accuracy RAW_FOLDER ORACLES_FOLDER`.

Each filing of the folder goes through the five stages, and what comes out is held against whatever oracle files are
there; any of them may be missing. The number to look at is `silent_wrong`: items that the room is sure of and an oracle
of high trust contradicts. Exit code 1 when it is not 0. What right and wrong mean is `oracles.py`'s to say.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from onward.errors import ItemError
from onward.pipelines.filings import oracles
from onward.pipelines.filings.clean import clean
from onward.pipelines.filings.extract import extract
from onward.pipelines.filings.oracles import Agreement, Finding
from onward.pipelines.filings.parse import parse
from onward.pipelines.filings.sanitize import sanitize
from onward.pipelines.filings.segment import segment

_COMPRESSIONS = (".gz", ".xz", ".zst")
_CURRENT_REPORTS = "raw_8k.tar.xz"


@dataclass(frozen=True, slots=True)
class StoredFiling:
    """A file of the folder, in the shape in which the first stage takes it."""

    key: str
    data: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.key.rpartition("/")[2]

    @property
    def sha256(self) -> str:
        """Digest of its bytes."""
        return "sha256:" + hashlib.sha256(self.data).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Number of its bytes."""
        return len(self.data)

    def read_bytes(self) -> bytes:
        """Return its bytes."""
        return self.data


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one filing: a result, or the reason why there is none."""

    name: str
    result: dict[str, Any] | None
    reason: str
    elapsed_s: float


def filing_of(item: StoredFiling) -> dict[str, Any]:
    """Run the five stages on one filing."""
    return segment(clean(extract(parse(sanitize(item)))), {"document_text": True})


def _attempt(item: StoredFiling) -> Outcome:
    name = _plain_name(item.name)
    started = time.perf_counter()
    try:
        result, reason = filing_of(item), ""
    except ItemError as error:
        result, reason = None, f"{error.slug}: {error}"
    return Outcome(name, result, reason, time.perf_counter() - started)


def measure(raw: Path, truth: Path, *, limit: int | None = None, workers: int = 2) -> dict[str, Any]:
    """Return all figures, with every disagreement listed.

    Args:
        raw: Folder of filings; `raw_8k.tar.xz` inside or beside it is taken too.
        truth: Folder of oracle files.
        limit: Take only the first so many filings, and as many current reports.
        workers: Processes, 1 or 2.
    """
    seen = _Findings(_load_all(truth))
    counts: Counter[str] = Counter()
    outcomes: list[dict[str, Any]] = []
    with ProcessPoolExecutor(max_workers=max(1, min(workers, 2))) as pool:
        for outcome in pool.map(_attempt, _filings(raw, limit), chunksize=1):
            status = outcome.result["validation"]["status"] if outcome.result else "refused"
            counts[status] += 1
            outcomes.append(
                {
                    "file": outcome.name,
                    "status": status,
                    "reason": outcome.reason,
                    "elapsed_s": round(outcome.elapsed_s, 3),
                }
            )
            seen.add(outcome)
    return {"filings": dict(counts), **seen.figures(), "outcomes": outcomes}


class _Findings:
    """Gathers what every oracle says, filing by filing, so that no result has to be kept."""

    def __init__(self, truth: Mapping[str, Mapping[str, Any]]) -> None:
        self.truth = truth
        self.cover: list[Finding] = []
        self.hand: list[Finding] = []
        self.service: list[Finding] = []
        self.lengths: list[Finding] = []
        self.reports: list[Agreement] = []
        self.sure = self.claims = 0

    def add(self, outcome: Outcome) -> None:
        """Hold one filing against every oracle that knows it."""
        name, result = outcome.name, outcome.result
        report = self.truth["items_8k"].get(name)
        if report is not None:
            self.reports.extend(oracles.current_report_agreements(name, result, report))
        if result is None:
            known = [oracle for oracle in ("cover_facts", "items_hand") if name in self.truth[oracle]]
            self.cover.extend(
                Finding(file=name, what="filing", is_right=False, detail=f"refused: {outcome.reason}")
                for _ in known[:1]
            )
            return
        self.claims += len(result["items"])
        self.sure += sum(oracles.is_sure(result, item) for item in result["items"])
        facts = self.truth["cover_facts"].get(name)
        if facts is not None:
            self.cover.extend(oracles.cover_findings(name, result, facts["facts"]))
        for oracle, compare, found in (
            ("items_hand", oracles.hand_findings, self.hand),
            ("items_sections_service", oracles.service_findings, self.service),
            ("items_other_parser", oracles.length_findings, self.lengths),
        ):
            stated = self.truth[oracle].get(name)
            if stated is not None:
                found.extend(compare(name, result, stated))

    def figures(self) -> dict[str, Any]:
        """Return the figures of everything gathered."""
        silent = oracles.silently_wrong(self.hand)
        found = [agreement for agreement in self.reports if agreement.is_found]
        return {
            "silent_wrong": len(silent),
            "sure": {"items": self.claims, "sure": self.sure},
            "cover_facts": _share(self.cover),
            "items_hand": _share(self.hand),
            "current_reports": {
                "items": len(self.reports),
                "found": len(found),
                "recall": _mean([agreement.recall for agreement in found]),
                "precision": _mean([agreement.precision for agreement in found]),
                "agreement": _mean([agreement.score for agreement in found]),
                "below_0.8": [asdict(a) for a in self.reports if a.score < 0.8],
            },
            "service": _share(self.service),
            "other_parser": _share(self.lengths),
            "silent": [asdict(finding) for finding in silent],
        }


def _share(findings: Sequence[Finding]) -> dict[str, Any]:
    bad = oracles.wrong(findings)
    return {
        "stated": len(findings),
        "right": len(findings) - len(bad),
        "wrong": [asdict(finding) for finding in bad],
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _filings(raw: Path, limit: int | None) -> Iterator[StoredFiling]:
    """Yield the filings of the folder in the order of their names, then the current reports."""
    paths = sorted(path for path in raw.rglob("*") if path.is_file() and not path.name.endswith(".tar.xz"))
    for path in paths[:limit]:
        yield StoredFiling(path.relative_to(raw).as_posix(), path.read_bytes())
    places = (raw / _CURRENT_REPORTS, raw.parent / _CURRENT_REPORTS)
    archive = next((place for place in places if place.is_file()), None)
    if archive is None:
        return
    with tarfile.open(archive, "r:xz") as tar:
        taken = 0
        for member in tar:
            stream = tar.extractfile(member) if member.isfile() else None
            if stream is not None and (limit is None or taken < limit):
                taken += 1
                yield StoredFiling(member.name, stream.read())


def _plain_name(name: str) -> str:
    """Return a file's name as the oracles have it: without the suffix of its compression."""
    for suffix in _COMPRESSIONS:
        name = name.removesuffix(suffix)
    return name


def _load_all(truth: Path) -> dict[str, dict[str, Any]]:
    """Read the oracle files; a missing one knows no filing."""
    loaded: dict[str, dict[str, Any]] = {}
    for name in ("cover_facts", "items_hand", "items_sections_service", "items_other_parser"):
        path = truth / f"{name}.json"
        loaded[name] = json.loads(path.read_text(encoding="utf-8"))["filings"] if path.is_file() else {}
    path = truth / "items_8k.jsonl.gz"
    loaded["items_8k"] = {}
    if path.is_file():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            loaded["items_8k"] = {row["filename"]: row for row in map(json.loads, lines)}
    return loaded


def render(figures: Mapping[str, Any]) -> str:
    """Return the figures as text for a person."""
    lines = [f"{'silent wrong':<22}{figures['silent_wrong']}"]
    lines.append(f"{'filings':<22}" + ", ".join(f"{n} {status}" for status, n in sorted(figures["filings"].items())))
    lines.append(f"{'items':<22}{figures['sure']['sure']} of {figures['sure']['items']} sure")
    reports = figures["current_reports"]
    for name, title in (
        ("cover_facts", "cover facts"),
        ("items_hand", "items by hand"),
        ("service", "section service"),
        ("other_parser", "other parser"),
    ):
        share = figures[name]
        percent = f" ({share['right'] / share['stated']:.2%})" if share["stated"] else ""
        lines.append(f"{title:<22}{share['right']} of {share['stated']}{percent}")
    if reports["items"]:
        lines.append(
            f"{'8-K items':<22}{reports['found']} of {reports['items']} found "
            f"({reports['found'] / reports['items']:.2%}), "
            f"agreement {reports['agreement']} (recall {reports['recall']}, precision {reports['precision']})"
        )
    for name in ("cover_facts", "items_hand", "service", "other_parser"):
        for finding in figures[name]["wrong"]:
            mark = "SURE " if finding["is_sure"] else ""
            lines.append(f"  {name}: {mark}{finding['file']} {finding['what']}: {finding['detail']}")
    lines.extend(
        f"  8-K: {a['file']} item {a['item']}: "
        + (f"recall {a['recall']:.2f}, precision {a['precision']:.2f}" if a["is_found"] else "not found")
        for a in reports["below_0.8"]
    )
    lines.extend(f"  refused: {o['file']}: {o['reason']}" for o in figures["outcomes"] if o["status"] == "refused")
    elapsed = [outcome["elapsed_s"] for outcome in figures["outcomes"]]
    lines.append(f"{'time':<22}{sum(elapsed):.1f} s in all, {max(elapsed, default=0.0):.2f} s the slowest filing")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a sure claim is contradicted."""
    parser = argparse.ArgumentParser(prog="python -m onward.pipelines.filings.accuracy", description=__doc__)
    parser.add_argument("raw", type=Path, help="folder of filings")
    parser.add_argument("oracles", type=Path, help="folder of oracle files")
    parser.add_argument("--json", action="store_true", help="print everything as one JSON document")
    parser.add_argument("--limit", type=int, help="take only the first so many filings")
    parser.add_argument("--workers", type=int, default=2, choices=(1, 2))
    given = parser.parse_args(arguments)
    figures = measure(given.raw, given.oracles, limit=given.limit, workers=given.workers)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n" if given.json else render(figures))
    return 1 if figures["silent_wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
