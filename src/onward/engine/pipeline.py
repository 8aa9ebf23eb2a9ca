"""What a pipeline is: source → steps → sink. What is asked of the two ends is in `source.py` and `sink.py`.

The four rooms use nothing that a user cannot. A step is a plain function: the first one takes the item, each further
one the value before it, and any of them may ask for `config`, `receipts` or `sink` by name. Nothing here runs a step.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from onward.engine.sink import KeepsHistory, Sink
from onward.engine.source import Source
from onward.errors import PipelineInvalid
from onward.model.config import flatten

if TYPE_CHECKING:
    from onward.engine.batch import Batch
    from onward.engine.reports.report_panel import Offer
    from onward.model.validation import Check
    from onward.runs.outlet import Outlet


Step = Callable[..., object]
CheckFunction = Callable[..., "Check | Iterable[Check] | bool | str | None"]


class BySettings(NamedTuple):
    """A source that depends on settings: given all of them, flat, `make` returns it, or raises `SettingInvalid`."""

    make: Callable[[Mapping[str, Any]], Source]


class ByOut(NamedTuple):
    """A sink that depends on where results go: given that, and all settings, `make` returns it."""

    make: Callable[[Outlet, Mapping[str, Any]], Sink]


class Way(NamedTuple):
    """Another way to get at the same items, chosen by `--executor`: the steps stay, and so do fingerprints.

    Attributes:
        source: Given the pipeline's source, bound, returns the one to use instead.
        workers: How many local workers open items, unless somebody says otherwise.
        needs: The module that must be installed, and the extra that brings it.
    """

    source: Callable[[Source], Source]
    workers: int
    needs: tuple[str, str]


class Pipeline:
    """A named assembly: source → steps → sink.

    Args:
        name: Short and lasting; part of default job names.
        source: Where items come from, e.g. `files("*.pdf")`; `BySettings` where settings decide.
        steps: Functions in order. The first takes the item; each may take `config`, `receipts` and `sink` by name: the
            settings, what asks a service that costs money, and the sink, for what it holds already.
        sink: Where results go, e.g. `json_files()`; `ByOut` where `--out` decides.
        checks: Functions of the result (and `config`, by name) that answer with a `Check` or several, or with
            True/None for good and False or a sentence for bad. A FAIL quarantines the item.
        settings: Every setting that the steps know, with its default. When given, other names are refused and types
            are checked; when None, any setting may be passed.
        check_settings: Raises `SettingInvalid` when a value is out of bounds; called before anything starts.
        depends: Names of installed libraries whose version is part of the fingerprint; `name:files` counts the
            digests of its files too.
        version: Replaces the code part of the fingerprint: outputs are redone only when this text changes.
        transient: Errors of the steps after which another attempt may end differently.
        then: Called with the `Batch` and what finishes its outputs once more, after a run that did all there was to do,
            while the job is still held; what it returns is told in the run's answer. It may run a job over the outputs.
        deadline_s: Seconds one item may take, or None.
        memory_mb: Resident memory in MB that a worker, with what its steps start, may use; or None.
        panel: Given a ledger and a job, returns what a report of the job's runs shows besides, or None; asks the
            ledger and nobody else.
        ways: Name for `--executor` → another way to get at the items; whatever it is, one machine runs the steps.
        follows_deletions: What left the input gets its tombstone in the next run, unasked; for a sink that takes
            nothing away.
        budget: Name of the setting that says what all receipts of a job may cost, in currency units; 0 there is no
            limit. When it is reached the job is paused, and goes on when it is raised.

    Raises:
        PipelineInvalid: The parts do not fit together.
    """

    def __init__(
        self,
        name: str,
        *,
        source: Source | BySettings,
        steps: Sequence[Step],
        sink: Sink | ByOut,
        checks: Sequence[CheckFunction] = (),
        settings: Mapping[str, object] | None = None,
        check_settings: Callable[[Mapping[str, object]], None] | None = None,
        depends: Sequence[str] = (),
        version: str | None = None,
        transient: Sequence[type[BaseException]] = (),
        then: Callable[[Batch, Callable[[], None]], Mapping[str, object]] | None = None,
        deadline_s: float | None = None,
        memory_mb: int | None = None,
        panel: Offer | None = None,
        ways: Mapping[str, Way] | None = None,
        follows_deletions: bool = False,
        budget: str | None = None,
    ) -> None:
        if not name or not name.replace("-", "").replace("_", "").isalnum():
            msg = f"A pipeline's name is letters, digits, '-' and '_', not {name!r}."
            raise PipelineInvalid(msg)
        if not steps:
            msg = f"The pipeline '{name}' has no steps; give at least one function."
            raise PipelineInvalid(msg)
        strangers: list[object] = [part for part in (*steps, *checks) if not callable(part)]
        if strangers:
            msg = f"The pipeline '{name}' has a step that is not a function: {strangers[0]!r}."
            raise PipelineInvalid(msg)
        self.name = name
        self._source = source
        self.steps = tuple(steps)
        self._sink = sink
        self.checks = tuple(checks)
        self.settings = None if settings is None else flatten(settings)
        self.check_settings = check_settings
        self.depends = tuple(depends)
        self.version = version
        self.transient = tuple(transient)
        self.then = then
        self.deadline_s = deadline_s
        self.memory_mb = memory_mb
        self.panel = panel
        self.ways = dict(ways or {})
        self.follows_deletions = follows_deletions
        if budget is not None and self.settings is not None and budget not in self.settings:
            msg = f"The pipeline '{name}' has no setting '{budget}', which is to be its budget."
            raise PipelineInvalid(msg)
        self.budget = budget
        # A caller's frame says where the pipeline was put together: its folder is first-party.
        # It is what `inspect.currentframe` returns, whose module takes eight milliseconds to import.
        self.file = os.path.abspath(sys._getframe(1).f_code.co_filename)  # noqa: SLF001

    @property
    def source(self) -> Source:
        """Where items come from, once it is decided."""
        assert not isinstance(self._source, BySettings), "bound comes first"
        return self._source

    @property
    def sink(self) -> Sink:
        """Where results go, once it is decided."""
        assert not isinstance(self._sink, ByOut), "bound comes first"
        return self._sink

    @property
    def uses_receipts(self) -> bool:
        """Say whether a step or check asks services that cost money."""
        return any(asks_for(part, "receipts") for part in (*self.steps, *self.checks))

    def bound(self, to: Outlet, settings: Mapping[str, object]) -> Pipeline:
        """Return the same pipeline with its source and its sink decided.

        Args:
            to: Where results go.
            settings: The settings in force, flat; the others have their defaults.

        Raises:
            SettingInvalid: A setting is out of bounds.
            UsageError: Nothing can go there.
        """
        source, sink = self._source, self._sink
        if isinstance(source, BySettings):
            source = source.make({**(self.settings or {}), **settings})
        if isinstance(sink, ByOut):
            sink = sink.make(to, {**(self.settings or {}), **settings})
        return self.with_parts(source, sink)

    def with_parts(self, source: Source, sink: Sink) -> Pipeline:
        """Return the same pipeline with another source and another sink."""
        one = self.with_source(source)
        one.__dict__.update(_sink=sink)
        return one

    def with_source(self, source: Source) -> Pipeline:
        """Return the same pipeline with another source; its sink may be undecided yet."""
        one = Pipeline.__new__(Pipeline)
        one.__dict__.update(self.__dict__, _source=source)
        return one

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, steps=[{', '.join(step_name(step) for step in self.steps)}])"

    def run(
        self, place: str | os.PathLike[str], *, out: str | os.PathLike[str], **options: object
    ) -> Mapping[str, object]:
        """Do what is new or changed, as `onward run` does, and return the same facts as its `--json`.

        Args:
            place: The input.
            out: Where outputs go; belongs to this job alone.
            options: `job`, `state`, `settings`, `workers`, `full`, `force`, `validate`, `rehash`, `deadline_s`,
                `memory_mb`, `only_failed`, `run_name`: as on the command line.

        Everything that was reported done survives a crash; the same call goes on where it ended.
        """
        from onward.engine.batch import run_with_options

        return run_with_options(self, os.fspath(place), os.fspath(out), options)


def keeps_outputs(pipeline: Pipeline) -> bool:
    """Say whether the outputs of what left the source stay, where that was not asked for.

    Files stay until `prune --outputs` moves them into the history, and versions stay for good; a line or a row that
    nothing stands behind any more would be taken for a result.
    """
    return pipeline.follows_deletions or isinstance(pipeline.sink, KeepsHistory)


def step_name(step: object) -> str:
    """Return the name under which a step is known in messages and reasons."""
    while isinstance(step, partial):
        step = step.func
    return str(getattr(step, "__name__", None) or type(step).__name__)


def asks_for(function: Callable[..., object], name: str) -> bool:
    """Say whether a step or check takes `config`, `receipts` or `sink` by name."""
    import inspect  # asked where there is work only, and heavy

    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False  # builtins that do not tell their signature ask for nothing
