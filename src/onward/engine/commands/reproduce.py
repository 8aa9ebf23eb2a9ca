"""Make again, in another folder, what a run made: with its settings and its inputs, found by their hashes.

Then compare every output with what the run recorded. The original job is only read: the new folder has a ledger of its
own. What differs in the code since is named; it cannot be put back from here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from onward.disk.staging import PRIVATE
from onward.engine.batch import Batch
from onward.engine.commands.command_run import PipelineFinder
from onward.engine.options import Options
from onward.engine.pipeline import Pipeline
from onward.engine.questions.history import find_run
from onward.engine.recipe_book import read_recipe
from onward.engine.source import take_terms
from onward.engine.sources.chosen_source import ChosenSource
from onward.engine.standing import Stop
from onward.engine.watcher import Watcher
from onward.errors import NotFound, UsageError
from onward.ledger.base import Reader, open_ledger
from onward.model.config import is_secret
from onward.model.fingerprint import Recipe, canonical
from onward.model.item import printable
from onward.model.reason import Reason
from onward.model.record import Job, Run, Version, to_digest
from onward.model.states import Outcome
from onward.runs.metadata import RunMetadata
from onward.runs.outlet import outlet, outlet_of
from onward.runs.workspace import Workspace, find

_STATE = os.path.join(PRIVATE, "state")
_ENVIRONMENT = ("git_commit", "python_version", "platform", "onward_version")
_NOT_MADE = (Reason.ROLLED_BACK, Reason.ADOPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One output of the run, and what came of making it again.

    Attributes:
        key: The item.
        result: same, different, or missing.
        output: Where it stands, relative to either output folder.
        recorded: Digest that the run recorded.
        found: Digest of what was made now; None where nothing was.
        why: Why it is missing, or where its input was found when that is not at its key; None otherwise.
    """

    key: str
    result: str
    output: str
    recorded: str
    found: str | None
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that is not as it was when the run was made; `then` or `now` is None where it was not there.

    Attributes:
        kind: step, library, setting or environment.
        name: Which one.
    """

    kind: str
    name: str
    then: str | None
    now: str | None


@dataclass(slots=True)
class Reproduction:
    """What came of making a run's outputs again."""

    run: str
    job: str
    out: str
    items: list[Compared] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return how many outputs are the same, different and missing."""
        return {
            word: sum(1 for item in self.items if item.result == word) for word in ("same", "different", "missing")
        }

    @property
    def is_same(self) -> bool:
        """Say whether every output is what it was."""
        return all(item.result == "same" for item in self.items)

    def document(self) -> dict[str, object]:
        """Return the answer as `--json` gives it."""
        return {
            "schema": "onward.reproduction/1", "run_id": self.run, "job": self.job, "out": self.out,
            "counts": self.counts(), "items": [asdict(item) for item in self.items],
            "differences": [asdict(one) for one in self.differences],
        }


def reproduce_run(
    run_id: str,
    *,
    state: str | None,
    find_pipeline: PipelineFinder,
    out: str | None = None,
    workers: int | None = None,
    stop: Stop | None = None,
    watcher: Watcher | None = None,
) -> Reproduction:
    """Make again what a run made, and compare.

    Args:
        run_id: The run.
        state: State folder; discovered by default.
        find_pipeline: Finds a pipeline by how it was named when the job was created.
        out: A folder for the new outputs, new or empty; `reproduced_<run id>` in the current folder by default. One
            in which this run was being reproduced before is gone on with.
        workers: How many at once.
        stop: Asked between items.
        watcher: Told what happens.

    A crash leaves the new folder unfinished; the same call goes on.

    Raises:
        NotFound: There is no such run.
        UsageError: The folder holds something else, or the input cannot be looked at.
    """
    workspace = find(state)
    if not workspace.exists():
        msg = f"There is no ledger in '{workspace.shown}'."
        raise NotFound(msg)
    ledger = open_ledger(workspace.ledger, writes=False)
    try:
        run = find_run(ledger, run_id)
        job = ledger.job_by_id(run.job_id)
        assert job is not None
        folder = os.path.abspath(out or f"reproduced_{run.name}")
        _check_folder(folder, run)
        made = dict(_made_by(ledger, run))
        pipeline = find_pipeline(job.pipeline, root=workspace.root)
        settings, lost = _settings(run, pipeline)
        bound, place = pipeline.bound(outlet(folder, workspace), settings), workspace.absolute(job.source)
        take_terms(bound.source, job, place)
        again = _again(bound, workspace, job, made, folder)
        batch = Batch.prepare(
            again, place, folder,
            Options(
                job=f"reproduce-{run.name}", state=os.path.join(folder, _STATE), settings=settings, workers=workers,
                validate=json.loads(job.options).get("validate", True), spec=job.pipeline,
            ),
        )
        found = Reproduction(run.name, job.name, folder)
        recipes = {row.id: read_recipe(row) for row in ledger.recipes(job.id)}
        used = [recipes[recipe_id] for recipe_id in sorted({version.recipe_id for version in made.values()})]
        found.differences = [*_differences(used, batch.request(ledger).recipe), *lost, *_environment(run)]
        with batch.run(stop, watcher) as answer:
            job_name = str(answer.head["job"])
        assert isinstance(again.source, ChosenSource)
        found.items = _compare(batch.workspace, job_name, made, again.source)
        return found
    finally:
        ledger.close()


def _check_folder(folder: str, run: Run) -> None:
    """Refuse a folder that holds something else; what an earlier call left there is gone on with."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if not os.listdir(folder):
            return
        ours = Workspace(os.path.join(folder, _STATE), "flag")
        if ours.exists():
            ledger = open_ledger(ours.ledger, writes=False)
            try:
                if ledger.job(f"reproduce-{run.name}") is not None:
                    return
            finally:
                ledger.close()
        msg = (
            f"'{printable(folder)}' is not empty, and not from an earlier `reproduce` of this run. "
            "Name another --out."
        )
        raise UsageError(msg)


