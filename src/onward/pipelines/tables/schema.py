"""Which columns a table had when it was first copied, which it has today, and what is done about a difference.

An accepted schema is kept in the job's terms, as JSON: the name and the declared type of each column. Policies:

    fail         a window of a table whose columns differ is refused; a person decides
    evolve       what is there today is copied, and becomes the accepted schema from then on
    ignore-new   new columns are left out; a column that is gone, or has another type, is refused

The order of columns and whether they may be NULL are no difference: neither changes what a value means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from onward.errors import ColumnMissing, SchemaDrifted, TypeUnsupported
from onward.pipelines.tables.config import TableSpec
from onward.pipelines.tables.databases.port import Column, TableInfo

Accepted = list[list[str]]
"""Name and declared type of each column, in their order."""


class Difference(NamedTuple):
    """How a table's columns differ from those accepted; each a sentence of a few words."""

    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """Return all of it, for people."""
        return [*self.new, *self.gone, *self.changed]


def wanted(spec: TableSpec, info: TableInfo) -> tuple[Column, ...]:
    """Return the columns that the configuration wants of a table.

    Raises:
        ColumnMissing: It names one that is not there.
        TypeUnsupported: One has no form in Arrow.
    """
    there = {column.name: column for column in info.columns}
    for name in (*spec.columns, *spec.primary_key, *([spec.window_column] if spec.window_column else [])):
        if name not in there:
            near = next((have for have in there if have.casefold() == name.casefold()), None)
            hint = f" There is '{near}'." if near else f" Its columns: {', '.join(there)}."
            msg = f"The table '{spec.key}' has no column '{name}'.{hint}"
            raise ColumnMissing(msg)
    columns = [there[name] for name in spec.columns] if spec.columns else list(info.columns)
    for column in columns:
        if column.arrow is None:
            msg = (
                f"The column '{column.name}' of '{spec.key}' is of type {column.declared}, which has no form in "
                "Parquet that loses nothing. Leave it out with `columns`, or cast it in a view."
            )
            raise TypeUnsupported(msg)
    return tuple(columns)


def accepted_of(columns: Sequence[Column]) -> Accepted:
    """Return what is kept of columns."""
    return [[column.name, column.declared] for column in columns]


def compare(spec: TableSpec, accepted: Accepted, columns: Sequence[Column]) -> Difference:
    """Say how a table's columns differ from accepted ones, as far as the configuration wants them.

    A column that the configuration names is wanted, however new it is.
    """
    before: dict[str, str] = dict(accepted)
    today = {column.name: column.declared for column in columns}
    named = set(spec.columns)
    return Difference(
        tuple(f"new column '{n}' {d}" for n, d in today.items() if n not in before and not named),
        tuple(f"column '{n}' {d} is gone" for n, d in before.items() if n not in today and (not named or n in named)),
        tuple(
            f"column '{n}' was {before[n]}, is {d}"
            for n, d in today.items()
            if n in before and before[n] != d and (not named or n in named)
        ),
    )


def conform(spec: TableSpec, accepted: Accepted, info: TableInfo) -> tuple[tuple[Column, ...], list[str]]:
    """Return the columns to copy, and what differs and is let through.

    Raises:
        SchemaDrifted: The table's policy does not let the difference through.
        ColumnMissing: The configuration names a column that is not there.
        TypeUnsupported: A column has no form in Arrow.
    """
    difference = compare(spec, accepted, info.columns)
    found = difference.sentences()
    if found and (spec.drift == "fail" or (spec.drift != "evolve" and (difference.gone or difference.changed))):
        msg = (
            f"The columns of '{spec.key}' are not what they were: {'; '.join(found)}. Set `drift` of the table to "
            "'evolve' or 'ignore-new', or put the table back; then `onward retry`."
        )
        raise SchemaDrifted(msg)
    columns = wanted(spec, info)
    if spec.drift != "ignore-new" or spec.columns:
        return columns, found
    by_name = {column.name: column for column in columns}
    return tuple(by_name[name] for name, _ in accepted), found
