"""How long an item takes and how large it is. Figures to read, printed with `-s`; no time is asserted."""

from __future__ import annotations

import os
import time

from ledger_rows import NOW, a_container, a_job, a_publish, a_recipe, a_run, a_version, an_attempt, an_item

from onward.ledger.sqlite import SqliteLedger

ITEMS, GROUP = 3000, 100


def test_figure_time_and_bytes_an_item(tmp_path):
    """Claim, closed attempt, version, publish, item and confirmation, in groups of 100 as a run commits them."""
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    job = ledger.create_job(a_job(), now=NOW)
    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(a_run(1, job.id))
        tx.put(a_recipe(1, job.id))
        tx.put(a_container(1, job.id))
        tx.put(job._replace(run_id=1))
    groups = []
    for start in range(1, ITEMS + 1, GROUP):
        rows = []
        for item_id in range(start, start + GROUP):
            item = an_item(item_id, job.id, 1, key=f"2024/Q3/{item_id:010}-24-000123.htm")
            closed = an_attempt(item_id, 1, 1, finished_at=NOW + item_id, outcome="succeeded", recipe_id=1)
            version = a_version(item_id, 1, 1, output=f"2024/Q3/{item_id:010}-24-000123.json")
            done = item._replace(state="succeeded", version=1, serial=1)
            rows.append((item, an_attempt(item_id, 1, 1), [closed, version, a_publish(item_id), done]))
        groups.append(rows)

    begun, used = time.perf_counter(), time.process_time()
    for at in range(len(groups) + 2):
        with ledger.transaction(job.id, now=NOW + at, fence=1) as tx:
            for item, _, _ in groups[at - 2] if at >= 2 else []:
                tx.drop_publish(item.id)
            for _, _, rows in groups[at - 1] if 1 <= at <= len(groups) else []:
                for row in rows:
                    tx.put(row)
            for item, claim, _ in groups[at] if at < len(groups) else []:
                tx.put(item)
                tx.put(claim)
    elapsed_s, used_s = time.perf_counter() - begun, time.process_time() - used
    ledger.close()

    size = os.path.getsize(path)
    print(
        f"\n{ITEMS} items in groups of {GROUP}: {elapsed_s / ITEMS * 1e6:.0f} us an item, "
        f"of it {used_s / ITEMS * 1e6:.0f} us of processor time; {size / ITEMS:.0f} bytes an item"
    )
    assert size > 0


def test_figure_time_to_open(tmp_path):
    path = str(tmp_path / "ledger.db")
    SqliteLedger(path).close()

    begun = time.perf_counter()
    for _ in range(50):
        SqliteLedger(path).close()
    print(f"\nopening and closing: {(time.perf_counter() - begun) / 50 * 1e3:.2f} ms")
