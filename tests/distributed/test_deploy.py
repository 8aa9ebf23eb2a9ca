"""The containers of deploy/, without a container engine: the files are read, and each command is run by hand."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from distributed.herd import Herd
from farm import wait_until

Make = Callable[..., Herd]
ROOT = Path(__file__).parents[2]
OURS = ("orchestrator", "celery-worker", "monitor")


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())


def expanded(text: str, **values: str) -> str:
    """Put in what compose puts in for `${NAME:-default}` and `${NAME:?message}`."""
    return re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda found: values.get(found[1], found[2] or ""), text)


def command(service: Any) -> list[str]:
    return [expanded(word) for word in service["command"]]


@pytest.mark.contract("S2-031")
def test_the_containers_have_the_promised_names(compose: Any) -> None:
    services = compose["services"]

    assert {"celery-worker", "orchestrator", "monitor", "postgres", "redis"} == set(services)
    assert all(one["container_name"] == f"nlp-{name}" for name, one in services.items())
    assert "pgvector" in services["postgres"]["image"]
    assert all("healthcheck" in one for one in services.values())


def test_no_secret_stands_in_the_files(compose: Any) -> None:
    environments = [one["environment"] for one in compose["services"].values() if "environment" in one]
    said = [(name, value) for environment in environments for name, value in environment.items()]
    secrets = [value for name, value in said if "PASSWORD" in name or ("://" in value and "@" in value)]

    assert len(secrets) == 4
    assert all("${ONWARD_DB_PASSWORD:?" in value for value in secrets)
    assert not any("PASSWORD" in line for line in (ROOT / "deploy" / "Containerfile").read_text().splitlines())


def test_the_image_is_made_of_what_is_there_and_does_not_run_as_root() -> None:
    lines = (ROOT / "deploy" / "Containerfile").read_text().splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    copied = [name for word, rest in steps if word == "COPY" for name in rest.split()[:-1]]
    extras = re.search(r"\.\[([\w,]+)\]", "\n".join(lines))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert steps[0][0] == "FROM"
    assert all((ROOT / name).exists() for name in copied)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
    assert ["USER", "onward"] in steps
    assert not any(word == "USER" and rest == "root" for word, rest in steps)


@pytest.mark.contract("S2-031")
def test_each_container_does_its_part_when_its_command_is_run_by_hand(herd: Make, compose: Any) -> None:
    one = herd({"a.txt": "some words\n", "b.txt": "other words\n"})
    services = compose["services"]
    in_the_image = "from onward import CheckpointManager; CheckpointManager(); print('Checkpoint manager OK')"

    too_soon = one.farm.onward(*services["celery-worker"]["healthcheck"]["test"][2:])
    worker = one.worker(*command(services["celery-worker"])[2:])
    healthy = one.farm.onward(*services["orchestrator"]["healthcheck"]["test"][2:])
    said = one.detach()
    one.wait_for_end()
    monitor = one.farm.onward(*command(services["monitor"])[1:])
    check = subprocess.run(
        [*one.farm.command("run")[:1], "-c", in_the_image], cwd=one.farm.root, env=one.farm.environment(),
        capture_output=True, text=True, check=False,
    )

    assert command(services["orchestrator"]) == ["sleep", "infinity"]
    assert (too_soon.code, healthy.code) == (2, 0), healthy.stderr
    assert said["tasks"] == 2
    assert "2/2" in monitor.stdout
    assert check.stdout.strip() == "Checkpoint manager OK", check.stderr
    assert worker.leave() == 0
    assert {"a.json", "b.json"} == set(one.farm.outputs())


@pytest.mark.long
def test_the_workers_of_one_machine_end_with_the_command_that_started_them(herd: Make) -> None:
    one = herd({"a.txt": "some words\n"})
    fleet = one.worker("--concurrency", "2")
    wait_until(lambda: fleet.said.count(" takes from ") == 2, timeout_s=40)
    pids = [int(found) for found in re.findall(r"@\S+?:(\d+) takes", fleet.said)]

    fleet.kill()

    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), timeout_s=20)
    assert len(set(pids)) == 2
