"""Batches: what they deliver, and that nothing that may happen on the way changes a byte of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from rdkit import Chem
from typer.testing import CliRunner

import molgen
from molgen.batch.chunk import compute_chunk, draw_again, read_chunk
from molgen.batch.folder import BatchFolder
from molgen.batch.jobs import Job
from molgen.batch.plan import resolve
from molgen.batch.running import (
    BatchError,
    BatchEstimate,
    RunPlan,
    estimate_batch,
    merge_batch,
    run_batch,
)
from molgen.batch.workers import WorkerPool
from molgen.cli import app
from molgen.provenance import load_table, save_table, verify

RESULTS = ("molecules.parquet", "molecules.csv", "molecules.csv.provenance.json")
CHEAP = {"properties": ["mw", "logp"], "filters": ["veber"], "report": False, "workers": 0}


def plan_for(folder: Path, **keys) -> dict:
    return {"model": str(folder), "n": 1_100, "seed": 5, "chunk_size": 512, **CHEAP, **keys}


def contents(folder: Path, names=RESULTS) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def whole(small_folder, tmp_path_factory) -> Path:
    """A batch of 1,100 molecules that nothing interrupted."""
    folder = tmp_path_factory.mktemp("batch") / "whole"
    run_batch(plan_for(small_folder), folder)
    return folder


# --- What is delivered ------------------------------------------------------------------------


def test_the_molecules_are_new_pass_and_are_described(whole):
    table = pd.read_csv(whole / "molecules.csv")
    assert len(table) == 1_100
    assert list(table.columns) == ["smiles", "inchikey", "draw", "mw", "logp", "passed"]
    keys = [Chem.MolToInchiKey(Chem.MolFromSmiles(s)) for s in table["smiles"]]
    assert keys == list(table["inchikey"]) and len(set(keys)) == 1_100
    assert table["draw"].is_monotonic_increasing
    assert molgen.filter_molecules(table["smiles"][:200], ["veber"])["passed"].all()
    again = molgen.describe(table["smiles"][:50], properties=["mw", "logp"])
    np.testing.assert_allclose(again["logp"], table["logp"][:50], rtol=1e-12)
    pd.testing.assert_frame_equal(table, pd.read_parquet(whole / "molecules.parquet"))


def test_nothing_that_should_be_there_is_left_out(whole, small_model):
    """The same by hand: draw, drop what fails or was seen, keep the first 1,100."""
    seen, expected, block = set(), [], 0
    while len(expected) < 1_100:
        smiles, _ = small_model.sample_block(block, 5)
        passed = molgen.filter_molecules(smiles, ["veber"])["passed"]
        for text, good in zip(smiles, passed):
            key = Chem.MolToInchiKey(Chem.MolFromSmiles(text))
            if good and key not in seen:
                seen.add(key)
                expected.append(text)
        block += 1
    assert list(pd.read_csv(whole / "molecules.csv")["smiles"]) == expected[:1_100]


def test_results_carry_a_record_that_verify_confirms(whole, tmp_path):
    for name in RESULTS[:2]:
        checked = verify(whole / name, n_rows=20)
        assert checked.passed
        digests, descriptors, filters, blocks = checked.checks
        assert digests == "digests of 1,100 rows"
        assert descriptors == "2 descriptors of 20 rows, recomputed"
        assert filters == "filters of 20 rows, applied again"
        assert int(blocks.removesuffix(" molecules, their blocks drawn again")) > 300
        assert checked.provenance.seed == 5
        assert checked.provenance.arguments["n"] == 1_100
        assert len(checked.provenance.checkpoint_sha256) == 64
    table, provenance = load_table(whole / "molecules.parquet")
    table.loc[7, "logp"] += 0.5
    save_table(table, tmp_path / "forged.parquet", provenance)
    assert not verify(tmp_path / "forged.parquet", n_rows=1_100).passed


def test_rows_are_what_the_seed_gives(whole, small_model):
    table, provenance = load_table(whole / "molecules.csv")
    compared, different = draw_again(table, provenance, small_model, [3, 700])
    assert compared > 900 and different == []
    table.loc[701, "smiles"] = "CCO"
    _, different = draw_again(table, provenance, small_model, [3, 700])
    assert [row for row, _ in different] == [701] and "is CCO, drawn again" in different[0][1]
    with pytest.raises(ValueError, match="Only a table that a batch wrote"):
        draw_again(table.drop(columns="draw"), provenance, small_model, [0])


def test_when_all_is_done_nothing_is_touched(whole, small_folder):
    before = {p: p.stat().st_mtime_ns for p in whole.iterdir() if p.name != "run.lock"}
    result = run_batch(plan_for(small_folder), whole)
    assert result.already_done and result.n == 1_100 and "Nothing to do" in str(result)
    assert before == {p: p.stat().st_mtime_ns for p in before}
    assert not (whole / "work").exists()


def test_a_result_that_was_removed_is_made_again_and_a_changed_one_refused(small_folder, tmp_path):
    plan = plan_for(small_folder, n=300)
    run_batch(plan, tmp_path / "a")
    first = contents(tmp_path / "a")
    (tmp_path / "a" / "molecules.csv").unlink()
    assert not run_batch(plan, tmp_path / "a").already_done
    assert contents(tmp_path / "a") == first
    with (tmp_path / "a" / "molecules.csv").open("a") as handle:
        handle.write("CCO,,,,,\n")
    with pytest.raises(BatchError, match=r"molecules\.csv was changed after"):
        run_batch(plan, tmp_path / "a")


# --- The same bytes, whatever happens ---------------------------------------------------------


def test_chunk_size_and_workers_do_not_matter(whole, small_folder, tmp_path):
    run_batch(plan_for(small_folder, chunk_size=1_500, workers=2), tmp_path / "b")
    assert contents(tmp_path / "b") == contents(whole)


def test_a_run_killed_at_any_moment_goes_on(whole, small_folder, tmp_path):
    """kill -9, four times, at moments spread over the run: also while results are written."""
    run_file, folder = tmp_path / "run.yaml", tmp_path / "killed"
    run_file.write_text(yaml.safe_dump(plan_for(small_folder)))
    code = "import sys, molgen; molgen.run_batch(sys.argv[1], sys.argv[2])"
    moments = [
        lambda: (folder / "work" / "seen.duckdb").exists(),
        lambda: (folder / "work" / "chunks" / "00000000.parquet").exists(),
        lambda: (folder / "work" / "chunks" / "00000001.parquet").exists(),
        lambda: (folder / "work" / "molecules.parts").exists(),
    ]
    kept = []
    for moment in moments:
        run = subprocess.Popen([sys.executable, "-c", code, run_file, folder])
        while not moment() and run.poll() is None:
            time.sleep(0.002)
        run.kill()
        assert run.wait() == -signal.SIGKILL
        kept.append(len(list((folder / "work" / "chunks").glob("*.parquet"))))
    assert kept == sorted(kept) and kept[1] >= 1  # no chunk that was finished is lost
    (folder / "work" / "chunks" / "00000002.parquet.tmp").write_bytes(b"PAR1 half")
    run_batch(run_file, folder)
    assert contents(folder) == contents(whole)


def test_a_damaged_chunk_is_computed_again(whole, small_folder, tmp_path):
    folder = tmp_path / "damaged"
    plan = plan_for(small_folder)
    task = resolve(RunPlan.from_dict(plan))
    with pytest.raises(BatchError, match="disk"):
        _run_with_failing_disk(plan, folder, after=3)
    chunk = folder / "work" / "chunks" / "00000000.parquet"
    content = bytearray(chunk.read_bytes())
    with pytest.raises(BatchError, match="belongs to another run"):
        read_chunk(bytes(content), task, 1)
    content[len(content) // 2 :] = b""
    chunk.write_bytes(bytes(content))
    run_batch(plan, folder)
    assert contents(folder) == contents(whole)


def _run_with_failing_disk(plan, folder, after):
    """Run while every flush to the disk but the first ``after`` fails as on a full disk."""
    flushes = iter(range(10**6))
    real = os.fsync

    def fsync(descriptor):
        if next(flushes) >= after:
            raise OSError(28, "No space left on device")
        real(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        run_batch(plan, folder)


@pytest.mark.long
def test_a_full_disk_is_told_and_nothing_is_lost(whole, small_folder, tmp_path):
    """A real one: a small file system in memory."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting needs root; the simulated full disk is tested elsewhere")
    plan = plan_for(small_folder)
    full_at = []
    try:
        for size in (16, 40, 80, 120, 160, 200, 240, 280, 50_000):
            subprocess.run(["mount", "-o", f"remount,size={size}k", folder], check=True)
            try:
                run_batch(plan, folder)
                break
            except BatchError as error:
                assert "is full. What was done is kept" in str(error)
                full_at.append(size)
                assert not [n for n in RESULTS if (folder / n).exists()]
        assert len(full_at) > 2  # full at chunks, and full at results
        assert contents(folder) == contents(whole)
    finally:
        subprocess.run(["umount", folder], check=True)


