"""Lines of COPY in CSV to record batches, a block at a time: Arrow's own reader does it, column by column.

It is strict: what is no plain number or time of the years 1 to 9999 it refuses, and that block is then read text by
text (`values.py`). The server sends one line a message, so every batch is known to have as many rows as lines came.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from pyarrow import csv

from onward.errors import ReadBackDiffers, ValueUnsupported
from onward.pipelines.tables.databases.port import Selection
from onward.pipelines.tables.databases.postgres.types import Form
from onward.pipelines.tables.databases.postgres.values import NoFormError, convert

_SHOWN = 60


class Blocks:
    """Makes batches of the lines of one query.

    Attributes:
        forms: Of every column.
        schema: Of every batch.
    """

    def __init__(self, selection: Selection, forms: Sequence[Form]) -> None:
        self._selection = selection
        self.forms = forms
        self.schema = pa.schema([
            pa.field(column.name, form.arrow, nullable=column.nullable)
            for column, form in zip(selection.columns, forms, strict=True)
        ])  # fmt: skip
        self._is_direct = [_is_direct(form.arrow) for form in forms]
        # Columns go by number: a name may be anything.
        self._names = [str(at) for at in range(len(forms))]
        self._types = [form.arrow if ok else pa.string() for form, ok in zip(forms, self._is_direct, strict=True)]

    def batch(self, text: memoryview, rows: int, before: int) -> pa.RecordBatch:
        """Return lines as a batch.

        Args:
            text: The lines, one a row.
            rows: How many lines came.
            before: How many rows came before, to say which one is meant.

        Raises:
            ValueUnsupported: A value has no form in its column's type.
        """
        block = pa.py_buffer(text)
        try:
            table = self._read(block, self._types)
        except pa.ArrowInvalid:
            # Something in it is beyond Arrow's reader. As bytes, since it may be no UTF-8 either.
            table = self._read(block, [pa.binary()] * len(self.forms))
        if table.num_rows != rows:
            msg = (
                f"{rows} rows of '{self._selection.schema}.{self._selection.table}' came, and {table.num_rows} "
                "were read from them. Nothing of the window was kept."
            )
            raise ReadBackDiffers(msg)
        columns = [chunked.combine_chunks() for chunked in table.columns]
        whole = [self._converted(at, columns, before) for at in range(len(columns))]
        return pa.RecordBatch.from_arrays(whole, schema=self.schema)

    def _read(self, block: pa.Buffer, types: Sequence[pa.DataType]) -> pa.Table:
        return csv.read_csv(
            block,
            # One block, so that no value lies across two; and no threads: the other core has a worker of its own.
            read_options=csv.ReadOptions(use_threads=False, column_names=self._names, block_size=block.size + 1),
            parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=dict(zip(self._names, types, strict=True)),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=["t"],
                false_values=["f"],
            ),
        )

    def _converted(self, at: int, columns: Sequence[pa.Array], before: int) -> pa.Array:
        column, form = columns[at], self.forms[at]
        if column.type == form.arrow and not pa.types.is_binary(form.arrow):
            return column
        try:
            return from_text(_text(column) if pa.types.is_binary(column.type) else column, form)
        except NoFormError as error:
            raise refusal(self._selection, at, columns, error.at, before) from None


def from_text(column: pa.Array, form: Form) -> pa.Array:
    """Return texts that the server wrote as what they become: by Arrow where it takes them all, else one by one.

    Raises:
        NoFormError: One of them has no form.
    """
    if column.type == form.arrow:
        return column
    if _is_direct(form.arrow) or pa.types.is_decimal256(form.arrow):
        try:
            return column.cast(form.arrow)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass  # some value is beyond it
    return convert(column.to_pylist(), form.arrow, form.delimiter)


def refusal(
    selection: Selection, at: int, columns: Sequence[pa.Array], row: int, before: int, shown: str | None = None
) -> ValueUnsupported:
    """Return the error for a value that has no form.

    Args:
        selection: Where it stands.
        at: In which of its columns.
        columns: The block, as far as it was read.
        row: Which of the block's rows.
        before: How many rows came before the block.
        shown: The value, where it is not to be had from the block.
    """
    chosen = selection.columns
    names = [column.name for column in chosen]
    key = [f"{name}={_shown(columns[names.index(name)][row])}" for name in selection.order_by if name in names]
    which = ", ".join(key) or f"number {before + row + 1}"
    value = repr(_shown(columns[at][row])) if shown is None else shown
    return ValueUnsupported(
        f"The column '{chosen[at].name}' ({chosen[at].declared}) of '{selection.schema}.{selection.table}' holds "
        f"{value} in the row {which}, which has no form in {chosen[at].arrow}. Mend the row, leave it out with "
        "`where`, or the column with `columns`."
    )


def _is_direct(arrow: pa.DataType) -> bool:
    """Say whether Arrow's CSV reader takes texts of this type as the server writes them."""
    kinds = pa.types
    return not (
        kinds.is_decimal256(arrow) or kinds.is_binary(arrow) or kinds.is_struct(arrow) or kinds.is_list(arrow)
    )


def _text(column: pa.Array) -> pa.Array:
    """Return bytes as text.

    Raises:
        NoFormError: Some are no UTF-8, as a database without encoding may hold.
    """
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        for at, value in enumerate(column.to_pylist()):
            try:
                bytes(value or b"").decode()
            except UnicodeDecodeError:
                raise NoFormError(at) from None
        raise


def _shown(value: pa.Scalar) -> str:
    try:
        plain = value.as_py()
    except (ValueError, OverflowError):
        plain = value.value  # Python has no such date
    text = plain.decode(errors="replace") if isinstance(plain, bytes) else str(plain)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
