"""The digest of rows: equal exactly when the rows are, however a driver has cut and padded them.

A column is hashed as a tree of parts, each with two streams of its own: where its NULLs are, and the values that are
none. Bytes that Arrow leaves undefined (those under NULLs, before an offset, behind the last bit) never come in, and
where a batch ends is nowhere in it. Names, types and the number of rows close it.

All NaNs are one value, since no database tells them apart; 0.0 and -0.0 are two. Whether a column may hold NULL is not
part of it.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from onward.errors import TypeUnsupported

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RowsDigest"]

_FORMAT = "onward.rows/1"
_FLOATS = {2: np.float16, 4: np.float32, 8: np.float64}


class RowsDigest:
    """Takes batches of one schema, in order; see the module.

    Raises:
        TypeUnsupported: A column has a type that no database gives, e.g. a union.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._names = schema.names
        self._types = schema.types
        self._columns = [_Part(field.type, field.name) for field in schema]
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the next rows."""
        assert batch.schema.types == self._types, "every batch has the columns that were declared"
        for part, column in zip(self._columns, batch.columns, strict=True):
            part.add(column)
        self._rows += batch.num_rows

    def hexdigest(self) -> str:
        """Return `sha256:<hex>` of the rows so far; more may follow."""
        columns = [
            [name, str(of_type), part.summary()]
            for name, of_type, part in zip(self._names, self._types, self._columns, strict=True)
        ]
        text = json.dumps([_FORMAT, self._rows, columns], separators=(",", ":"), allow_nan=False)
        return "sha256:" + sha256(text.encode(errors="surrogatepass")).hexdigest()


class _Part:
    """A column, the items of a list, or a field of a struct."""

    def __init__(self, of_type: pa.DataType, name: str) -> None:
        self._type = of_type
        self._count = 0
        self._nulls = sha256()
        self._values = sha256()
        self._lengths = sha256()
        self._parts = [_Part(child.type, child.name) for child in _children(of_type)]
        self._feed = _feed(of_type, name)

    def add(self, array: pa.Array) -> None:
        """Take the next values."""
        import pyarrow.compute as pc

        start, self._count = self._count, self._count + len(array)
        if array.null_count:
            places = np.flatnonzero(pc.is_null(array).to_numpy(zero_copy_only=False)) + start
            self._nulls.update(places.astype("<i8").data)
            array = array.drop_null()
        if len(array):
            self._feed(self, array)

    def summary(self) -> list[Any]:
        """Return what the values so far come to."""
        return [
            self._count,
            self._nulls.hexdigest(),
            self._values.hexdigest(),
            self._lengths.hexdigest(),
            [part.summary() for part in self._parts],
        ]

    # -- how values without NULLs come in, by type

    def nothing(self, array: pa.Array) -> None:
        """Take values of which there is nothing to say."""

    def fixed(self, array: pa.Array) -> None:
        """Take values of one width, as their bytes."""
        width = self._type.bit_width // 8
        data = array.buffers()[1]
        if data is not None and width:
            self._values.update(memoryview(data)[array.offset * width : (array.offset + len(array)) * width])

    def floats(self, array: pa.Array) -> None:
        """Take floating numbers, all NaNs as one."""
        width = self._type.bit_width // 8
        numbers = np.frombuffer(array.buffers()[1], _FLOATS[width], len(array), array.offset * width)
        is_nan = np.isnan(numbers)
        if is_nan.any():
            numbers = np.where(is_nan, numbers.dtype.type("nan"), numbers)
        self._values.update(np.ascontiguousarray(numbers).view(np.uint8).data)

    def booleans(self, array: pa.Array) -> None:
        """Take booleans, a byte each."""
        import pyarrow as pa

        self._values.update(array.cast(pa.uint8()).to_numpy().data)

    def texts(self, array: pa.Array) -> None:
        """Take values of any width: their lengths, and their bytes."""
        offsets = _offsets(array, self._type)
        self._lengths.update(np.diff(offsets).astype("<i8").data)
        data = array.buffers()[2]
        if data is not None and offsets[-1] > offsets[0]:
            self._values.update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])

    def lists(self, array: pa.Array) -> None:
        """Take lists: their lengths, and their items as one column."""
        self._lengths.update(np.diff(_offsets(array, self._type)).astype("<i8").data)
        self._parts[0].add(array.flatten())

    def same_lists(self, array: pa.Array) -> None:
        """Take lists of one length: their items as one column."""
        self._parts[0].add(array.flatten())

    def structs(self, array: pa.Array) -> None:
        """Take structs, field by field."""
        for part, child in zip(self._parts, array.flatten(), strict=True):
            part.add(child)

    def decoded(self, array: pa.Array) -> None:
        """Take what a dictionary spells."""
        self._parts[0].add(array.dictionary_decode())

    def stored(self, array: pa.Array) -> None:
        """Take what an extension type stands on."""
        self._parts[0].add(array.storage)


def _offsets(array: pa.Array, of_type: pa.DataType) -> np.ndarray[Any, np.dtype[Any]]:
    import pyarrow as pa

    types = pa.types
    is_large = types.is_large_string(of_type) or types.is_large_binary(of_type) or types.is_large_list(of_type)
    kind = np.dtype("<i8" if is_large else "<i4")
    return np.frombuffer(array.buffers()[1], kind, len(array) + 1, array.offset * kind.itemsize)


def _children(of_type: pa.DataType) -> list[pa.Field]:
    import pyarrow as pa

    types = pa.types
    if isinstance(of_type, pa.BaseExtensionType):
        return [pa.field("storage", of_type.storage_type)]
    if types.is_dictionary(of_type):
        return [pa.field("value", of_type.value_type)]
    return [of_type.field(i) for i in range(of_type.num_fields)]


def _feed(of_type: pa.DataType, name: str) -> Any:  # a method of _Part
    import pyarrow as pa

    types = pa.types
    if types.is_null(of_type):
        return _Part.nothing
    if isinstance(of_type, pa.BaseExtensionType):
        return _Part.stored
    if types.is_dictionary(of_type):
        return _Part.decoded
    if types.is_boolean(of_type):
        return _Part.booleans
    if types.is_floating(of_type):
        return _Part.floats
    if (
        types.is_string(of_type)
        or types.is_binary(of_type)
        or types.is_large_string(of_type)
        or types.is_large_binary(of_type)
    ):
        return _Part.texts
    if types.is_list(of_type) or types.is_large_list(of_type):
        return _Part.lists
    if types.is_fixed_size_list(of_type):
        return _Part.same_lists
    if types.is_struct(of_type):
        return _Part.structs
    if types.is_primitive(of_type) or types.is_decimal(of_type) or types.is_fixed_size_binary(of_type):
        return _Part.fixed
    msg = f"The column '{name}' is of type {of_type}, of which no digest can be taken; cast it in a view."
    raise TypeUnsupported(msg)
