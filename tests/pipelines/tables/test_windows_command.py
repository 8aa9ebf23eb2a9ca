"""`onward windows`, `onward validate` and the flags that ask for days, as a person types them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from farm import Farm
from tables_farm import TablesFarm

KEY = "shop.main.sale"


@pytest.fixture
def farm(tmp_path: Path) -> TablesFarm:
    return TablesFarm.of(tmp_path / "farm")


def job_of(farm: TablesFarm) -> str:
    name = farm.onward("status", "--json").ok().document["job"]
    assert isinstance(name, str)
    return name


def states(farm: TablesFarm, *args: str) -> dict[str, str]:
    found = farm.onward("windows", "--json", *args).ok().document
    return {day["day"]: day["state"] for table in found["tables"] for day in table["days"]}


# -- asking for days


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_flag_that_asks_for_days_is_the_setting_of_the_same_name(verb: str, farm: TablesFarm) -> None:
    by_flag = farm.onward(verb, "tables", "tables.toml", "--out", "a", "--date", "2025-01-02", "--json").ok()
    by_setting = farm.onward(verb, "tables", "tables.toml", "--out", "b", "--set", "date=2025-01-02", "--json").ok()

    assert by_flag.reasons == by_setting.reasons == {f"{KEY}@2025-01-02": "new"}


@pytest.mark.parametrize("flag", [["--date", "2025-01-02"], ["--backfill", "2025-01-02..2025-01-03"], ["--since-last"],
                                  ["--allow-open"]], ids=lambda flag: flag[0])  # fmt: skip
def test_a_pipeline_whose_items_are_no_days_refuses_to_be_asked_for_some(
    flag: list[str], plant: Callable[..., Farm]
) -> None:
    ran = plant({"a.txt": "words\n"}).run(*flag)

    assert ran.code == 2
    assert f"{flag[0]} asks for days" in ran.stderr


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--date", "2025-01-02", "--since-last"], "--date and --since-last exclude each other"),
        (["--date", "2025-01-02", "--backfill", "2025-01-02..2025-01-03"], "--date and --backfill exclude each other"),
        (["--date", "soon"], "'soon' is not a day"),
        (["--backfill", "2025-01-02"], "'2025-01-02' is not a range of days"),
        (["--date", "9000-01-02"], "does not begin before 9000-01-02T00:00:00Z"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_starts(
    flags: list[str], says: str, farm: TablesFarm
) -> None:
    ran = farm.onward("run", "tables", "tables.toml", "--out", "out", *flags)

    assert ran.code == 2
    assert says in ran.stderr
    assert farm.onward("status").code == 2  # no job was born


def test_a_day_that_has_not_begun_is_marked_open_where_that_is_allowed(farm: TablesFarm) -> None:
    coming = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    farm.run("--date", coming, "--allow-open").ok()

    assert states(farm) == {coming: "open"}
    assert farm.onward("validate").code == 0


@pytest.mark.contract("X-17")
def test_a_resumed_job_has_the_windows_it_was_asked_for(farm: TablesFarm) -> None:
    farm.run().ok()
    farm.onward("resume", job_of(farm)).ok()

    assert list(states(farm)) == [f"2025-01-0{n}" for n in (1, 2, 3, 4)]


# -- windows


def test_every_day_is_a_character_of_its_month(farm: TablesFarm) -> None:
    farm.run("--date", "2025-01-01").ok()
    farm.run("--date", "2025-02-03").ok()

    told = farm.onward("windows").ok().stdout

    lines = told.splitlines()
    assert lines[:2] == [f"{KEY}  UTC", "  2025-01-01..2025-02-03: 2 done, 32 missing"]
    assert lines[3:5] == ["  2025-01  #" + "." * 30, "  2025-02  ..#"]
    assert max(len(line) for line in lines if not line.startswith(("job", "next"))) <= 80
    assert f"next:  onward resume {job_of(farm)} --set backfill=2025-01-02..2025-02-02" in told


def test_what_to_run_next_is_what_makes_a_job_sound(farm: TablesFarm) -> None:
    farm.run("--date", "2025-01-01").ok()
    farm.run("--date", "2025-01-04").ok()
    found = farm.onward("validate", "--json")

    assert found.code == 1
    (command,) = found.document["run"]
    farm.onward(*command.split()[1:]).ok()

    assert farm.onward("validate").ok().stdout.endswith("no gap, no overlap, no drift.\n")
    assert set(states(farm).values()) == {"done"}


def test_a_day_with_late_rows_is_late_and_as_known_before_it_was_done(tmp_path: Path) -> None:
    farm = TablesFarm.of(tmp_path / "farm", more='lag = "3d"')
    farm.run("--since-last").ok()
    (day,) = states(farm)
    between = datetime.now(UTC).isoformat()
    farm.insert([(1000, f"{day} 10:00:00", "late")])
    farm.run("--since-last").ok()

    assert states(farm)[day] == "late"
    assert states(farm, "--known-at", between)[day] == "done"


def test_a_refused_schema_is_drifted_and_validate_says_how_to_let_it_pass(farm: TablesFarm) -> None:
    farm.run("--date", "2025-01-01").ok()
    farm.ask("ALTER TABLE sale ADD COLUMN more TEXT")
    assert farm.run("--date", "2025-01-02").code == 1

    found = farm.onward("validate", job_of(farm), "--json")

    assert states(farm) == {"2025-01-01": "done", "2025-01-02": "drifted"}
    assert found.code == 1
    (finding,) = found.document["findings"]
    assert (finding["kind"], finding["run"]) == ("schema-drifted", f"onward retry {job_of(farm)}")


def test_one_table_can_be_asked_for_and_a_stranger_is_refused(farm: TablesFarm) -> None:
    farm.run().ok()

    assert len(states(farm, "--table", KEY)) == 4
    refused = farm.onward("windows", "--table", "shop.main.x")
    assert refused.code == 2
    assert f"Its tables: {KEY}." in refused.stderr


@pytest.mark.parametrize("verb", ["windows", "validate"])
def test_a_job_without_windows_and_no_job_at_all_are_refused(verb: str, plant: Callable[..., Farm]) -> None:
    farm = plant({"a.txt": "words\n"})

    assert farm.onward(verb).code == 2
    farm.run()
    without, unknown = farm.onward(verb), farm.onward(verb, "nobody")
    assert (without.code, unknown.code) == (2, 2)
    assert "has no windows" in without.stderr
    assert "There is no job 'nobody'" in unknown.stderr


def test_an_instant_without_zone_is_refused(farm: TablesFarm) -> None:
    farm.run().ok()

    ran = farm.onward("windows", "--known-at", "2025-01-25T00:00:00")

    assert ran.code == 2
    assert "has no time zone" in ran.stderr


def test_windows_and_validate_look_at_the_ledger_alone(farm: TablesFarm) -> None:
    farm.run().ok()
    (farm.root / "shop.db").unlink()
    (farm.root / "tables.toml").unlink()

    assert set(states(farm).values()) == {"done"}
    assert farm.onward("validate", job_of(farm)).ok()


# -- the report


def test_the_page_of_a_run_shows_the_days_of_every_table(farm: TablesFarm) -> None:
    ran = farm.run().ok()
    page = (farm.root / Path(ran.document["report"])).with_name("report.html").read_text()
    farm.onward("report", "--html", "again.html").ok()

    assert "<h2>Days</h2>" in page
    assert "2025-01-01 to 2025-01-04: done" in page
    assert f"{date(2025, 1, 1)} to {date(2025, 1, 4)}: done" in (farm.root / "again.html").read_text()


def test_a_table_that_left_and_was_pruned_is_not_missed(farm: TablesFarm) -> None:
    farm.ask("CREATE TABLE other (id INTEGER PRIMARY KEY, at DATETIME)")
    one = (farm.root / "tables.toml").read_text()
    other = '[[tables]]\nsource = "shop"\nschema = "main"\ntable = "other"\nwindow_column = "at"\n'
    (farm.root / "tables.toml").write_text(one + other)
    farm.run().ok()
    (farm.root / "tables.toml").write_text(one)
    farm.onward("prune", job_of(farm)).ok()

    assert farm.onward("windows", "--json").ok().document["left"] == ["shop.main.other"]
    assert farm.onward("validate").code == 0


def test_a_window_that_was_rolled_back_is_as_it_was_and_what_came_later_is_missing(tmp_path: Path) -> None:
    farm = TablesFarm.of(tmp_path / "farm", more='lag = "3d"')
    first = farm.run("--since-last").ok().document["run_id"]
    (day,) = states(farm)
    farm.insert([(1000, f"{day} 10:00:00", "late")])
    farm.run("--since-last").ok()
    before = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
    farm.run("--date", before).ok()
    farm.onward("rollback", job_of(farm), "--to", first).ok()

    assert states(farm) == {before: "missing", day: "done"}
