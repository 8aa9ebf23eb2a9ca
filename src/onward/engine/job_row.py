"""Which job of the ledger a batch is: found by its name and its output, made when it is new; and what its row keeps.

What a run does with the job is `batch.py`; what goes on from its row alone is `commands/resume.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from onward import clock
from onward.errors import OutputTaken
from onward.ledger.base import Ledger
from onward.model.item import printable
from onward.model.record import Job
from onward.model.secret import is_secret, without_password
from onward.model.states import RunStatus
from onward.runs import settings as sources
from onward.runs.workspace import Workspace, default_job_name

if TYPE_CHECKING:
    from onward.engine.options import Options
    from onward.engine.pipeline import Pipeline
    from onward.runs.outlet import Outlet

HANDED_OVER = "handed_over"
"""Stands in the options of a job whose last run looked at no input: a program handed its versions over."""


class JobRow:
    """The row of one batch's job, whether it is there yet or not."""

    def __init__(
        self, pipeline: Pipeline, place: str, outlet: Outlet, options: Options, workspace: Workspace
    ) -> None:
        self._pipeline = pipeline
        self._place = place
        self._outlet = outlet
        self._options = options
        self._workspace = workspace

    @property
    def name(self) -> str:
        """What the job is called, or will be."""
        return self._options.job or default_job_name(self._pipeline.name, *self._stored())

    def find(self, ledger: Ledger) -> Job | None:
        """Return the job, or None when it is new.

        Raises:
            OutputTaken: The output, or the name, belongs to another job.
        """
        (place, out), spec = self._stored(), self._spec(self._workspace.relative)
        copied = self._stored_elsewhere()
        if ledger.job_by_out(out) is None and ledger.job_by_out(copied[1]) is not None:
            place, out, spec = copied  # the ledger was copied from another kind of state, which spells places so
        name = self._options.job or default_job_name(self._pipeline.name, place, out)
        job = ledger.job(name)
        owner = ledger.job_by_out(out)
        if owner is not None and (job is None or owner.id != job.id):
            same = owner.source == place and owner.pipeline == spec
            if same and self._options.job is None:
                return owner
            msg = (
                f"The output '{printable(without_password(self._outlet.out))}' belongs to job '{owner.name}'. "
                f"Name another --out, or run that job with --job {owner.name}."
            )
            raise OutputTaken(msg)
        if job is not None and job.out != out:
            msg = f"The job '{name}' writes to '{printable(job.out)}'. Name another --job, or that --out."
            raise OutputTaken(msg)
        return job

    def make(self, ledger: Ledger, options: str) -> Job:
        """Make the job, and return it; it may have been made a moment ago, by another first run.

        Args:
            ledger: Where.
            options: As `options_after` gives them.

        Raises:
            OutputTaken: The output, or the name, belongs to another job.
        """
        place, out = self._stored()
        spec = self._spec(self._workspace.relative)
        new = Job(0, self.name, spec, place, out, RunStatus.PENDING.value, clock.now(), None, options)
        try:
            return ledger.create_job(new, now=clock.now())
        except OutputTaken:
            made = self.find(ledger)
            if made is None:
                raise
            return made

    def options_after(
        self,
        before: str,
        settings: Mapping[str, sources.Setting],
        terms: Mapping[str, object] | None,
        asked: Collection[str],
        manifest: str,
    ) -> str:
        """Return what a later run needs to do the same. Secrets are named, and not stored.

        Args:
            before: What was stored; what is not said here stays.
            settings: Every setting in force.
            terms: Those of the source, where it keeps any.
            asked: The settings that ask for something once, which is not to be asked again.
            manifest: Where the shared manifest stands, if there is one.
        """
        options, relative = self._options, self._workspace.relative
        given = {
            name: setting.value
            for name, setting in settings.items()
            if setting.origin != "default" and name not in asked
        }
        secrets = [name for name, value in given.items() if sources.redact(name, value) != value]
        keeps = {} if options.manifest is None or options.manifest is False else {"manifest": relative(manifest)}
        return json.dumps({
            **{name: value for name, value in json.loads(before).items() if name != HANDED_OVER},
            **keeps,
            **({"out_variable": self._outlet.variable} if self._outlet.variable else {}),
            **({"terms": terms} if terms is not None else {}),
            "settings": {
                name: sources.redact(name, value)
                for name, value in options.settings.items()
                if not is_secret(name) and name not in asked
            },
            "config_file": options.config_file and relative(options.config_file),
            "validate": options.validate,
            "in_force": {name: value for name, value in given.items() if name not in secrets},
            "secrets": sorted(secrets),
            "workers": options.workers,
            "executor": options.executor,
            "deadline_s": options.deadline_s,
            "memory_mb": options.memory_mb,
        })

    def _stored(self) -> tuple[str, str]:
        return self._workspace.relative(self._place), self._outlet.stored

    def _stored_elsewhere(self) -> tuple[str, str, str]:
        """Return input, output and pipeline as the other kind of state stores them."""
        spelled = self._workspace.other_spelling
        out = self._outlet.stored if self._outlet.is_url else spelled(self._outlet.out)
        return spelled(self._place), out, self._spec(spelled)

    def _spec(self, spelled: Callable[[str], str]) -> str:
        """Return how the pipeline is found again: a file is stored relative to the root, like every place."""
        spec = self._options.spec or self._pipeline.name
        place, colon, name = spec.rpartition(":")
        if colon and place.endswith(".py") and os.path.exists(place):
            return f"{spelled(place)}:{name}"
        return spec