# --- Workers ----------------------------------------------------------------------------------


def test_a_worker_that_dies_or_hangs_is_replaced(small_folder, tmp_path):
    task = resolve(RunPlan.from_dict(plan_for(small_folder)))
    expected = compute_chunk(task, 0)
    pool = WorkerPool(task, 1, tmp_path, timeout=1e9, retries=2)
    try:
        pool.submit(Job(0))
        assert pool.next_result(patience=0.0) is None
        os.kill(pool.process_ids()[0], signal.SIGKILL)
        assert pool.next_result(patience=0.2) is None
        os.kill(pool.process_ids()[0], signal.SIGSTOP)
        time.sleep(0.15)
        pool._timeout = 0.1
        assert pool.next_result(patience=0.0) is None
        pool._timeout = 1e9
        assert pool.next_result(patience=120.0) == (Job(0), expected)
        assert pool.pending == 0
        pool.submit(Job(1))
        pool.next_result(patience=0.0)
        pool._retries = 0
        os.kill(pool.process_ids()[0], signal.SIGKILL)
        with pytest.raises(BatchError, match=r"Chunk 1 failed 1 times: .*out of memory\?"):
            pool.next_result(patience=60.0)
    finally:
        pool.close()


def _objective(tmp_path, monkeypatch, body: str) -> dict:
    module = f"scorer_of_{tmp_path.name}"  # modules are imported once a process
    (tmp_path / f"{module}.py").write_text(f"import time\ndef scorer(smiles):\n    {body}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    params = {"function": f"{module}:scorer"}
    return {
        "components": [
            {"property": "python", "goal": "maximise", "name": "mine", "params": params,
             "transform": {"type": "range", "low": 0, "high": 100}},
            "maximise qed",
        ]
    }  # fmt: skip


def test_scores_are_those_of_score(small_folder, tmp_path, monkeypatch):
    objective = _objective(tmp_path, monkeypatch, "return float(len(smiles))")
    result = run_batch(plan_for(small_folder, n=200, objective=objective), tmp_path / "s")
    assert result.n == 200
    table = pd.read_parquet(tmp_path / "s" / "molecules.parquet")
    expected = molgen.score(table["smiles"], molgen.Objective.from_dict(objective))
    np.testing.assert_allclose(table["score"], expected["score"])
    assert list(table["raw_mine"]) == [len(s) for s in table["smiles"]]
    assert (table["score_problems"] == "").all()


def test_only_molecules_that_are_delivered_are_scored(whole, small_folder, tmp_path, monkeypatch):
    """Not those that another chunk had before, are known, or are beyond n."""
    log = tmp_path / "scored.txt"
    objective = _objective(
        tmp_path, monkeypatch, f"open({str(log)!r}, 'a').write(smiles + chr(10)); return 1.0"
    )
    table = pd.read_csv(whole / "molecules.csv")
    (tmp_path / "known.smi").write_text("\n".join(table["smiles"][:30]))
    keys = {"objective": objective, "known": [str(tmp_path / "known.smi")], "n": 900}
    run_batch(plan_for(small_folder, **keys), tmp_path / "o")
    delivered = list(pd.read_csv(tmp_path / "o" / "molecules.csv")["smiles"])
    assert delivered == list(table["smiles"][30:930])
    assert sorted(log.read_text().split()) == sorted(delivered)
    assert verify(tmp_path / "o" / "molecules.parquet", n_rows=900).passed


def test_scores_survive_an_interruption_and_damage(small_folder, tmp_path, monkeypatch):
    objective = _objective(tmp_path, monkeypatch, "return float(len(smiles))")
    plan = plan_for(small_folder, n=700, objective=objective)
    run_batch(plan, tmp_path / "whole")
    with pytest.raises(BatchError, match="disk"):
        _run_with_failing_disk(plan, tmp_path / "o", after=4)
    scores = sorted((tmp_path / "o" / "work" / "chunks").glob("*.scores.parquet"))
    assert scores
    scores[0].write_bytes(scores[0].read_bytes()[:-9])
    run_batch(plan, tmp_path / "o")
    assert contents(tmp_path / "o") == contents(tmp_path / "whole")


def test_a_scorer_that_returns_strings_is_reported(small_folder, tmp_path, monkeypatch):
    objective = _objective(tmp_path, monkeypatch, "return 'high'")
    with pytest.raises(BatchError, match=r"'mine' .* no value .* returned 'high', not a number"):
        run_batch(plan_for(small_folder, n=20, objective=objective), tmp_path / "s")


@pytest.mark.long
def test_a_scorer_that_hangs_is_reported(small_folder, tmp_path, monkeypatch):
    objective = _objective(tmp_path, monkeypatch, "time.sleep(50)")
    plan = plan_for(small_folder, n=20, objective=objective, workers=1, timeout=15, retries=0)
    with pytest.raises(BatchError, match="Chunk 0 failed 1 times: it gave no answer within 15 s"):
        run_batch(plan, tmp_path / "s")


@pytest.mark.slow
def test_dask_gives_the_same_bytes_though_a_worker_is_killed(whole, small_folder, tmp_path):
    distributed = pytest.importorskip("distributed")
    import threading

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:

        def kill_one():
            while not list((tmp_path / "d" / "work" / "chunks").glob("*.parquet")):
                time.sleep(0.01)
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_one, daemon=True)
        killer.start()
        where = {"kind": "address", "address": cluster.scheduler_address}
        run_batch(plan_for(small_folder, cluster=where), tmp_path / "d")
        killer.join(timeout=1)
        assert not killer.is_alive()
    assert contents(tmp_path / "d") == contents(whole)


