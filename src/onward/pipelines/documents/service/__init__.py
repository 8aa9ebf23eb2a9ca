"""The names of before: a service that takes files and folders, over the same ledger."""
