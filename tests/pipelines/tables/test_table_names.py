"""A table's key is whole however long its name is; its folder has a name that a file system can hold."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.pipelines.tables.names import container_of, output_of, table_key, table_names, window_key
from tables_farm import TablesFarm

NAME_BYTES_MAX = 255
DAY = date(2025, 1, 23)
NAMES = st.text(min_size=1, max_size=60) | st.builds(str.__mul__, st.text(min_size=1, max_size=5), st.integers(1, 300))


@given(NAMES, NAMES, NAMES)
def test_law_every_part_of_a_path_can_be_held_and_the_key_is_whole(source: str, schema: str, table: str) -> None:
    key = table_key(source, schema, table)

    parts = output_of(window_key(key, DAY)).split("/")

    assert len(parts) == 4
    assert max(len(part.encode()) for part in parts) <= NAME_BYTES_MAX
    assert "/".join(parts[:2]) == container_of(key)
    if all(name.isprintable() for name in (source, schema, table)):
        assert table_names(key) == (source, schema, table)


def test_a_name_that_just_fits_is_not_cut_and_one_byte_more_is() -> None:
    fits = "t" * (NAME_BYTES_MAX - len("main."))

    assert container_of(table_key("shop", "main", fits)) == f"shop/main.{fits}"
    cut = container_of(table_key("shop", "main", fits + "t")).removeprefix("shop/")
    assert len(cut) == NAME_BYTES_MAX
    assert cut != f"main.{fits}"


@pytest.mark.parametrize("character", ["t", "\u00e4", "\u6c49", "%", "/"])
def test_two_long_names_that_differ_at_their_end_have_two_folders(character: str) -> None:
    one, other = (container_of(table_key("shop", "main", character * 300 + end)) for end in "ab")

    assert one != other
    assert "/" not in one.removeprefix("shop/")
    cut = one.rpartition("~")[0]
    assert cut.replace("%25", "").replace("%2F", "").find("%") < 0  # no half of an encoded character


def test_the_same_long_table_of_two_sources_has_two_folders() -> None:
    one, other = (container_of(table_key(source * 300, "main", "sale")) for source in "ab")

    assert one != other


def test_a_table_with_a_long_name_is_copied(tmp_path: Path) -> None:
    farm = TablesFarm.of(tmp_path / "farm", days=2)
    name = "sale" + "ä" * 126 + "x"
    farm.ask(f'ALTER TABLE sale RENAME TO "{name}"')
    text = (farm.root / "tables.toml").read_text()
    (farm.root / "tables.toml").write_text(text.replace('table = "sale"', f'table = "{name}"'))

    ran = farm.run("--backfill", "2025-01-01..2025-01-02").ok()

    assert ran.counts["processed"] == 2
    assert len(list(farm.out.rglob("part-0.parquet"))) == 2
