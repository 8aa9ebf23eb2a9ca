"""What receipts come to, under the names of the interface; nothing at all where there are none."""

from __future__ import annotations

import json

from onward import clock
from onward.ledger.base import Reader, Spent
from onward.model.money import amount, units
from onward.model.record import Item, Receipt

NOTHING = Spent(0, 0, 0, 0)


def cost_facts(spent: Spent) -> dict[str, object]:
    """Return cost and tokens."""
    if not spent.receipts:
        return {}
    return {"cost": units(spent.cost_micro), "tokens_in": spent.tokens_in, "tokens_out": spent.tokens_out}


def cost_words(spent: Spent) -> str:
    """Say the same to a person."""
    answers = "1 answer" if spent.receipts == 1 else f"{spent.receipts:,} answers"
    return (
        f"{amount(spent.cost_micro)} for {answers}, {spent.tokens_in:,} tokens in and {spent.tokens_out:,} tokens out"
    )


def receipt_facts(ledger: Reader, item: Item, runs: dict[int, str]) -> list[dict[str, object]]:
    """Return what was paid for an item, oldest first."""
    return [_facts(row, runs) for row in ledger.receipts_of_item(item.id)]


def _facts(row: Receipt, runs: dict[int, str]) -> dict[str, object]:




    return {
        "run_id": runs[row.run_id],
        "question": json.loads(row.question),
        "cost": units(row.cost_micro),
        "tokens_in": row.tokens_in,
        "tokens_out": row.tokens_out,
        "recorded_at": clock.text(row.recorded_at),
    }