def _made_by(ledger: Reader, run: Run) -> Iterator[tuple[str, Version]]:
    """Return key and version of everything that a run made."""
    for attempt, key in ledger.attempts_of_run(run.id):
        if attempt.outcome == Outcome.SUCCEEDED and attempt.reason not in _NOT_MADE:
            version = ledger.version(attempt.item_id, attempt.serial)
            if version is not None:
                yield key, version


def _again(pipeline: Pipeline, workspace: Workspace, job: Job, made: Mapping[str, Version], folder: str) -> Pipeline:
    """Return the pipeline with a source that offers exactly what the run read."""
    contents = {key: to_digest(version.content) for key, version in made.items()}
    leave_out = (outlet_of(job, workspace).out, workspace.state, folder)
    return pipeline.with_parts(ChosenSource(pipeline.source, contents, leave_out), pipeline.sink)


def _settings(run: Run, pipeline: Pipeline) -> tuple[dict[str, object], list[Difference]]:
    """Return the settings of the run that can be given again, and those that cannot."""
    settings: dict[str, object] = {}
    lost = []
    for name, value in json.loads(run.config).items():
        if is_secret(name):
            continue  # never stored; it comes from the environment, as always
        if pipeline.settings is None or name in pipeline.settings:
            settings[name] = value
        else:
            lost.append(Difference(kind="setting", name=name, then=canonical(value), now=None))
    return settings, lost


def _differences(used: Sequence[Recipe], today: Recipe) -> Iterator[Difference]:
    """Name every part of the code that is not what the run used."""
    seen = set()
    for then in used:
        parts = [("step", name, then.steps.get(name), today.steps.get(name)) for name in {**today.steps, **then.steps}]
        parts += [
            ("library", name, then.depends.get(name), today.depends.get(name))
            for name in {**today.depends, **then.depends}
        ]
        for kind, name, before, now in parts:
            if before != now and (kind, name, before) not in seen:
                seen.add((kind, name, before))
                yield Difference(kind=kind, name=name, then=before, now=now)


def _environment(run: Run) -> Iterator[Difference]:
    then, now = json.loads(run.environment), RunMetadata.collect().as_dict()
    for name in _ENVIRONMENT:
        if then.get(name) != now.get(name):
            yield Difference(kind="environment", name=name, then=then.get(name), now=now.get(name))


def _compare(
    workspace: Workspace, job_name: str, made: Mapping[str, Version], source: ChosenSource
) -> list[Compared]:
    ledger = open_ledger(workspace.ledger, writes=False)
    try:
        job = ledger.job(job_name)
        assert job is not None, "it has just been run"
        compared = []
        for key, version in sorted(made.items()):
            known = ledger.known(job.id, key)
            new = None if known is None or known.item.state != "succeeded" else known.version
            found = None if new is None else to_digest(new.digest)
            recorded = to_digest(version.digest)
            why: str | None
            if key not in source.chosen:
                found, why = None, "no file in the input has the bytes that were read then"
            elif found is None:
                why = None if known is None else known.item.note
                why = why or "it was not made before the run ended"
            else:
                why = source.elsewhere(key)
            result = "missing" if found is None else "same" if found == recorded else "different"
            compared.append(Compared(
                key=key, result=result, output=version.output, recorded=recorded, found=found, why=why
            ))
        return compared
    finally:
        ledger.close()
