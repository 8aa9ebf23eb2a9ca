"""A shared run as one process has it at hand: its pipeline, its input and output, its committer and its leases.

Made from the ledger alone: the job says what its last run was told, secrets come from where they are kept here. The
code that will run is the code that this process has loaded; when its digest, or a setting, is not what the run was
planned with, nothing may be tried here. Where the pipeline's code comes from is the caller's affair.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from onward.engine.batch import Batch
from onward.engine.cashier import Cashier, cashier_of
from onward.engine.code.memo import CodePart, code_part
from onward.engine.commands.resume import batch_to_resume
from onward.engine.commit import Committer
from onward.engine.executor import Assignment, Executor
from onward.engine.pipeline import Pipeline
from onward.engine.plan import Planned
from onward.engine.recipe_book import RecipeBook
from onward.engine.scan import ContainerState
from onward.engine.shared.leased import Leased
from onward.engine.sink import tell_owner
from onward.engine.source import Entry
from onward.engine.standing import Standing
from onward.engine.watcher import NeverStop
from onward.ledger.base import Ledger
from onward.ledger.tasks import Distribution, TaskRow, Tasks
from onward.model.config import is_secret
from onward.model.decide import Decision
from onward.model.fingerprint import Recipe, canonical
from onward.model.reason import Action
from onward.model.record import Job, Known, Run
from onward.runs.workspace import Workspace

if TYPE_CHECKING:
    from onward.engine.run import Request

Load = Callable[[str, str], Pipeline]
"""Finds a pipeline by what names it and the folder that a stored path is relative to."""


class Shelf:
    """The pipelines that this process has loaded, each with the digest of its code at that moment.

    A file that is edited later changes neither: what runs is what was loaded, and that is what is compared.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._pipelines: dict[str, Pipeline] = {}
        self._codes: dict[tuple[str, bool], CodePart] = {}

    def pipeline(self, spec: str, root: str, ledger: Ledger) -> Pipeline:
        """Return a pipeline, loading it when it is asked for first.

        Raises:
            PipelineInvalid: It cannot be found here.
        """
        if spec not in self._pipelines:
            found = self._load(spec, root)
            for validates in (True, False):
                self._codes[spec, validates] = code_part(found, ledger, validates=validates)
            self._pipelines[spec] = found
        return self._pipelines[spec]

    def code(self, spec: str, *, validates: bool) -> CodePart:
        """Return the code part of a pipeline as it was when it was loaded."""
        return self._codes[spec, validates]


