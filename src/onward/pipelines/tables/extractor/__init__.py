"""The names of before: extractors and their state, over the same ledger."""
