"""Compare what is there with what the ledger knows; every decision carries its reason.

`plan` and `run` walk the same generator, so whatever a plan says is what a run does. An item is looked up only where
something about it moved; bytes are read only where a signature moved. The rule itself is `model/decide.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from onward.engine.scan import NOTHING_CACHED, Cached, ContainerState, Moved, Unmoved, scan, serve
from onward.engine.sink import Sink
from onward.engine.source import Entry, NeverForgets, RecallsVersions, ScanProblem, Source
from onward.errors import InputUnreadable, OutputCollides
from onward.ledger.base import Reader
from onward.model.decide import Decision, Facts, decide
from onward.model.fingerprint import Recipe
from onward.model.item import BY_HAND, is_evidence
from onward.model.reason import REOPENED, Action, Reason, is_change
from onward.model.record import Item, Known, Version, to_digest
from onward.model.states import ItemState

if TYPE_CHECKING:
    from onward.disk.early_looks import EarlyLooks

_LOAD_WHOLE_FROM = 0.25
"""From this share of a container's items on, reading the whole container is cheaper than one look-up each."""

_AT_ONCE = 10_000
"""So many items of a new container are decided before the first of them is handed out."""

_LOOK_AHEAD_FROM = 2_000
"""From so many items on, a second process that looks at outputs earns what it costs."""


class Planned(NamedTuple):
    """One item that is not simply skipped: what to do, why, and what it takes to do it."""

    key: str
    decision: Decision
    entry: Entry | None
    known: Known | None
    container: ContainerState
    problem: str | None
    owns_output: bool = True


class PlanCounts:
    """How many items there are and what is to be done; filled while the plan is walked."""

    __slots__ = ("changed", "deleted", "discarded", "held", "new", "retried", "skipped", "total")

    def __init__(self) -> None:
        self.total = 0
        self.skipped = 0
        self.new = 0
        self.changed = 0
        self.retried = 0
        self.held = 0
        self.discarded = 0
        self.deleted = 0


class Wish(NamedTuple):
    """What a person asks of one run.

    A tuple, as all values are that a run makes at start, also one that finds nothing to do: to make the class of a
    dataclass takes half a millisecond, and there were twenty.

    Attributes:
        full: Process everything.
        force: Keys to process whatever is known of them.
        rehash: Read every input's bytes, whatever its signature says.
        prunes: Give a tombstone to what left the source.
        only_failed: Process nothing but what is failed or quarantined.
        requires_outputs: Make what was adopted anew where its output is not here.
    """

    full: bool = False
    force: frozenset[str] = frozenset()
    rehash: bool = False
    prunes: bool = False
    only_failed: bool = False
    requires_outputs: bool = False


class Today:
    """The recipe of today, and how each recipe of the past differs from it."""

    def __init__(self, recipe: Recipe, past: Mapping[int, Recipe]) -> None:
        self.recipe = recipe
        self._difference = {row_id: old.difference(recipe) for row_id, old in past.items()}

    def difference(self, recipe_id: int | None) -> str | None:
        """Say how a past recipe differs; None when it does not, or when there was none."""
        return None if recipe_id is None else self._difference.get(recipe_id)

    @property
    def stale(self) -> frozenset[int]:
        """The recipes of the past that are not today's."""
        return frozenset(row_id for row_id, difference in self._difference.items() if difference is not None)


