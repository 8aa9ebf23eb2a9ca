"""What others did counts as done: results that a shared manifest tells of become versions in the local ledger.

A result is adopted where the bytes of its input are those that stand here today. The local ledger wins where it
already has a success for that fingerprint. Finding reads inputs and writes nothing, so that a plan says the same as a
run; what is found is then written into a transaction, or into `Supposed`, a ledger that only a plan sees. Whether an
adopted result is still what a run would make today is for the plan to decide, as for any other. What goes back into
the manifest is in `manifest_exchange.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple, Protocol

from onward import clock
from onward.disk.hashing import hash_file
from onward.engine.recipe_book import Rows, put_recipe
from onward.engine.run import Request
from onward.engine.sink import Sink
from onward.engine.source import Entry, ScanProblem, Source
from onward.ledger.base import Mark, Reader, SignatureRow
from onward.model.config import is_secret
from onward.model.fingerprint import Recipe
from onward.model.reason import REOPENED, Reason
from onward.model.record import (
    Attempt,
    Container,
    Item,
    Known,
    RecipeRow,
    Row,
    Version,
    to_blob,
    to_digest,
)
from onward.model.shared_entry import SharedEntry
from onward.model.states import ItemState, Outcome

_AT_ONCE = 512
_DIGEST = re.compile(r"[a-z0-9-]+:(?:[0-9a-f]{2})+")
_ANSWERS = ("PASS", "WARN", "FAIL")


class AdoptionRows(Rows, Protocol):
    """Where adoptions are written: a transaction, or `Supposed`."""

    def drop_signature(self, container_id: int | None = None) -> None:
        """Forget the cached look at a container."""


class Adoption(NamedTuple):
    """One result of somebody else that counts as done here.

    Attributes:
        key: The item.
        container: Key of its container.
        known: What the ledger has of it, or None.
        shared: What the manifest tells.
        recipe: How it was made.
        input_size: Bytes of the input as it is here.
        input_mtime_ns: Its modification time.
        output: Path relative to the output folder, where it would stand.
        digest: Digest of the output.
        size_bytes: Bytes of the output; 0 where nobody said.
        mtime_ns: Of the output; 0 where it is not here, or is not what was recorded.
        is_here: Something stands at its place.
    """

    key: str
    container: str
    known: Known | None
    shared: SharedEntry
    recipe: Recipe
    input_size: int
    input_mtime_ns: int
    output: str
    digest: str
    size_bytes: int
    mtime_ns: int
    is_here: bool


class Wanted(NamedTuple):
    """What a manifest offers for a key, beside what is known of it here."""

    shared: SharedEntry
    recipe: Recipe
    known: Known | None


def find_adoptions(
    source: Source, sink: Sink, request: Request, offered: Mapping[str, Wanted]
) -> list[Adoption]:
    """Return what can be adopted of what is offered; reads inputs, a few at a time, and those outputs that are here.

    Args:
        source: Where items come from; an offer for what it does not list is left alone.
        sink: Where outputs stand; attached or prepared.
        request: What the run is told.
        offered: By item key.
    """
    found: list[Adoption] = []
    if not offered:
        return found
    for listing in source.scan(request.place, leave_out=request.leave_out):
        if isinstance(listing, ScanProblem):
            continue
        entries = (entry for entry in listing.entries() if entry.problem is None and entry.key in offered)
        while part := list(islice(entries, _AT_ONCE)):
            for entry, content in zip(part, source.hash(request.place, part), strict=True):
                if content == offered[entry.key].shared.content:
                    made = _adoption(entry, listing.key, offered[entry.key], sink, request)
                    if made is not None:
                        found.append(made)
    return found


def _adoption(entry: Entry, container: str, wanted: Wanted, sink: Sink, request: Request) -> Adoption | None:
    output = sink.output_of(entry.key)
    try:
        looked = os.stat(os.path.join(os.fsencode(request.place), entry.locator))
    except OSError:
        return None
    path = os.path.join(request.out, output)
    recorded = wanted.shared.output_hash
    recorded = recorded if recorded is not None and _DIGEST.fullmatch(recorded) else None
    size_bytes, mtime_ns, is_here = wanted.shared.output_size or 0, 0, False
    try:
        there = os.stat(path)
        is_here = True
        stands = hash_file(path)
        if recorded in (None, stands):
            recorded, size_bytes, mtime_ns = stands, there.st_size, there.st_mtime_ns
    except OSError:
        pass
    if recorded is None:
        return None  # neither the output nor its digest is here: nothing could ever tell whether it is the right one
    return Adoption(
        entry.key, container, wanted.known, wanted.shared, wanted.recipe, looked.st_size, looked.st_mtime_ns, output,
        recorded, size_bytes, mtime_ns, is_here,
    )


def is_wanted(
    shared: SharedEntry, recipe: Recipe, known: Known | None, today: Recipe, past: Mapping[int, Recipe]
) -> bool:
    """Say whether a result would be adopted if the input's bytes are those that it was made from.

    Args:
        shared: What the manifest tells; a success.
        recipe: How it was made.
        known: What the ledger has of its key.
        today: How it would be made today.
        past: The recipes of the ledger.
    """
    if known is None or known.item.state == ItemState.GONE:
        return True
    is_current = recipe.difference(today) is None
    is_same = known.last_content is not None and to_digest(known.last_content) == shared.content
    if not is_same:
        return is_current
    if shared.code is None:
        return False  # it would count as made as today for ever, whatever changes in the code
    local = None if known.last_recipe_id is None else past.get(known.last_recipe_id)
    match known.item.state:
        case ItemState.SUCCEEDED:
            return is_current and local is not None and local.difference(today) is not None
        case ItemState.PENDING:
            return is_current and known.item.note not in REOPENED
        case _:
            return is_current and known.item.note != Reason.DISCARDED


def recipe_of(shared: SharedEntry, today: Recipe, parts: Mapping[str, object] | None) -> Recipe | None:
    """Return how a result was made; None when it is not known.

    Args:
        shared: What the manifest tells. An entry of a program without fingerprints counts as made as today.
        today: The recipe of today.
        parts: What the manifest has for the digests of the entry.
    """
    if shared.code is None or shared.config is None:
        return without_secrets(today)
    if parts is None:
        return None
    steps, depends, config = parts.get("steps"), parts.get("depends"), parts.get("config")
    try:
        recipe = Recipe(steps=dict(steps), depends=dict(depends), config=dict(config))  # type: ignore[call-overload]
        is_same = (recipe.code_digest, recipe.config_digest) == (shared.code, shared.config)
    except (TypeError, ValueError):
        return None
    return recipe if is_same else None


def without_secrets(recipe: Recipe) -> Recipe:
    """Return a recipe as the ledger may have it."""
    config = {name: value for name, value in recipe.config.items() if not is_secret(name)}
    return Recipe(steps=recipe.steps, depends=recipe.depends, config=config)


def write_adoptions(
    adoptions: Iterable[Adoption], rows: AdoptionRows, book: AdoptionBook, run_id: int, now: int
) -> None:
    """Write adoptions: an attempt that succeeded because it was adopted, its version, and where the item stands now."""
    for one in adoptions:
        if one.known is not None:
            # What was seen at its output was its own result of before, and is not what was adopted.
            rows.drop_signature(one.known.item.container_id)
        item = one.known.item if one.known is not None else book.new_item(one, rows)
        serial = item.serial + 1
        content = to_blob(str(one.shared.content))
        recipe_id = book.recipe_id(one.recipe, rows)
        validation = one.shared.validation if one.shared.validation in _ANSWERS else "PASS"
        version = Version(
            item.id, serial, now, one.shared.recorded_at or now, content, recipe_id, one.input_size,
            one.input_mtime_ns, one.output, to_blob(one.digest), one.size_bytes, one.mtime_ns, str(validation),
        )
        outcome = Outcome.SUCCEEDED.value
        after = item._replace(
            state=ItemState.SUCCEEDED.value, version=serial, serial=serial, tries=0, lost=0, retry_at=None,
            note=None if one.is_here else Reason.ADOPTED.value, content=None, recipe_id=None,
        )
        if one.known is None:
            rows.put(item)
        rows.put(Attempt(item.id, serial, run_id, 1, now, now, outcome, content, recipe_id, None, Reason.ADOPTED.value))
        rows.put(version)
        rows.put(after)


class AdoptionBook:
    """The containers and recipes of a job, which adoptions share."""

    def __init__(self, reader: Reader, job_id: int) -> None:
        self._job_id = job_id
        self._containers = {row.key: row.id for row in reader.containers(job_id)}
        self._recipes = {(row.code, row.config): row.id for row in reader.recipes(job_id)}

    def new_item(self, one: Adoption, rows: Rows) -> Item:
        """Return a row for an item that was never seen."""
        container_id = self._containers.get(one.container)
        if container_id is None:
            container_id = self._containers[one.container] = rows.allocate("container")
            rows.put(Container(container_id, self._job_id, one.container))
        return Item(
            rows.allocate("item"), self._job_id, container_id, one.key, ItemState.PENDING.value, None, 0, 0, 0, None,
            None, None, None,
        )

    def recipe_id(self, recipe: Recipe, rows: Rows) -> int:
        """Return the row of a recipe, which is written where it is new."""
        return put_recipe(recipe, self._job_id, self._recipes, rows)


class Supposed:
    """A ledger as it would be after adoptions: what a plan asks, and nothing else. It writes nothing.

    Args:
        reader: The ledger as it is.
        job_id: The job; any number where it is new.
    """

    def __init__(self, reader: Reader, job_id: int) -> None:
        self._reader = reader
        self._job_id = job_id
        self._last = -1
        self._recipes: list[RecipeRow] = []
        self._containers: list[Container] = []
        self._items: dict[str, Item] = {}
        self._versions: dict[int, Version] = {}
        self._forgotten: set[int | None] = set()

    def put(self, row: Row) -> None:
        """Suppose a row."""
        match row:
            case RecipeRow():
                self._recipes.append(row)
            case Container():
                self._containers.append(row)
            case Item():
                self._items[row.key] = row
            case Version():
                self._versions[row.item_id] = row
            case _:
                pass  # no plan asks for it

    def allocate(self, table: str) -> int:
        """Return an id that no real row has."""
        self._last -= 1
        return self._last

    def drop_signature(self, container_id: int | None = None) -> None:
        """Suppose that the cached look at a container is forgotten."""
        self._forgotten.add(container_id)

    def recipes(self, job_id: int) -> list[RecipeRow]:
        """Return every recipe."""
        return [*self._reader.recipes(job_id), *self._recipes]

    def containers(self, job_id: int) -> list[Container]:
        """Return the containers, by key."""
        return sorted([*self._reader.containers(job_id), *self._containers], key=lambda row: row.key)

    def known(self, job_id: int, key: str) -> Known | None:
        """Return one item with its current version."""
        item = self._items.get(key)
        return self._reader.known(job_id, key) if item is None else Known(item, self._versions[item.id])

    def known_in(self, container_id: int) -> Iterator[Known]:
        """Return the items of a container."""
        supposed = {key: item for key, item in self._items.items() if item.container_id == container_id}
        if container_id >= 0:
            yield from (known for known in self._reader.known_in(container_id) if known.item.key not in supposed)
        yield from (Known(item, self._versions[item.id]) for item in supposed.values())

    def mark(self, container_id: int) -> Mark | None:
        """Return the mark of the cached look at a container."""
        return self._reader.mark(container_id) if self._is_remembered(container_id) else None

    def signature(self, container_id: int) -> SignatureRow | None:
        """Return the cached look at a container."""
        return self._reader.signature(container_id) if self._is_remembered(container_id) else None

    def _is_remembered(self, container_id: int) -> bool:
        return container_id >= 0 and container_id not in self._forgotten

    def last_counts(self, job_id: int) -> str | None:
        """Return the counts of the last run that has any."""
        return self._reader.last_counts(job_id)

    def adopt(self, adoptions: Iterable[Adoption]) -> None:
        """Suppose that these were adopted."""
        write_adoptions(adoptions, self, AdoptionBook(self._reader, self._job_id), 0, clock.now())