@pytest.mark.long
@pytest.mark.slow
def test_on_dask_too_a_scorer_that_hangs_is_reported(small_folder, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    objective = _objective(tmp_path, monkeypatch, "time.sleep(50)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    keys = {"objective": objective, "timeout": 4, "retries": 0, "cluster": {"kind": "local"}}
    with pytest.raises(BatchError, match="Chunk 0 failed 1 times: it gave no answer within 8 s"):
        run_batch(plan_for(small_folder, n=20, **keys), tmp_path / "s")


# --- Known molecules, limits, funnel ----------------------------------------------------------


def test_known_molecules_are_not_delivered(whole, small_folder, tmp_path):
    table = pd.read_csv(whole / "molecules.csv")
    written_otherwise = [
        Chem.MolToSmiles(Chem.MolFromSmiles(s), canonical=False, kekuleSmiles=True)
        for s in table["smiles"][:40]
    ]
    (tmp_path / "known.smi").write_text("\n".join([*written_otherwise, "not a molecule"]))
    table[["inchikey"]][40:60].to_parquet(tmp_path / "known.parquet")
    run_file = tmp_path / "run.yaml"
    names = ["known.smi", "known.parquet"]  # found beside the run file
    run_file.write_text(yaml.safe_dump(plan_for(small_folder, n=500, known=names)))
    result = run_batch(run_file, tmp_path / "k")
    delivered = pd.read_csv(tmp_path / "k" / "molecules.csv")
    assert list(delivered["smiles"]) == list(table["smiles"][60:560])
    assert result.counts["known"] == 60


def test_giving_up_is_told(small_folder, tmp_path):
    plan = plan_for(small_folder, n=500, max_draws=700, filters=[{"mw": [0, 250]}])
    result = run_batch(plan, tmp_path / "few")
    assert 0 < result.n < 500 and "500 were wanted" in str(result) and "mw" in str(result)
    assert pd.read_csv(tmp_path / "few" / "molecules.csv")["draw"].max() < 700
    impossible = plan_for(small_folder, n=5, max_draws=512, filters=[{"mw": [5000, 6000]}])
    with pytest.raises(BatchError, match=r"None of 512 draws .* loosen the filters"):
        run_batch(impossible, tmp_path / "none")


def test_without_filters_by_smiles_with_report_and_selection(small_folder, tmp_path):
    keys = {"filters": None, "deduplicate": "smiles", "report": True, "n": 300}
    keys["select"] = {"n": 10}
    result = run_batch(plan_for(small_folder, **keys), tmp_path / "r")
    assert result.n_selected == 10
    selected = pd.read_csv(tmp_path / "r" / "selected.csv")
    all_of_them = pd.read_csv(tmp_path / "r" / "molecules.csv")
    assert "inchikey" not in all_of_them and all_of_them["smiles"].is_unique
    assert selected.merge(all_of_them).shape == selected.shape
    assert verify(tmp_path / "r" / "selected.parquet").passed
    page = (tmp_path / "r" / "report.html").read_text()
    assert "Batch of 300 molecules" in page and "duplicate" in page


# --- Bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, "needs the key 'n'"),
        ({"n": 0}, "n must be a whole number of at least 1, got 0"),
        ({"n": "many"}, "n must be a whole number"),
        ({"n": 5, "chunksize": 3}, "Unknown key of a run file 'chunksize'; did you mean 'chunk_si"),
        ({"n": 5, "output": "/etc"}, "Unknown key of a run file 'output'"),
        ({"n": 5, "format": 99}, "format 99, this version of molgen reads up to 1"),
        ({"n": 5, "format": "new"}, "format must be a whole number"),
        ({"n": 5, "workers": -3}, "workers must be"),
        ({"n": 5, "temperature": "hot"}, "temperature must be a number"),
        ({"n": 5, "properties": ["mw", "logpp"]}, "did you mean 'logp'"),
        ({"n": 5, "deduplicate": "inchi"}, "did you mean 'inchikey'"),
        ({"n": 5, "select": {"n": 3, "method": "maxmim"}}, "did you mean 'maxmin'"),
        ({"n": 5, "select": {"method": "maxmin"}}, "select needs the key 'n'"),
        ({"n": 5, "select": {"n": 3, "min_score": 0.5}}, "needs an objective"),
        ({"n": 5, "known": [3]}, "known must be a list of texts"),
        ({"n": 5, "cluster": {"kind": "slurn"}}, "did you mean 'slurm'"),
        ({"n": 5, "cluster": {"kind": "slurm", "workers": 2}}, "needs the key 'memory'"),
        ({"n": 5, "cluster": {"kind": "local", "worker": 2}}, "did you mean 'workers'"),
        ({"n": 5, "report": "yes"}, "report must be true or false"),
        ([1, 2], "a run file holds keys and values"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_sentence(content, told, tmp_path):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(BatchError) as caught:
        RunPlan.from_yaml(tmp_path / "run.yaml")
    assert told in str(caught.value) and "run.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_plan(tmp_path):
    with pytest.raises(BatchError, match="There is no run file"):
        run_batch(tmp_path / "none.yaml", tmp_path / "o")
    (tmp_path / "bad.yaml").write_text("n: [1, 2\nseed: }")
    with pytest.raises(BatchError, match="is not YAML"):
        run_batch(tmp_path / "bad.yaml", tmp_path / "o")
    (tmp_path / "bad.yaml").write_text("n: !!python/object/apply:os.getcwd []")
    with pytest.raises(BatchError, match="is not YAML"):
        run_batch(tmp_path / "bad.yaml", tmp_path / "o")
    with pytest.raises(BatchError, match="no model at 'nothing'"):
        run_batch({"n": 5, "model": "nothing"}, tmp_path / "o")
    with pytest.raises(TypeError, match="a RunPlan, a mapping or a YAML file"):
        run_batch(5, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_wrong_filters_objectives_and_known_sets(small_folder, tmp_path):
    for keys, told in (
        ({"filters": ["vebber"]}, "did you mean 'veber'"),
        ({"objective": "missing.yaml"}, "no objective file"),
        ({"known": ["missing.smi"]}, r"Cannot read the known set missing\.smi"),
    ):
        with pytest.raises(BatchError, match=told):
            run_batch(plan_for(small_folder, **keys), tmp_path / "o")
    (tmp_path / "empty.smi").write_text("what\nis\n")
    with pytest.raises(BatchError, match="no molecule that can be read"):
        run_batch(plan_for(small_folder, known=[str(tmp_path / "empty.smi")]), tmp_path / "o")


def test_two_runs_in_one_folder(small_folder, tmp_path):
    folder = tmp_path / "busy"
    with (
        BatchFolder(folder).locked(),
        pytest.raises(BatchError, match=f"in use by another run .process {os.getpid()} on"),
    ):
        run_batch(plan_for(small_folder), folder)


def test_a_folder_that_is_not_this_runs(whole, small_folder, tmp_path):
    with pytest.raises(BatchError, match="another run: there seed is 5, here it is 6"):
        run_batch(plan_for(small_folder, seed=6), whole)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "molecules.csv").write_text("smiles\nCCO\n")
    with pytest.raises(BatchError, match=r"has molecules\.csv but no run\.json"):
        run_batch(plan_for(small_folder), tmp_path / "mine")
    assert (tmp_path / "mine" / "molecules.csv").read_text() == "smiles\nCCO\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(BatchError, match="is a file; --output must be a folder"):
        run_batch(plan_for(small_folder), tmp_path / "file")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "run.json").write_text("[]")
    with pytest.raises(BatchError, match="not the journal of a batch"):
        run_batch(plan_for(small_folder), tmp_path / "odd")


def test_links_do_not_lead_out_of_the_folder(small_folder, tmp_path):
    plan = plan_for(small_folder, n=20)
    outside, folder = tmp_path / "outside", tmp_path / "o"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    with pytest.raises(BatchError, match="disk"):
        _run_with_failing_disk(plan, folder, after=1)
    (folder / "work" / "chunks").rmdir()
    (folder / "work" / "chunks").symlink_to(outside)
    with pytest.raises(BatchError, match="is a link to another place"):
        run_batch(plan, folder)
    assert [p.name for p in outside.iterdir()] == ["precious"]


# --- The command ------------------------------------------------------------------------------


def test_the_command_estimates_runs_and_says_when_there_is_nothing_to_do(small_folder, tmp_path):
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump(plan_for(small_folder, n=400)))
    arguments = ["batch", str(run_file), "--output", str(tmp_path / "o")]
    estimate = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert estimate.exit_code == 0 and "ms a draw" in estimate.output
    assert not (tmp_path / "o").exists()
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0 and "400 molecules of" in first.stdout
    assert "mol/s" not in first.stderr  # no progress bar where there is no terminal
    assert json.loads((tmp_path / "o" / "run.json").read_text())["state"] == "done"
    assert "Nothing to do" in CliRunner().invoke(app, arguments).stdout
    run_file.write_text("n: 400\nformat: 2\n")
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2 and "install a newer one" in refused.stderr


def test_the_estimate_follows_the_acceptance(small_folder, tmp_path):
    easy = estimate_batch(plan_for(small_folder, n=10_000), tmp_path)
    hard = estimate_batch(plan_for(small_folder, n=10_000, filters=[{"mw": [0, 250]}]), tmp_path)
    assert hard.acceptance < easy.acceptance <= 1
    assert 10_000 <= easy.draws < hard.draws
    assert easy.free_bytes > easy.disk_bytes > 10_000 * 50


def test_the_estimate_says_what_cannot_be(small_folder, tmp_path):
    plan = plan_for(small_folder, n=100, max_draws=512, filters=[{"mw": [0, 1]}])
    plan["select"] = {"n": 1000}
    told = estimate_batch(plan, tmp_path).problems
    assert told[0] == "select asks for 1,000 of 100 molecules"
    assert "none of the first draws passed" in told[1]
    large = BatchEstimate(10, 1, 1.0, 1.0, 0.1, 10**18, 2 * 10**11, 10**11)
    assert "Warning: the results need 200.0 GB on the disk, 100.0 GB are free" in str(large)
    assert "GB of memory" in large.problems[1]
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump(plan))
    refused = CliRunner().invoke(app, ["batch", str(run_file), "-o", "x", "--dry-run"])
    assert refused.exit_code == 1 and "Warning: select asks for 1,000" in refused.output


