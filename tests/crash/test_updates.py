"""Kills while outputs are replaced: whoever opens a final path sees the old whole or the new whole output."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from farm import Farm
from onward.disk.hashing import hash_bytes
from onward.engine.faults import FaultPoint

COUNT = 20
CHANGED = ("f3.txt", "f11.txt")
OLD = {f"f{i}.txt": f"old words {i} " * 200 + "\n" for i in range(COUNT)}
NEW = {name: text.replace("old", "brand new") if name in CHANGED else text for name, text in OLD.items()}
KILLS = [
    (FaultPoint.WORKER_STAGED, 2), (FaultPoint.SYNCED, 2), (FaultPoint.IN_COMMIT, 2), (FaultPoint.COMMITTED, 2),
    (FaultPoint.LINKED, 1), (FaultPoint.LINKED, 2), (FaultPoint.RENAMED, 1), (FaultPoint.RENAMED, 2),
    (FaultPoint.PUBLISHED, 2), (FaultPoint.CONFIRMED, 1), (FaultPoint.BEFORE_END, 1),
]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Farm:
    farm = Farm.plant(tmp_path_factory.mktemp("before") / "farm", OLD)
    farm.run().ok()
    return farm


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Farm:
    farm = Farm.plant(tmp_path_factory.mktemp("after") / "farm", NEW)
    farm.run().ok()
    return farm


class Looks:
    """What a reader saw at final paths."""

    def __init__(self, out: Path, names: Sequence[str]) -> None:
        self._paths = [out / name for name in names]
        self.seen: dict[str, set[bytes]] = {name: set() for name in names}
        self.missing: list[str] = []
        self.count = 0

    def look(self) -> None:
        for path in self._paths:
            try:
                self.seen[path.name].add(path.read_bytes())
            except FileNotFoundError:
                self.missing.append(path.name)
            self.count += 1


@contextmanager
def watching(farm: Farm, names: Sequence[str]) -> Iterator[Looks]:
    looks = Looks(farm.out, names)
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            looks.look()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield looks
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(("point", "n"), KILLS, ids=lambda value: str(value))
def test_an_output_is_replaced_whole_or_not_at_all(
    point: FaultPoint, n: int, before: Farm, after: Farm, tmp_path: Path
) -> None:
    farm = before.copy(tmp_path / "farm")
    farm.run().ok()  # the copy has other inodes; the bytes are looked at once
    for name in CHANGED:
        farm.write(name, NEW[name])
    names = [Path(name).with_suffix(".json").name for name in CHANGED]
    old, new = before.outputs(), after.outputs()

    with watching(farm, names) as looks:
        broken = farm.run(kill_at=point, n=n)
        again = farm.run().ok()

    assert broken.code == (0 if point is FaultPoint.WORKER_STAGED else -9)
    assert looks.missing == []
    for name in names:
        assert looks.seen[name] <= {old[name], new[name]}
        assert looks.seen[name] >= {old[name]}
    assert looks.count > 20
    assert farm.outputs() == new
    assert farm.leftovers() == []
    for name in names:
        assert farm.history()[hash_bytes(old[name])] == old[name], "the old output is kept"
    assert set(again.reasons) <= set(CHANGED)
    assert sorted(farm.successes().values()) == [1] * (COUNT + len(CHANGED))
