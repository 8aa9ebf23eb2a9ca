"""The promised names of the filings room: the pipeline as an object, and the batch through the engine."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
from paper import annual

from onward import (
    RunContext,
    SECPreprocessingPipeline,
    StateManifest,
    batch_parse_filings,
    compute_file_hash,
    process_batch_incremental,
)
from onward.errors import InputRefused, InputUnreadable, ItemVanished, SettingInvalid, UsageError

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "filings"
FORD = EXAMPLES / "F_8-K_2017-10-03_0000037996-17-000084.txt.gz"


def plant(folder: Path, names: list[str], words: str = "") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(annual(behind=f"<p>{words}</p>").data)
    return [folder / name for name in names]


@pytest.mark.contract("S1-021")
def test_the_five_stages_are_those_of_the_room_in_their_order():
    steps = [step.__name__ for step in SECPreprocessingPipeline()._pipeline.steps]

    assert [stage.lower() for stage in SECPreprocessingPipeline.STAGES] == steps
    assert SECPreprocessingPipeline.STAGES == ("Sanitize", "Parse", "Extract", "Clean", "Segment")


@pytest.mark.contract("S1-022", "S1-023")
def test_process_returns_the_filing_with_cik_sic_and_ticker():
    """The facts expected are those of the file's own SEC header."""
    header = gzip.decompress(FORD.read_bytes()).decode("latin-1")

    found = SECPreprocessingPipeline().process(FORD)

    assert "CENTRAL INDEX KEY:\t\t\t0000037996" in header
    assert "[3711]" in header
    assert found["filing"]["cik"].lstrip("0") == "37996"
    assert found["filing"]["sic"] == "3711"
    assert isinstance(found["filing"]["ticker"], list)
    assert found["source"]["path"] == FORD.name