# --- In pieces --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 8])
def test_shards_give_the_bytes_of_one_run(whole, small_folder, tmp_path, count):
    """Computed in any order, each in a place of its own; one is killed, and run again."""
    plan = plan_for(small_folder)
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump(plan))
    for number in range(count, 0, -1):
        home = tmp_path / f"node{number}"
        if number == 2:
            code = "import sys, molgen; molgen.run_batch(*sys.argv[1:3], shard=sys.argv[3])"
            command = [sys.executable, "-c", code, run_file, home, f"2/{count}"]
            killed = subprocess.Popen(command)
            while not (home / f"shard-2-of-{count}" / "run.json").exists():
                time.sleep(0.002)
            killed.kill()
            killed.wait()
            with pytest.raises(BatchError, match=f"shard 2/{count} .* is not done"):
                merge_batch(plan, tmp_path / "early", [home / f"shard-2-of-{count}"])
        run_batch(run_file, home, shard=(number, count))
    shards = sorted(tmp_path.glob("node*/shard-*"))
    if count > 1:
        with pytest.raises(BatchError, match=rf"shard 1/{count} is not there"):
            merge_batch(plan, tmp_path / "b", shards[1:])
    command = ["merge", str(run_file), *map(str, shards), "-o", str(tmp_path / "b")]
    outcome = CliRunner().invoke(app, command)
    assert outcome.exit_code == 0, outcome.output
    assert contents(tmp_path / "b") == contents(whole)


