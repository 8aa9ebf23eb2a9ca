"""Questions to an outside service that costs money: asked once, kept before the answer is used, paid for once.

A step or check that takes `receipts` by name asks through it, and gets the kept answer where one like it was asked
before: for another item, in another job, or before a crash. How an answer reaches the ledger is `cashier.py`, and the
line of the worker; here is what a step sees, and what serves a step that is used alone.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple, Protocol

from onward.errors import QuestionInvalid
from onward.model import money

_DOMAIN = b"onward.question/1\n"


class Paid(NamedTuple):
    """An answer and what it cost.

    Attributes:
        answer: Anything that JSON can say; a step gets it as JSON gives it back, the first time as well.
        tokens_in: Tokens of the question.
        tokens_out: Tokens of the answer.
        cost: In currency units; kept in millionths.
    """

    answer: object
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0


class Receipts(Protocol):
    """What a step asks. May be called by several threads of a step at once, and not from inside an `ask`."""

    def once(self, question: Mapping[str, object], ask: Callable[[], Paid]) -> object:
        """Return the answer to a question, asking only where nothing kept has it.

        When this returns, the answer is durable: no crash makes anybody pay for the same question again. Between the
        service's answer and that moment a crash loses it. Whoever asks the same meanwhile waits.

        Args:
            question: All that the answer hangs on, short: model, prompt version, the digest of the whole prompt. It
                is kept as it is, so it holds no secret. What is not in it must not change the answer: no key of an
                item, no time.
            ask: Asks the service. What it raises passes through, nothing is kept, and the next one asks again.

        Raises:
            QuestionInvalid: The question, the answer or its cost cannot be kept.
        """


def question_text(question: Mapping[str, object]) -> str:
    """Return the one spelling of a question.

    Raises:
        QuestionInvalid: It is not a mapping of texts to what JSON can say.
    """
    plain = _plain(question, "the question")
    if not isinstance(plain, dict):
        msg = f"A question is a mapping, not {type(question).__name__}."
        raise QuestionInvalid(msg)
    # ASCII, so that also half of a surrogate pair has its spelling.
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def question_digest(question: Mapping[str, object]) -> bytes:
    """Return the 32 bytes under which the answer to a question is kept: equal questions, and no others, share them.

    The order of keys does not count; `1`, `1.0`, `"1"` and `true` differ.
    """
    return sha256(_DOMAIN + question_text(question).encode()).digest()


def answer_text(answer: object) -> str:
    """Return an answer as it is kept.

    Raises:
        QuestionInvalid: JSON cannot say it.
    """
    return json.dumps(_plain(answer, "the answer"), separators=(",", ":"), allow_nan=False)


def micro(cost: float) -> int:
    """Return a cost in millionths of a currency unit, to the nearest.

    Raises:
        QuestionInvalid: It is no amount of money.
    """
    try:
        found = float(cost)
    except (TypeError, ValueError):
        found = math.nan
    if not (math.isfinite(found) and found >= 0):
        msg = f"A cost is a number of currency units that is not below 0, not {cost!r}."
        raise QuestionInvalid(msg)
    return money.micro(found)


def checked(paid: object) -> tuple[str, int, int, int]:
    """Return answer, tokens in and out, and millionths of what an `ask` returned, as they are kept.

    Raises:
        QuestionInvalid: They cannot be.
    """
    if not isinstance(paid, Paid):
        msg = f"`ask` returns Paid(answer, ...), not {type(paid).__name__}."
        raise QuestionInvalid(msg)
    counts: tuple[object, object] = paid.tokens_in, paid.tokens_out
    for count in counts:
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < 1 << 63:
            msg = f"Tokens are counted from 0, not {count!r}."
            raise QuestionInvalid(msg)
    return answer_text(paid.answer), paid.tokens_in, paid.tokens_out, micro(paid.cost)


class NoReceipts:
    """Keeps answers as long as it lives: for a step that is used alone."""

    def __init__(self) -> None:
        self._answers: dict[bytes, str] = {}
        self._changed = threading.Condition()
        self._asking: set[bytes] = set()

    def once(self, question: Mapping[str, object], ask: Callable[[], Paid]) -> object:
        """See `Receipts`; nothing outlives this object."""
        digest = question_digest(question)
        with self._changed:
            self._changed.wait_for(lambda: digest not in self._asking)
            if digest in self._answers:
                return json.loads(self._answers[digest])
            self._asking.add(digest)
        try:
            answer, *_ = checked(ask())
            self._answers[digest] = answer
        finally:
            with self._changed:
                self._asking.discard(digest)
                self._changed.notify_all()
        return json.loads(answer)


def _plain(value: object, what: str) -> object:
    """Return a value as JSON has it, refusing what JSON would spell like something else."""
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case Mapping():
            strangers = [key for key in value if not isinstance(key, str)]
            if not strangers:
                return {key: _plain(one, what) for key, one in value.items()}
            msg = f"In {what} the key {strangers[0]!r} is not a text."
            raise QuestionInvalid(msg)
        case list() | tuple():
            return [_plain(one, what) for one in value]
        case _:
            msg = f"JSON cannot say {value!r}, which stands in {what}."
            raise QuestionInvalid(msg)