class AtHand:
    """One run.

    Attributes:
        run: Its row.
        job: Its job.
        difference: How what would be done here differs from what was planned, e.g. `code-changed:count`; or None.
        leased: The leases that this process has on the items it works on.
        committer: Writes what becomes of them.
    """

    def __init__(
        self, ledger: Ledger, tasks: Tasks, shared: Distribution, workspace: Workspace, shelf: Shelf, *,
        holder: str, lease_s: float,
    ) -> None:
        """Open what is needed to work on a run.

        Raises:
            UsageError: Something that the run needs is not here: its pipeline, its input, a secret.
            OSError: Its output cannot be written from here.
        """
        job = ledger.job_by_id(shared.job_id)
        run = ledger.run_by_id(shared.run_id)
        assert job is not None, "a run has a job"
        assert run is not None, "what is shared out is a run"
        self.run: Run = run
        self.job: Job = job
        self.shared = shared
        pipeline = shelf.pipeline(job.pipeline, workspace.root, ledger)
        self.batch: Batch = batch_to_resume(pipeline, job, workspace, settings={})
        self.batch.settle(job)
        bound = self.batch.pipeline
        # Each run has a sink of its own: several may be open in one process.
        self.pipeline = self.batch.pipeline = bound.with_parts(bound.source, copy.deepcopy(bound.sink))
        code = shelf.code(job.pipeline, validates=self.batch.options.validate)
        request = self.batch.request(ledger, ledger.forget_in_child)
        recipe = Recipe(steps=code.steps, depends=code.depends, config=request.recipe.config)
        self.request: Request = request._replace(recipe=recipe, memo=None)
        self.difference = planned_recipe(shared.recipe).difference(without_secrets(recipe))
        self._ledger = ledger
        self._leases = (tasks, holder, lease_s)
        self.leased = self._make_leased()
        tell_owner(self.pipeline.sink, ledger, job)
        self.pipeline.sink.prepare(self.request.out)
        self.standing = Standing(ledger, job.id, NeverStop())
        self._cashier = self._make_cashier()
        self._executor: Executor | None = None
        self._containers: dict[int, str] = {}
        self.committer = self._make_committer(self.leased)

    def _make_cashier(self) -> Cashier | None:
        return cashier_of(self._ledger) if self.pipeline.uses_receipts else None

    def _make_leased(self) -> Leased:
        tasks, holder, lease_s = self._leases
        return Leased(
            self._ledger, tasks, job_id=self.job.id, run_id=self.run.id, holder=holder, lease_s=lease_s
        )

    def _make_committer(self, leased: Leased) -> Committer:
        return Committer(
            leased.as_ledger(),
            job_id=self.job.id,
            run_id=self.run.id,
            source=self.pipeline.source,
            sink=self.pipeline.sink,
            recipes=RecipeBook(self.job.id, self.request.recipe, self._ledger.recipes(self.job.id)),
            place=self.request.place,
            attempts_max=self.request.limits.attempts_max,
            chance=random.random,
            standing=self.standing,
            seen=lambda: -1,  # whoever planned the run has told
            cashier=self._cashier,
            budget=self.request.budget,
        )

    def begin_anew(self) -> None:
        """Forget what the committer had gathered and every lease, after something went wrong in the middle."""
        self.leased.forget()
        self.committer = self._make_committer(self.leased)

    def another(self) -> tuple[Leased, Committer]:
        """Return leases and a committer for what this process does beside its own item."""
        leased = self._make_leased()
        return leased, self._make_committer(leased)

    def executor(self, start: Callable[[Assignment], Executor]) -> Executor:
        """Return where this process runs steps: one child, which is kept from item to item."""
        if self._executor is None:
            limits = self.request.limits
            self._executor = start(Assignment(
                self.pipeline, self.request.place, self.request.out, self.request.settings, self.request.validates,
                1, limits.deadline_s, self.request.close_in_child, limits.memory_mb, limits.memory_threshold_mb,
                cashier=self._cashier,
            ))
        return self._executor

    def kill(self) -> None:
        """End the child and what it started, at once."""
        if self._executor is not None:
            self._executor.kill()
            self._executor.close()
            self._executor = None

    def planned(self, task: TaskRow, known: Known) -> Planned:
        """Return a task's item as the plan had it, with what is known of it now."""
        container_id = known.item.container_id
        if container_id not in self._containers:
            self._containers = {one.id: one.key for one in self._ledger.containers(self.job.id)}
        return Planned(
            known.item.key,
            Decision(Action(task.action), task.reason),
            Entry(known.item.key, task.locator, task.signature),
            known,
            ContainerState(self._containers[container_id], container_id),
            None,
            task.owns_output,
        )

    def close(self) -> None:
        """Let go of everything."""
        if self._executor is not None:
            self._executor.close()
            self._executor = None
        self.pipeline.sink.close()


def without_secrets(recipe: Recipe) -> Recipe:
    """Return a recipe as it may be stored."""
    config = {name: value for name, value in recipe.config.items() if not is_secret(name)}
    return Recipe(steps=recipe.steps, depends=recipe.depends, config=config)


def recipe_text(recipe: Recipe) -> str:
    """Return a recipe as it is kept with a shared run."""
    bare = without_secrets(recipe)
    return canonical({"steps": list(bare.steps.items()), "depends": bare.depends, "config": bare.config})


def planned_recipe(text: str) -> Recipe:
    """Return the recipe that a shared run was planned with."""
    parts = json.loads(text)
    return Recipe(steps=dict(parts["steps"]), depends=parts["depends"], config=parts["config"])
