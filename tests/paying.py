"""A farm whose items ask a service that costs money; what was paid stands beside the workspace, one line a payment.

Each line of an item is one question: a text, and after `=` what the answer costs (in millionths of a unit; 100 by
default). Equal texts are equal questions, in whatever item. `!threads` asks all of an item at once; other first lines
do what their name says.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from farm import Farm

PAYING = '''\
"""Asks, pays, and writes down what it was told."""

import json, os, time
from concurrent.futures import ThreadPoolExecutor

from onward.engine.sinks.file_sink import json_files
from onward.engine.sources.file_source import files
from onward.engine.pipeline import Pipeline
from onward.engine.receipts import Paid


def pay(key, text, cost_micro):
    """The service: takes the money, then answers."""
    line = json.dumps({"key": key, "text": text, "micro": cost_micro, "pid": os.getpid()}) + "\\n"
    fd = os.open(os.environ["TOY_LOG"] + ".paid", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, line.encode())
    os.close(fd)
    if "slow" in text:
        time.sleep(0.1)
    if "hold" in text:
        open(os.environ["TOY_LOG"] + ".holding", "a").close()
        while not os.path.exists(os.environ["TOY_LOG"] + ".go"):
            time.sleep(0.005)
    if "refuse" in text and not os.path.exists(os.environ["TOY_LOG"] + ".go"):
        raise ConnectionError("no answer")
    answer = {"text": text, "said": ("long " * 100_000 if "long" in text else "yes")}
    return Paid(answer, tokens_in=len(text), tokens_out=1, cost=cost_micro / 1e6)


def asks(item, config, receipts):
    first, *lines = item.read_text().splitlines()
    if not first.startswith("!"):
        first, lines = "", [first, *lines]

    def one(line):
        text, _, cost = line.partition("=")
        question = {"model": config["model"], "text": text}
        return receipts.once(question, lambda: pay(item.key, text, int(cost or 100)))["text"]

    if first == "!threads":
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(one, lines))
    else:
        answers = [one(line) for line in lines]
    if first == "!exit" and not os.path.exists(os.environ["TOY_LOG"] + ".go"):
        os._exit(7)
    if first == "!sleep" and not os.path.exists(os.environ["TOY_LOG"] + ".go"):
        time.sleep(60)
    return {"key": item.key, "answers": answers}


paying = Pipeline(
    "paying", source=files("**/*"), steps=[asks], sink=json_files(), settings={"model": "m", "max_cost": 0.0},
    budget="max_cost",
)
'''


def paying(base: Path, files: dict[str, str], *, workers: int = 1) -> Farm:
    """Plant a farm whose items ask."""
    farm = Farm.plant(base, files, workers=workers)
    farm.pipeline = "paying.py:paying"
    farm.code("paying.py", PAYING)
    return farm


def payments(farm: Farm) -> list[dict[str, Any]]:
    """Return everything that was ever paid, in order."""
    path = Path(f"{farm.log}.paid")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def paid(farm: Farm) -> Counter[str]:
    """Return how often each question was paid for."""
    return Counter(one["text"] for one in payments(farm))