class Plan:
    """One walk over a source.

    Attributes:
        expected: How many items the last run saw; 0 when nothing says.
        close_in_child: Lets go of the parent's locks in a child process.
        early: Looks that were begun before, or None.
        ready: Containers whose items are all decided and need no work, but whose memory changed.
        problems: Containers that could not be looked at.
        counts: Complete when the walk is.
    """

    def __init__(
        self,
        *,
        ledger: Reader,
        job_id: int,
        source: Source,
        sink: Sink,
        place: str,
        leave_out: Sequence[str],
        today: Today,
        wish: Wish,
        now: int,
        expected: int,
        close_in_child: Callable[[], None],
        early: EarlyLooks | None = None,
    ) -> None:
        self.ledger = ledger
        self.job_id = job_id
        self.source = source
        self.sink = sink
        self.place = place
        self.leave_out = leave_out
        self.today = today
        self.wish = wish
        self.now = now
        self.expected = expected
        self.close_in_child = close_in_child
        self.early = early
        self._recalls = source if isinstance(source, RecallsVersions) else None
        self.counts = PlanCounts()
        self.ready: list[ContainerState] = []
        self.problems: list[ScanProblem] = []

    def __iter__(self) -> Iterator[Planned]:
        """Walk the source once; yields every item that is not skipped as unchanged, container by container."""
        containers = {row.key: row.id for row in self.ledger.containers(self.job_id)} if self.job_id else {}
        left, early = list(containers), None
        if self.early is not None:
            self.early.end()
            if serve(self.source, self.sink):
                early = self.early
                left = [key for key in containers if early.glimpse(key.encode("utf-8", "surrogatepass")) is None]
        if self.expected * len(left) >= _LOOK_AHEAD_FROM * len(containers) > 0:
            self.sink.look_ahead(left, self.close_in_child)
        seen: set[str] = set()
        for found in scan(
            self.source,
            self.sink,
            self.place,
            leave_out=self.leave_out,
            marked=lambda key: self.ledger.mark(containers[key]) if key in containers else None,
            remembered=lambda key: self.ledger.signature(containers[key]) if key in containers else None,
            counted=lambda key: self.ledger.count_in(containers[key]),
            stale_recipes=self.today.stale,
            trusts_signatures=self._trusts(),
            early=early,
        ):
            if isinstance(found, ScanProblem):
                self.problems.append(found)
                seen.update(key for key in containers if key == found.key or key.startswith(found.key + "/"))
            elif isinstance(found, Unmoved):
                seen.add(found.key)
                self.counts.total += found.count
                self.counts.skipped += found.count
                yield from self._gone(ContainerState(found.key, containers[found.key]), found.gone)
            else:
                seen.add(found.listing.key)
                yield from self._look_into(found, containers.get(found.listing.key))
        if (by_hand := containers.get(BY_HAND)) is not None:
            seen.add(BY_HAND)
            self.counts.total += (count := self.ledger.count_in(by_hand))
            self.counts.skipped += count
        if isinstance(self.source, NeverForgets) and self.source.keeps_what_left:
            return
        for key, row_id in containers.items():
            if key not in seen and not (self.problems and any(p.key == "" for p in self.problems)):
                left = [k.item.key for k in self.ledger.known_in(row_id) if k.item.state != ItemState.GONE]
                yield from self._gone(self._vanished(key, row_id, left), left)

    def _vanished(self, key: str, row_id: int, left: Sequence[str]) -> ContainerState:
        """Return a container that is not there any more; that its items left is written down once."""
        state = ContainerState(key, row_id, gone=set(left))
        mark = self.ledger.mark(row_id)
        if left and (mark is None or json.loads(mark.gone) != sorted(left)):
            self._leave(state)
        return state

    def _look_into(self, moved: Moved, row_id: int | None) -> Iterator[Planned]:
        if row_id is not None and self._trusts() and moved.is_quiet() and moved.before is not None:
            few = moved.listing.moved_since(moved.before.inputs)
            if few is not None and self.today.stale.isdisjoint(json.loads(moved.before.recipes)):
                yield from self._look_at_few(moved, row_id, *few)
                return
        yield from self._look_at_all(moved, row_id)

    def _trusts(self) -> bool:
        wish = self.wish
        return not (wish.full or wish.rehash or wish.force or wish.requires_outputs)

    def _look_at_few(
        self, moved: Moved, row_id: int, few: list[tuple[Entry, bytes]], kept: list[bytes]
    ) -> Iterator[Planned]:
        """Decide the few entries that moved in a container that is otherwise as it was."""
        assert moved.before is not None
        recipes = tuple(json.loads(moved.before.recipes))
        state = ContainerState(moved.listing.key, row_id, moved.before, kept)
        state.outputs = dict(moved.outputs)
        state.recipes = set(recipes)
        cached = Cached({e.key: old for e, old in few}, moved.outputs, frozenset(), recipes, frozenset())
        self.counts.total += len(few) + len(kept)
        self.counts.skipped += len(kept)
        entries = [entry for entry, _ in few]
        known = {entry.key: one for entry in entries if (one := self.ledger.known(self.job_id, entry.key)) is not None}
        yield from self._decide_all(entries, known, state, cached, moved, {})
        self._leave(state)

    def _look_at_new(self, moved: Moved) -> Iterator[Planned]:
        """Decide the entries of a container that was never seen, a part at a time: it may have a million of them."""
        state = ContainerState(moved.listing.key, None)
        owners: dict[str, str] = {}
        entries = moved.listing.entries()
        while part := list(islice(entries, _AT_ONCE)):
            self.counts.total += len(part)
            yield from self._decide_all(part, {}, state, NOTHING_CACHED, moved, owners)
        self._leave(state)

    def _look_at_all(self, moved: Moved, row_id: int | None) -> Iterator[Planned]:
        if row_id is None:
            yield from self._look_at_new(moved)
            return
        state = ContainerState(moved.listing.key, row_id, moved.before)
        cached = moved.cached or NOTHING_CACHED
        missing = {out for out, packed in cached.outputs.items() if moved.outputs.get(out) != packed}
        entries = list(moved.listing.entries())
        self.counts.total += len(entries)
        to_look_up = [entry for entry in entries if not self._is_as_before(entry, cached, missing, state)]
        present = {entry.key for entry in entries}
        known = self._known(state, cached if moved.cached is not None else None, to_look_up, present)
        owners = self._owners(state, known, present) if self._may_collide(to_look_up, known, cached) else {}
        yield from self._decide_all(to_look_up, known, state, cached, moved, owners)
        if not moved.listing.is_partial:
            state.gone.update(k for k, one in known.items() if k not in present and one.item.state != ItemState.GONE)
        yield from self._gone(state, sorted(state.gone))
        self._leave(state)

    def _leave(self, state: ContainerState) -> None:
        state.is_listed = True
        if state.outstanding == 0:
            self.ready.append(state)

    def _decide_all(
        self,
        entries: Sequence[Entry],
        known: Mapping[str, Known],
        state: ContainerState,
        cached: Cached,
        moved: Moved,
        owners: dict[str, str],
    ) -> Iterator[Planned]:
        """Decide all before the first is handed out, so that whoever shows progress knows how many there are."""
        digests = self._hashes(entries, known, cached)
        decided = [
            self._decide(entry, known.get(entry.key), state, cached, moved, owners, digests) for entry in entries
        ]
        return (planned for planned in decided if planned is not None)

    def _is_as_before(self, entry: Entry, cached: Cached, missing: set[str], state: ContainerState) -> bool:
        """Settle an entry that did not move in a container that did; False when it must be looked up."""
        if (
            entry.problem is not None
            or entry.looks_again
            or cached.signatures.get(entry.key) != entry.signature
            or entry.key in cached.unsettled
            or self.wish.full
            or self.wish.rehash
            or entry.key in self.wish.force
            or not self.today.stale.isdisjoint(cached.recipes)
        ):
            return False
        output = self.sink.output_of(entry.key)
        if output in missing or output not in cached.outputs:
            return False
        state.settle(entry.key, entry.signature, (output, cached.outputs[output]), None)
        state.recipes.update(cached.recipes)
        self.counts.skipped += 1
        return True

    def _known(
        self, state: ContainerState, cached: Cached | None, to_look_up: Sequence[Entry], present: set[str]
    ) -> dict[str, Known]:
        """Return what is known of the entries to look up, and of items that are not there any more."""
        if state.row_id is None:
            return {}
        gone = set() if cached is None else (set(cached.signatures) | cached.gone) - present
        wanted = [entry.key for entry in to_look_up] + sorted(gone)
        if cached is None or len(wanted) > _LOAD_WHOLE_FROM * max(len(present), 1):
            return {known.item.key: known for known in self.ledger.known_in(state.row_id)}
        found = ((key, self.ledger.known(self.job_id, key)) for key in wanted)
        return {key: known for key, known in found if known is not None}

    def _hashes(self, entries: Sequence[Entry], known: Mapping[str, Known], cached: Cached) -> dict[str, str | None]:
        """Read the bytes of those entries whose signature says nothing and whose content was known."""
        to_hash = [
            entry
            for entry in entries
            if entry.problem is None
            and entry.key in known
            and known[entry.key].last_content is not None
            and (self.wish.rehash or entry.looks_again or cached.signatures.get(entry.key) != entry.signature)
            and not (self.wish.full or entry.key in self.wish.force)
            and not self._is_recorded(entry, known[entry.key])
        ]
        digests = self.source.hash(self.place, to_hash)
        return {entry.key: digest for entry, digest in zip(to_hash, digests, strict=True)}

    def _is_recorded(self, entry: Entry, known: Known) -> bool:
        """Say whether the current version's facts tell that an entry whose signature says nothing is the same."""
        if self._recalls is None or entry.looks_again or self.wish.rehash:
            return False
        if known.version is None or known.item.recipe_id is not None:  # something else was tried since
            return False
        return self._recalls.is_as_recorded(self.place, entry, known.version.facts)

    def _decide(
        self,
        entry: Entry,
        known: Known | None,
        state: ContainerState,
        cached: Cached,
        moved: Moved,
        owners: dict[str, str],
        digests: Mapping[str, str | None],
    ) -> Planned | None:
        output = self.sink.output_of(entry.key)
        problem = entry.problem
        owner = owners.setdefault(self.sink.collision_form(output), entry.key)
        if owner != entry.key and problem is None:
            problem = f"output '{output}' already belongs to '{owner}'"
        elif is_evidence(output) and problem is None:
            problem = f"output '{output}' is a place for the evidence of another item"
        decision = decide(self._facts(entry, known, moved, digests, output, problem))
        match decision.action:
            case Action.SKIP if decision.reason == Reason.NOT_ASKED:
                # Its bytes were not looked at as a run would: whatever its signature says, they are the next time.
                state.leave_open(entry.key, bytes(len(entry.signature)))
            case Action.SKIP if decision.reason == Reason.ADOPTED:
                self.counts.skipped += 1
                assert known is not None
                # Its output is elsewhere; once one stands here, the container has moved.
                state.settle(entry.key, self._trusted(entry, moved), None, known.last_recipe_id)
                return None
            case Action.SKIP:
                self.counts.skipped += 1
                version = known.version if known is not None else None
                assert version is not None
                # What stands there now: the recorded bytes, perhaps under another mtime.
                there = moved.outputs.get(output, self.sink.packed(version.size_bytes, version.mtime_ns))
                state.settle(entry.key, self._trusted(entry, moved), (output, there), version.recipe_id)
                return None
            case Action.HOLD:
                self.counts.held += 1
                self.counts.discarded += decision.reason == Reason.DISCARDED
                state.leave_open(entry.key, self._trusted(entry, moved))
            case _:
                self._count(decision)
                state.outstanding += 1
                if self.wish.only_failed and known is not None:
                    known = known._replace(item=known.item._replace(tries=0))  # a person gives it all its tries again
        owns_output = self.sink.names_by_stem and owner == entry.key
        return Planned(entry.key, decision, entry, known, state, problem, owns_output)

    def _facts(
        self,
        entry: Entry,
        known: Known | None,
        moved: Moved,
        digests: Mapping[str, str | None],
        output: str,
        problem: str | None,
    ) -> Facts:
        if known is None:
            return Facts(
                state=None, is_forced=entry.key in self.wish.force, only_failed=self.wish.only_failed
            )
        item = known.item
        before = None if known.last_content is None else to_digest(known.last_content)
        today = digests.get(entry.key) if entry.key in digests else None
        if entry.key in digests and today is None:
            today = "unreadable"
        if entry.problem is not None and item.state != ItemState.QUARANTINED:
            today = "unreadable"
        if before is None and moved.cached is not None and moved.cached.signatures.get(entry.key) != entry.signature:
            today = "touched"  # never read, and not what it was: worth another look
        recipe_id = known.last_recipe_id
        return Facts(
            state=ItemState(item.state),
            note=item.note if item.note in REOPENED else None,
            content_before=before,
            content_today=today,
            recipe_difference=self.today.difference(recipe_id),
            is_waiting=item.retry_at is not None and item.retry_at > self.now,
            is_cleared=problem is None and self._is_cleared(item, output, digests.get(entry.key)),
            output_problem=None if known.version is None else self._output_problem(known.version, moved, output),
            is_forced=self.wish.full or entry.key in self.wish.force,
            is_discarded=item.state == ItemState.QUARANTINED and item.note == Reason.DISCARDED,
            only_failed=self.wish.only_failed,
            is_elsewhere=item.note == Reason.ADOPTED and not self.wish.requires_outputs,
        )

    def _output_problem(self, version: Version, moved: Moved, output: str) -> str | None:
        there = moved.outputs.get(output)
        if there is None:
            return Reason.OUTPUT_MISSING
        if there == self.sink.packed(version.size_bytes, version.mtime_ns):
            return None
        if moved.cached is not None and moved.cached.outputs.get(output) == there:
            return None  # looked at before: the same bytes under another mtime
        return None if self.sink.has_published(output, to_digest(version.digest)) else Reason.OUTPUT_ALTERED

    def _is_cleared(self, item: Item, output: str, content_today: str | None) -> bool:
        """Say whether what kept an item from being tried is gone: its output is free, or its bytes can be read."""
        if item.note == OutputCollides.slug:
            return not self.sink.is_taken(output)
        return item.note == InputUnreadable.slug and item.content is None and content_today is not None

    def _may_collide(self, entries: Sequence[Entry], known: Mapping[str, Known], cached: Cached) -> bool:
        """Say whether any of these entries is not simply the one that made what stands at its output."""
        return any(
            entry.key not in cached.signatures
            or entry.key in cached.unsettled
            or entry.key not in known
            or known[entry.key].version is None
            for entry in entries
        )

    def _owners(self, state: ContainerState, known: Mapping[str, Known], present: Set[str]) -> dict[str, str]:
        """Return who owns each output path already, in the form in which two paths are one.

        Of the items that are there, the one whose result was recorded last; an item that left owns nothing any more.
        """
        made = [(k.version.recorded_at, key, k.version.output) for key, k in known.items() if k.version is not None]
        owners = {self.sink.collision_form(output): key for _, key, output in sorted(made) if key in present}
        owners.update((self.sink.collision_form(self.sink.output_of(key)), key) for key in state.signatures)
        return owners

    def _trusted(self, entry: Entry, moved: Moved) -> bytes:
        if self.source.is_racy(entry.signature, moved.listing.looked_at_ns):
            return bytes(len(entry.signature))
        return entry.signature

    def _count(self, decision: Decision) -> None:
        if decision.action is Action.RETRY:
            self.counts.retried += 1
        elif decision.reason == Reason.NEW:
            self.counts.new += 1
        elif is_change(decision.reason):
            self.counts.changed += 1

    def _gone(self, state: ContainerState, keys: Iterable[str]) -> Iterator[Planned]:
        for key in keys:
            self.counts.deleted += 1
            action = Action.TOMBSTONE if self.wish.prunes else Action.SKIP
            yield Planned(key, Decision(action, Reason.GONE), None, None, state, None)
