"""What happened, as typed events: `events`, and the protocol that both of its methods follow.

A method takes a document that has `text`, `entities` and `sentences` and returns events in the order of their triggers,
without ids. `rules` reads the parse and costs nothing; `llm` asks a language model, and is imported only when chosen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onward.errors import SettingInvalid
from onward.pipelines.articles.rules.find import rule_events

if TYPE_CHECKING:
    from onward.engine.receipts import Receipts

__all__ = ["METHODS", "check_method", "events"]

METHODS = ("rules", "llm")


def events(
    document: Mapping[str, Any], config: Mapping[str, Any] | None = None, receipts: Receipts | None = None
) -> dict[str, Any]:
    """Return the document with its `events`, in the order of the text.

    Args:
        document: Has `key`, `text`, `entities` and `sentences`.
        config: `events.method`: `rules` (the default) or `llm`, which reads the other settings under `events`.
        receipts: Keeps what a language model answered; needed by `llm` alone.

    Returns:
        The same fields and `events`: `id` (`<key>:<n>`, counted from 1), `type` (one of a closed set, see
        `lexicon.TYPES`), `trigger`, `who`, `what`, `whom`, `where`, `when` (exact stretches of the text, or None),
        `sentence` (counted from 0), `method`, `confidence` (0 to 1), `spans` (where each stretch is, in characters),
        `lemma` of the trigger, and `cluster`, which is None until documents are linked. `timings_s` gains the seconds
        that this took. A language model's `llm` says what it cost.

    Raises:
        SettingInvalid: There is no such method.
    """
    began = time.perf_counter()
    config = {} if config is None else config  # asking whether it is empty would read all of it
    method = config.get("events.method") or METHODS[0]
    more: Mapping[str, Any] = {}
    match method:
        case "rules":
            found = rule_events(document)
        case "llm":
            from onward.pipelines.articles.llm.ask import llm_events

            answer = llm_events(document, config, receipts)
            found, more = answer["events"], {"llm": answer["llm"]}
        case _:
            check_method(method)
    told = [_told(document["key"], number, event) for number, event in enumerate(found, 1)]
    timings = {**document.get("timings_s", {}), "events": round(time.perf_counter() - began, 6)}
    return {**document, **more, "events": told, "timings_s": timings}


def check_method(method: object) -> None:
    """Raise `SettingInvalid` when there is no such method."""
    if method not in METHODS:
        msg = f"The setting 'events.method' is {method!r}; it can be {' or '.join(map(repr, METHODS))}."
        raise SettingInvalid(msg)


def _told(key: str, number: int, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event with its id first and its cluster last, which is filled in when documents are linked."""
    return {"id": f"{key}:{number}", **event, "cluster": None}
