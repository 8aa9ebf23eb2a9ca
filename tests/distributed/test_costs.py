"""What an outside service is paid for on many workers: once a question, and no more than the budget."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from distributed.herd import Herd, ended
from farm import wait_until

Make = Callable[..., Herd]

PAYING = '''\
import json, os

from onward.engine.sinks.file_sink import json_files
from onward.engine.sources.file_source import files
from onward.engine.pipeline import Pipeline
from onward.engine.receipts import Paid
from toy import act, note


def read(item):
    note(item)
    return {"key": item.key, "text": item.read_text()}


def ask(value, receipts):
    def service():
        with open(os.environ["TOY_LOG"] + ".paid", "a") as log:
            log.write(json.dumps(value["key"]) + "\\n")
        return Paid(value["text"].upper(), tokens_in=10, tokens_out=2, cost=1.0)

    answer = receipts.once({"model": "m", "text": value["text"]}, service)
    return {"key": value["key"], "answer": answer}


paying = Pipeline(
    "paying", source=files("**/*"), steps=[read, act, ask], sink=json_files(), settings={"cap": 0.0}, budget="cap",
)
'''


def paid(one: Herd) -> list[str]:
    log = one.farm.base / "effects.log.paid"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_budget_pauses_every_worker_and_a_higher_one_goes_on(herd: Make) -> None:
    names = {f"{number:02}.txt": f"!slow\nwords {number}\n" for number in range(24)}
    one = herd(names)
    one.farm.code("paying.py", PAYING)
    one.farm.pipeline = "paying.py:paying"
    one.several(2)

    capped = one.run("--set", "cap=8")
    refused = one.run("--set", "cap=8")
    raised = one.run("--set", "cap=0")

    assert (capped.code, capped.document["status"]) == (3, "paused"), capped.stderr
    assert 8 <= capped.document["cost"] <= 8 + 2
    assert refused.code == 3
    assert raised.code == 0, raised.stderr
    assert capped.document["cost"] + raised.document["cost"] == 24
    assert sorted(paid(one)) == sorted(names)
    one.assert_exactly_once(set(names))


@pytest.mark.long
def test_what_a_killed_worker_had_paid_for_is_not_paid_again(herd: Make) -> None:
    one = herd({"a.txt": "words\n", "b.txt": "!slow\nother words\n"})
    one.farm.code("paying.py", PAYING.replace("    return {\"key\": value[\"key\"], \"answer\": answer}", HOLD))
    one.farm.pipeline = "paying.py:paying"
    dying = one.worker("--name", "dying")
    run = one.start()
    wait_until(lambda: (one.farm.base / "effects.log.asked").exists(), timeout_s=40)
    dying.kill()
    (one.farm.base / "effects.log.go").touch()
    one.worker()

    ran = ended(run)

    assert ran.code == 0, ran.stderr
    assert sorted(paid(one)) == ["a.txt", "b.txt"]
    assert ran.document["cost"] == 2
    assert one.successes() == {"a.txt": 1, "b.txt": 1}


HOLD = '''\
    open(os.environ["TOY_LOG"] + ".asked", "a").close()
    while not os.path.exists(os.environ["TOY_LOG"] + ".go"):
        import time
        time.sleep(0.01)
    return {"key": value["key"], "answer": answer}'''
