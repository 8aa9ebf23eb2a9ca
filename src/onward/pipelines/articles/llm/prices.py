"""What an answer cost: tokens, as the endpoint counted them or as they are estimated, times their price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Usage", "cost_of", "usage_of"]

_PER = 1_000_000
_BYTES_A_TOKEN = 3
"""English has some 4 bytes a token; an estimate that is too high stops a job too early, and never too late."""
_TOKENS_MAX = 100_000_000


class Usage(NamedTuple):
    """The tokens of a question and of its answer.

    Attributes:
        tokens_in: Of the question.
        tokens_out: Of the answer.
        is_estimated: The endpoint did not count them.
    """

    tokens_in: int
    tokens_out: int
    is_estimated: bool


def usage_of(answer: object, *, question_bytes: int, answer_bytes: int) -> Usage:
    """Return the tokens that an endpoint says it has counted; an estimate where it says nothing, or nonsense.

    Args:
        answer: The body of the response, parsed; anything at all.
        question_bytes: Size of what was sent.
        answer_bytes: Size of what came.
    """
    said = answer.get("usage") if isinstance(answer, Mapping) else None
    if isinstance(said, Mapping):
        tokens_in, tokens_out = _count(said.get("prompt_tokens")), _count(said.get("completion_tokens"))
        if tokens_in is not None and tokens_out is not None:
            return Usage(tokens_in, tokens_out, is_estimated=False)
    return Usage(_ceiling(question_bytes), _ceiling(answer_bytes), is_estimated=True)


def cost_of(usage: Usage, *, price_in: float, price_out: float) -> float:
    """Return the cost in the currency of the prices, which are those of a million tokens; whole millionths of it."""
    return round((usage.tokens_in * price_in + usage.tokens_out * price_out) / _PER, 6)


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _TOKENS_MAX
    return value if is_count else None


def _ceiling(size_bytes: int) -> int:
    return -(-size_bytes // _BYTES_A_TOKEN)
