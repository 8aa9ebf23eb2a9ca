"""Why an item would, or would not, run: the decision, and both fingerprints part by part."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from onward.engine.batch import Batch
from onward.engine.code.memo import code_versions
from onward.engine.recipe_book import read_recipe
from onward.engine.run import Request, make_plan
from onward.engine.sink import tell_owner
from onward.errors import NotFound
from onward.ledger.base import Ledger
from onward.model.config import value_read
from onward.model.fingerprint import Recipe, canonical
from onward.model.item import printable
from onward.model.reason import Action, Reason
from onward.model.record import Job, Known, to_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a fingerprint, as it was and as it is.

    Attributes:
        kind: content, step, library or setting.
        name: Which one.
        before: What the item was last made with; None when it was not there.
        today: What it would be made with; None where it is not known before a run.
    """

    kind: str
    name: str
    before: str | None
    today: str | None

    @property
    def differs(self) -> bool:
        """Say whether this part is a reason to work."""
        return self.today is not None and self.before is not None and self.before != self.today


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer of `explain`."""

    job: str
    key: str
    action: str
    reason: str
    state: str | None
    note: str | None
    tries: int
    parts: tuple[Part, ...]
    unresolved: tuple[tuple[str, str, str], ...]

    def document(self) -> dict[str, object]:
        """Return the answer as `--json` gives it."""
        parts = [{**asdict(part), "differs": part.differs} for part in self.parts]
        unresolved = [{"name": name, "where": where, "why": why} for name, where, why in self.unresolved]
        return {
            "schema": "onward.explain/1", "job": self.job, "key": self.key, "action": self.action,
            "reason": self.reason, "state": self.state, "note": self.note, "tries": self.tries, "parts": parts,
            "unresolved": unresolved,
        }


def explain(batch: Batch, ledger: Ledger, job: Job, key: str) -> Explanation:
    """Say what a run would do with one item, through the same plan as a run.

    Raises:
        NotFound: Neither the source nor the ledger has the key.
    """
    request = batch.request(ledger)
    known = ledger.known(job.id, key)
    tell_owner(batch.pipeline.sink, ledger, job)
    batch.pipeline.sink.attach(batch.out)
    plan = make_plan(batch.pipeline, ledger, job.id, request)
    try:
        planned = next((one for one in plan if one.key == key), None)
    finally:
        batch.pipeline.sink.close()
    if planned is None and known is None:
        msg = f"The job '{job.name}' has no item '{printable(key)}'. Keys are paths relative to the input."
        raise NotFound(msg)
    settled = Reason.ADOPTED if known is not None and known.item.note == Reason.ADOPTED else Reason.UNCHANGED
    action, reason = (Action.SKIP, settled) if planned is None else planned.decision
    versions = code_versions(batch.pipeline)
    unresolved = {(u.name, u.where, u.why) for version in versions.values() for u in version.unresolved}
    return Explanation(
        job=job.name,
        key=key,
        action=action.value,
        reason=str(reason),
        state=None if known is None else known.item.state,
        note=None if known is None else known.item.note,
        tries=0 if known is None else known.item.tries,
        parts=tuple(_parts(batch, ledger, job, request, known, key)),
        unresolved=tuple(sorted(unresolved)),
    )


def _parts(batch: Batch, ledger: Ledger, job: Job, request: Request, known: Known | None, key: str) -> list[Part]:
    before = Recipe()
    content_before = None
    if known is not None:
        content_before = None if known.last_content is None else to_digest(known.last_content)
        recipes = (read_recipe(row) for row in ledger.recipes(job.id) if row.id == known.last_recipe_id)
        before = next(recipes, before)
    today = request.recipe
    parts = [Part(kind="content", name=key, before=content_before, today=batch.content_of(key))]
    parts += [
        Part(kind="step", name=name, before=before.steps.get(name), today=today.steps.get(name))
        for name in dict.fromkeys([*today.steps, *before.steps])
    ]
    parts += [
        Part(kind="library", name=name, before=before.depends.get(name), today=today.depends.get(name))
        for name in sorted({*today.depends, *before.depends})
    ]
    for name in sorted(before.config):
        now = canonical(value_read(today.config, name))
        parts.append(Part(kind="setting", name=name, before=canonical(before.config[name]), today=now))
    return parts
