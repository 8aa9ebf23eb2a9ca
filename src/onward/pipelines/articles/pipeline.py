"""The articles pipeline, put together: news articles as JSON lines → `onward.article/1`.

Five steps, each usable alone:

    read           a line → its id, its text, its title                         read.py
    entities       names, places, dates, amounts                                entities.py, spacy_model.py
    dependencies   sentences, words, what hangs on what                         dependencies.py, spacy_model.py
    events         what happened: who, what, whom, where, when                  events.py, rules/, llm/
    assemble       the output document                                          assemble.py

Where results go is `postgres/` for a database and the engine's for files; `linking/` is the job that a run is followed
by when it is asked for, `measured/` says how good all of it is, and `faces.py` holds the names of before.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from onward.engine.pipeline import ByOut, BySettings, Pipeline
from onward.engine.sink import Sink
from onward.engine.source import Source
from onward.engine.sources.lines_source import json_lines_source
from onward.errors import SettingInvalid
from onward.pipelines.articles.assemble import assemble
from onward.pipelines.articles.checks import offsets
from onward.pipelines.articles.dependencies import dependencies
from onward.pipelines.articles.entities import entities
from onward.pipelines.articles.events import check_method, events
from onward.pipelines.articles.linking.job import link_after, without_clusters
from onward.pipelines.articles.llm.settings import LLM_DEFAULTS, check_llm_settings
from onward.pipelines.articles.read import ID_FIELDS, read
from onward.pipelines.articles.spacy_model import MODEL
from onward.runs.outlet import Outlet

__all__ = ["pipeline"]

for _needed in ("spacy", MODEL):
    # Looked for, not imported: the parent of the workers never loads it, and a run without it ends before it begins.
    if find_spec(_needed) is None:
        raise ModuleNotFoundError(f"No module named '{_needed}'", name=_needed)

_DUPLICATES = ("error", "first", "last")


def _source(settings: Mapping[str, Any]) -> Source:
    fields = (settings["id_field"],) if settings["id_field"] else ID_FIELDS
    return json_lines_source(
        id_fields=fields, duplicates=settings["duplicates"], line_bytes_max=settings["line_mb_max"] << 20
    )


def _sink(to: Outlet, settings: Mapping[str, Any]) -> Sink:
    if to.is_url:
        from onward.pipelines.articles.postgres.sink import postgres_articles

        return postgres_articles()
    from onward.engine.sinks.lines_sink import json_lines

    return json_lines(mask=without_clusters)


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise `SettingInvalid` when a setting is out of its bounds."""
    check_method(settings["events.method"])
    check_llm_settings(settings)
    if settings["duplicates"] not in _DUPLICATES:
        msg = f"The setting 'duplicates' is {settings['duplicates']!r}; it can be {', '.join(_DUPLICATES)}."
        raise SettingInvalid(msg)
    if not settings["text_field"]:
        raise SettingInvalid("The setting 'text_field' is empty; name the field that has the text.")
    if settings["line_mb_max"] < 1:
        raise SettingInvalid(f"The setting 'line_mb_max' is {settings['line_mb_max']}; it must be at least 1.")


pipeline = Pipeline(
    "articles",
    source=BySettings(_source),
    steps=[read, entities, dependencies, events, assemble],
    checks=[offsets],
    sink=ByOut(_sink),
    check_settings=check_settings,
    settings={
        "id_field": "",
        "text_field": "text",
        "duplicates": "error",
        "line_mb_max": 32,
        "link": False,
        "events.method": "rules",
        **LLM_DEFAULTS,
    },
    depends=["spacy", f"{MODEL}:files"],
    budget="events.max_cost",
    then=link_after,
)