def test_shards_are_of_one_run_and_may_be_completed(whole, small_folder, tmp_path):
    run_batch(plan_for(small_folder), tmp_path, shard="2/3")
    again = run_batch(plan_for(small_folder), tmp_path, shard="2/3")
    assert again.already_done and "Shard 2/3 was done before" in str(again)
    with pytest.raises(BatchError, match="is of another run: there seed is 5, here it is 6"):
        merge_batch(plan_for(small_folder, seed=6), tmp_path / "o", [tmp_path / "shard-2-of-3"])
    with pytest.raises(BatchError, match="shard is '4'; expected for example 3/8"):
        run_batch(plan_for(small_folder), tmp_path, shard="4")
    with pytest.raises(BatchError, match="shard is 4/3"):
        run_batch(plan_for(small_folder), tmp_path, shard="4/3")
    merge_batch(plan_for(small_folder), tmp_path, complete=True)
    assert contents(tmp_path) == contents(whole)


def test_what_a_shard_scored_is_not_scored_again(small_folder, tmp_path, monkeypatch):
    log = tmp_path / "scored.txt"
    objective = _objective(
        tmp_path, monkeypatch, f"open({str(log)!r}, 'a').write(smiles + chr(10)); return 1.0"
    )
    plan = plan_for(small_folder, n=600, objective=objective)
    for shard in ("1/2", "2/2"):
        run_batch(plan, tmp_path / "b", shard=shard)
    once = log.read_text()
    merge_batch(plan, tmp_path / "b")
    more = log.read_text().removeprefix(once).split()
    assert not set(more) & set(once.split()) and len(more) < 100
    run_batch(plan, tmp_path / "whole")
    assert contents(tmp_path / "b") == contents(tmp_path / "whole")


