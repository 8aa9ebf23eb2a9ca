"""A corpus in which every kind of poison is mixed with healthy items: P10, P12, P13 and P20 at once.

Every process of a run carries a mark in its environment and its arguments, whatever it detaches itself from, so that
what is left of a run can be looked for from outside.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest

from farm import Farm, alive, assert_counts_add_up, finish, wait_until

SEED = 20261123
DEADLINE_S = 2.0
MEMORY_MB = 160
PIPELINE = '''\
"""Does what the first line of its input says; half of what is healthy fails once or twice before it is done."""

import ctypes, os, signal, subprocess, sys, time

from onward import Pipeline, files, json_files

SLEEPER = "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True);" \\
    " time.sleep(600)"
EATER = "import time; kept = []\\nwhile True: kept.append(bytearray(b'x') * (16 << 20)); time.sleep(0.01)"


def executions(key):
    with open(os.environ["TOY_LOG"], "a+") as log:
        log.write(key + "\\n")
        log.flush()
        log.seek(0)
        return log.read().split("\\n").count(key)


def child(script, **options):
    return subprocess.Popen([sys.executable, "-c", script, os.environ["POISON_MARK"]], **options)


def act(item):
    verb, *arguments = item.read_text().split()
    print(f"{item.key} begins: {verb}")
    match verb:
        case "exit":
            os._exit(137)
        case "segv":
            ctypes.string_at(0)
        case "loop":
            while True:
                pass
        case "bomb":
            bytearray(1 << 40)
        case "swell":
            kept = []
            while True:
                kept.append(bytearray(b"x") * (16 << 20))
                time.sleep(0.01)
        case "swelling-child":
            child(EATER).wait()
        case "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "stubborn":
            child(SLEEPER).wait()
        case "detached":
            child(SLEEPER, start_new_session=True, env={}, stdout=subprocess.PIPE).stdout.readline()
            while True:
                time.sleep(1)
        case "transient":
            if executions(item.key) <= int(arguments[0]):
                raise ConnectionError("the line is busy")
    return {"key": item.key, "verb": verb}


poison = Pipeline("poison", source=files("**/*"), steps=[act], sink=json_files())
'''

POISON = {
    "exit": ("worker-died", "exit code 137"),
    "segv": ("worker-died", "signal SIGSEGV"),
    "loop": ("deadline-exceeded", "signal SIGKILL"),
    "bomb": ("memory-exceeded", None),
    "swell": ("memory-exceeded", "signal SIGKILL"),
    "swelling-child": ("memory-exceeded", "signal SIGKILL"),
    "freeze": ("deadline-exceeded", "signal SIGKILL"),
    "stubborn": ("deadline-exceeded", "signal SIGKILL"),
    "detached": ("deadline-exceeded", "signal SIGKILL"),
}


def plant_corpus(base: Path, count: int, each: int) -> tuple[Farm, dict[str, str]]:
    """Make `count` items, `each` of every kind of poison among them, in an order of chance; return key → text."""
    chance = random.Random(SEED)
    texts = [verb for verb in POISON for _ in range(each)]
    healthy = count - len(texts)
    texts += [f"transient {chance.randint(1, 2)}" for _ in range(healthy // 2)]
    texts += ["fine"] * (healthy - healthy // 2)
    chance.shuffle(texts)
    corpus = {f"d{i % 3}/{i:03}.txt": text for i, text in enumerate(texts)}
    farm = Farm.plant(base, {key: text + "\n" for key, text in corpus.items()}, workers=3)
    farm.code("poison.py", PIPELINE)
    farm.pipeline = "poison.py:poison"
    farm.env["POISON_MARK"] = f"mark-{uuid4()}"
    return farm, corpus


def marked(farm: Farm) -> list[str]:
    """Return every process that carries the mark of this farm and is not merely waiting to be reaped."""
    mark = farm.env["POISON_MARK"].encode()
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            told = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if mark in told and alive(int(pid)):
            found.append(f"{pid}: {told[-200:]!r}")
    return found


@pytest.mark.contract("S0-037", "S0-039")
@pytest.mark.parametrize(
    ("count", "each"), [(60, 1), pytest.param(300, 8, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_healthy_items_are_done_and_each_poison_waits_under_its_own_name_and_reason(
    count: int, each: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    farm, corpus = plant_corpus(tmp_path / "farm", count, each)
    poisoned = {key: text for key, text in corpus.items() if text in POISON}

    ran = farm.run("--deadline", str(DEADLINE_S), "--memory-mb", str(MEMORY_MB), timeout_s=600)

    assert marked(farm) == [], "nothing of the run is left"
    assert ran.code == 1, ran.stderr[-3000:]
    assert_counts_add_up(ran.counts)
    assert (ran.counts["total"], ran.counts["processed"]) == (count, count - len(poisoned))
    assert (ran.counts["quarantined"], ran.counts["failed"], ran.counts["held"]) == (len(poisoned), 0, 0)
    assert {key for key, outcome in ran.outcomes.items() if outcome == "processed"} == corpus.keys() - poisoned.keys()

    waits = farm.onward("quarantine", "list", "--json").ok().document
    assert {one["key"]: one["reason"] for one in waits["items"]} == {
        key: POISON[text][0] for key, text in poisoned.items()
    }
    assert {one["class"] for one in waits["items"]} == {"poison"}
    for one in waits["items"]:
        evidence = json.loads(Path(one["evidence"]).read_bytes())
        verb = poisoned[one["key"]]
        assert evidence["worker"]["end"] == POISON[verb][1], one["key"]
        assert [attempt["reason"] for attempt in evidence["attempts"]] == [POISON[verb][0]] * 3
        assert evidence["worker"]["printed"].startswith(f"{one['key']} begins: {verb}\n"), evidence["worker"]
        assert evidence["input"]["sha256"].startswith("sha256:")
    tries = attempts(farm)
    for key, text in corpus.items():
        assert tries[key] == (3 if key in poisoned else 1 + int([*text.split(), "0"][1])), (key, text)
    with capsys.disabled():
        kinds = ", ".join(f"{n} {verb}" for verb, n in sorted(Counter(poisoned.values()).items()))
        print(
            f"\npoison: {count} items ({kinds}), {ran.counts['processed']} done, {len(poisoned)} quarantined, each "
            f"under its own name and reason; {sum(tries.values())} attempts in {ran.elapsed_s:.1f} s; 0 processes left"
        )


def attempts(farm: Farm) -> dict[str, int]:
    with farm.ledger() as ledger:
        return {
            known.item.key: len(ledger.attempts(known.item.id)) for job in ledger.jobs()
            for known in ledger.known_all(job.id)
        }


@pytest.mark.parametrize("verb", ["stubborn", "detached", "freeze", "loop"])
def test_nothing_is_left_when_the_whole_run_is_killed(verb: str, tmp_path: Path) -> None:
    """Only the process that a person sees is killed: nobody of the run is left to clear up but the guardians."""
    farm, _ = plant_corpus(tmp_path / "farm", 0, 0)
    farm.write("a.txt", f"{verb}\n")
    process = farm.start("--workers", "1")
    at_work = {"stubborn": 4, "detached": 4}.get(verb, 3)  # run, guardian, worker, and what the worker has started
    wait_until(lambda: len(marked(farm)) >= at_work, what="the step at work")
    time.sleep(0.1)

    os.kill(process.pid, signal.SIGKILL)
    finish(process)

    wait_until(lambda: not marked(farm), timeout_s=5, what="the end of everything")