@pytest.mark.contract("S1-022", "S1-028")
def test_process_is_what_the_engine_writes_for_the_same_file(tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(FORD, tmp_path / "in")

    batch_parse_filings(input_dir=tmp_path / "in", out=tmp_path / "out", state=str(tmp_path / ".onward"), workers=1)

    (written,) = (tmp_path / "out").glob("*.json")
    assert json.loads(written.read_text()) == SECPreprocessingPipeline().process(tmp_path / "in" / FORD.name)


@pytest.mark.contract("S1-022")
def test_one_refused_file_does_not_end_a_batch_and_says_why_in_its_place(tmp_path):
    first, last = plant(tmp_path, ["a.htm", "c.htm"])
    bad = tmp_path / "b.htm"
    bad.write_bytes(b"<html><body><p>A letter to nobody.</p></body></html>")

    found = SECPreprocessingPipeline().process_batch([first, bad, tmp_path / "none.htm", last])

    assert [one["source"]["path"] for one in found] == ["a.htm", "b.htm", "none.htm", "c.htm"]
    assert [one["validation"]["status"] == "FAIL" for one in found] == [False, True, True, False]
    assert [one["validation"]["checks"][0]["name"] for one in found[1:3]] == ["input-refused", "item-vanished"]


def test_a_file_that_is_no_filing_is_refused_by_process_itself(tmp_path):
    (tmp_path / "a.htm").write_bytes(b"")
    (tmp_path / "folder.htm").mkdir()

    for name, error in (("a.htm", InputRefused), ("none.htm", ItemVanished), ("folder.htm", InputUnreadable)):
        with pytest.raises(error):
            SECPreprocessingPipeline().process(tmp_path / name)


def test_settings_are_those_of_the_room_and_others_are_refused(tmp_path):
    (file,) = plant(tmp_path, ["a.htm"])

    short = SECPreprocessingPipeline({"segment_words": 20}).process(file)
    long = SECPreprocessingPipeline({"segment_words": 300}).process(file)

    assert len(short["segments"]) > len(long["segments"])
    with pytest.raises(SettingInvalid, match="segment_words"):
        SECPreprocessingPipeline({"segment_wrods": 300})
    with pytest.raises(SettingInvalid, match="segment_words"):
        SECPreprocessingPipeline({"segment_words": 1})


@pytest.mark.contract("S0-028", "S0-004", "S0-033", "X-33")
def test_batch_parse_filings_with_a_run_context_does_only_what_is_new_or_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plant(tmp_path / "data" / "raw", ["a.htm", "b.htm", "c.htm"])
    run = RunContext("production_run", git_sha="ea45dd2")
    run.create()

    first = batch_parse_filings(run_context=run, incremental=True)
    plant(tmp_path / "data" / "raw", ["b.htm"], words="We have moved to Iowa.")
    second = batch_parse_filings(run_context=run, incremental=True)
    full = batch_parse_filings(run_context=run, incremental=False)

    assert [answer["counts"]["processed"] for answer in (first, second, full)] == [3, 1, 3]
    assert second["counts"]["skipped"] == 2
    assert sorted(path.name for path in (tmp_path / "data/interim/parsed").glob("*.json")) == [
        "a.json", "b.json", "c.json",
    ]


@pytest.mark.contract("S0-028", "S0-024", "S0-025")
def test_the_run_context_keeps_the_configuration_and_the_counts(tmp_path):
    plant(tmp_path / "in", ["a.htm"])
    run = RunContext("monday", base_dir=tmp_path / "runs")

    answer = batch_parse_filings(
        run_context=run, input_dir=tmp_path / "in", out=tmp_path / "out", state=str(tmp_path / ".onward"),
        settings={"segment_words": 100},
    )

    config = json.loads((run.output_dir / "run_config.yaml").read_text())
    metrics = json.loads((run.output_dir / "metrics.json").read_text())
    assert config["config"]["segment_words"] == 100
    assert metrics["counts"] == answer["counts"]
    assert answer["run_id"] in Path(str(answer["report"])).parent.name
    assert "monday" in Path(str(answer["report"])).parent.name


@pytest.mark.contract("X-32")
def test_further_arguments_go_by_name_and_wrong_ones_are_refused(tmp_path):
    with pytest.raises(TypeError):
        batch_parse_filings(None, True, tmp_path)  # type: ignore[misc]  # that is the point
    with pytest.raises(UsageError, match="wrokers"):
        batch_parse_filings(input_dir=tmp_path, out=tmp_path / "out", wrokers=1)
    with pytest.raises(UsageError, match="does not exist"):
        batch_parse_filings(input_dir=tmp_path / "none", out=tmp_path / "out")


# -- with a manifest


@pytest.mark.contract("S1-015", "S1-039")
def test_of_ten_files_of_which_two_changed_two_are_processed(tmp_path):
    names = [f"{n}.htm" for n in range(10)]
    inputs = plant(tmp_path / "raw", names)
    manifest = StateManifest(tmp_path / "raw" / ".manifest.json")

    first = process_batch_incremental(inputs, manifest, out=tmp_path / "out")
    plant(tmp_path / "raw", names[3:5], words="We have moved to Iowa.")
    second = process_batch_incremental(inputs, StateManifest.load(manifest.manifest_path), out=tmp_path / "out")

    assert first == {"processed": 10, "skipped": 0, "total": 10}
    assert second == {"processed": 2, "skipped": 8, "total": 10}
    assert "We have moved to Iowa." in (tmp_path / "out" / "3_parsed.json").read_text()


@pytest.mark.contract("S1-016")
def test_the_log_says_of_each_file_what_is_done_with_it_and_why(tmp_path, caplog):
    manifest = StateManifest(tmp_path / ".manifest.json")
    old, changed = plant(tmp_path, ["old.htm", "changed.htm"])
    process_batch_incremental([old, changed], manifest, out=tmp_path / "out")
    plant(tmp_path, ["changed.htm"], words="We have moved to Iowa.")
    (new,) = plant(tmp_path, ["new.htm"])

    with caplog.at_level("INFO", logger="onward"):
        caplog.clear()
        process_batch_incremental([old, changed, new], manifest, out=tmp_path / "out")

    assert [record.getMessage() for record in caplog.records] == [
        "Skipping old.htm (unchanged)", "Reprocessing changed.htm (changed)", "Processing new.htm (new)",
    ]


@pytest.mark.contract("S1-015", "S1-031", "S1-032")
def test_a_file_that_fails_is_recorded_with_its_reason_and_the_batch_goes_on(tmp_path):
    manifest = StateManifest(tmp_path / ".manifest.json")
    good, bad, last = plant(tmp_path, ["a.htm", "b.htm", "c.htm"])
    bad.write_bytes(b"<html><body><p>A letter to nobody.</p></body></html>")

    done = process_batch_incremental([good, bad, tmp_path / "none.htm", last], manifest, out=tmp_path / "out")

    assert done == {"processed": 2, "skipped": 0, "total": 4}
    reasons = {name: entry["reason"] for name, entry in manifest.get_failed_files().items()}
    assert reasons == {"b.htm": "input-refused", "none.htm": "item-vanished"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_parsed.json", "c_parsed.json"]


def test_two_files_with_one_output_are_not_both_taken(tmp_path):
    manifest = StateManifest(tmp_path / ".manifest.json")
    inputs = plant(tmp_path, ["a.htm", "a.html"])

    done = process_batch_incremental(inputs, manifest, out=tmp_path / "out")

    assert done == {"processed": 1, "skipped": 0, "total": 2}
    assert [entry["reason"] for entry in manifest.get_failed_files().values()] == ["output-collides"]


@pytest.mark.contract("S1-025", "S1-015")
def test_outputs_of_files_of_one_name_in_two_folders_do_not_meet(tmp_path):
    manifest = StateManifest(tmp_path / ".manifest.json")
    inputs = [*plant(tmp_path / "2023", ["a.htm"]), *plant(tmp_path / "2024", ["a.htm"])]

    process_batch_incremental(inputs, manifest, out=tmp_path / "out")

    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.json")) == [
        "2023/a_parsed.json", "2024/a_parsed.json",
    ]


@pytest.mark.contract("S0-045", "S0-054")
def test_a_repository_of_dvc_is_left_as_it_is_and_its_cache_is_no_input(tmp_path):
    """A repository as DVC lays it out: its folder with config and cache, a file, and the pointer that stands for it."""
    (filing,) = plant(tmp_path / "raw", ["AAPL.htm"])
    digest = compute_file_hash(filing, algorithm="md5").removeprefix("md5:")
    of_dvc = {
        ".dvc/config": b"[cache]\n    dir = .dvc/cache\n",
        f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]}.htm": filing.read_bytes(),
        "raw/AAPL.htm.dvc": f"outs:\n- md5: {digest}\n  hash: md5\n  path: AAPL.htm\n".encode(),
        "raw/.gitignore": b"/AAPL.htm\n",
        ".dvcignore": b"",
    }
    for name, data in of_dvc.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    manifest = StateManifest(tmp_path / "raw" / ".manifest.json")

    done = process_batch_incremental([filing], manifest, out=tmp_path / "out")
    ran = batch_parse_filings(input_dir=tmp_path, out=tmp_path / "live", state=str(tmp_path / ".onward"))

    assert done["processed"] == 1
    assert [item["key"] for item in ran["items"]] == ["raw/AAPL.htm"]
    assert {name: (tmp_path / name).read_bytes() for name in of_dvc} == of_dvc
    assert manifest.get_files_to_process(tmp_path / "raw", pattern="*.htm") == []


@pytest.mark.contract("S1-028")
def test_the_room_itself_knows_of_no_manifest_and_no_ledger():
    room = Path(__file__).resolve().parents[3] / "src" / "onward" / "pipelines" / "filings"

    told = [path.name for path in room.rglob("*.py") if "ledger" in path.read_text() or "manifest" in path.read_text()]

    assert told == ["faces.py"]