def test_a_cluster_that_is_not_there_is_one_line_at_once(small_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    slurm = {"kind": "slurm", "workers": 2, "memory": "2GB"}
    with pytest.raises(BatchError, match="needs the command sbatch, which is not here"):
        run_batch(plan_for(small_folder, cluster=slurm), tmp_path / "b")
    address = {"kind": "address", "address": "tcp://127.0.0.1:9"}
    with pytest.raises(BatchError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run_batch(plan_for(small_folder, cluster=address), tmp_path / "b")


# --- From scaffolds, leads, links and windows -------------------------------------------------

STARTS = {
    "scaffold": {"verb": "scaffold", "from": ["c1ccc([*:1])cc1", "O=C(N[*:1])C1CC1", "CC1"]},
    "near": {"verb": "near", "from": "Cc1ccc(C(=O)NC2CC2)cc1Cl", "radius": 0.5},
    "link": {"verb": "link", "from": ["c1ccccc1[*:1]", "[*:1]N1CCOCC1"], "atoms": [1, 6]},
    "where": {"verb": "where", "from": {"mw": [None, 350]}},
}


@pytest.mark.parametrize("verb", STARTS)
def test_a_batch_starts_from_what_the_verbs_take(small_folder, small_model, tmp_path, verb):
    keys = {"n": 8, "start": STARTS[verb], "filters": None}
    result = run_batch(plan_for(small_folder, **keys), tmp_path / "a")
    table = pd.read_csv(tmp_path / "a" / "molecules.csv")
    assert 0 < len(table) <= 8 and table["draw"].is_monotonic_increasing
    assert verify(tmp_path / "a" / "molecules.csv", model=small_model).passed
    if verb == "scaffold":
        assert set(table["start"]) == set(STARTS[verb]["from"][:2]) and len(table) == 8
        for start, group in table.groupby("start"):
            core = Chem.MolFromSmiles(start.replace("[*:1]", "[H]").replace("(N[H])", "(N)"))
            assert all(Chem.MolFromSmiles(s).HasSubstructMatch(core) for s in group["smiles"])
        assert list(result.counts["refused"]) == ["CC1"] and "CC1" in str(result)
        first = small_model.sample_scaffold(STARTS[verb]["from"][0], 3, seed=5)
        assert list(table["smiles"])[:3] == list(first)
        for part in ("1/2", "2/2"):
            run_batch(plan_for(small_folder, **keys), tmp_path / "b", shard=part)
        merge_batch(plan_for(small_folder, **keys), tmp_path / "b")
        assert contents(tmp_path / "b") == contents(tmp_path / "a")


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ({"verb": "scafold", "from": "C"}, "did you mean 'scaffold'"),
        ({"verb": "near"}, "start.from is None; expected a molecule, or many"),
        ({"verb": "link", "from": ["C[*:1]"]}, "expected a pair of fragments"),
        ({"verb": "near", "from": "nofile.csv"}, "There is no file nofile.csv"),
        ({"verb": "near", "from": "C", "each": 600}, "expected at most 512"),
        ({"verb": "near", "from": "CCO", "radios": 1}, "radios"),
        ({"verb": "near", "from": "CC1"}, "ring closure 1 is never closed"),
        ("c1ccccc1", "must be a mapping"),
    ],
)
def test_starts_that_cannot_be_are_refused(small_folder, tmp_path, start, told):
    with pytest.raises(BatchError, match=told):
        run_batch(plan_for(small_folder, n=4, start=start), tmp_path / "a")
