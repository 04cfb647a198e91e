"""How a watched training's process may begin, branch and end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

import noisescale
from collector_double import RecordingCollector
from training import batches, cross_entropy, network

HERE = Path(__file__).parent
ENDLESS = """
import os, sys, torch, noisescale
from torch.utils.data import DataLoader, TensorDataset

def main():
    torch.manual_seed(0)
    model = torch.nn.Linear(5, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    watcher = noisescale.watch(model, optimizer, micro_batch=4, run="r", every=1, user_runs=False)
    data = TensorDataset(torch.randn(400, 5))
    how = sys.argv[1]
    workers = {} if how == "none" else {"num_workers": 2, "multiprocessing_context": how}
    while True:
        batches = iter(DataLoader(data, batch_size=4, **workers))
        for (first,), (second,) in zip(batches, batches):
            for part in (first, second):
                (model(part).square().mean() / 2).backward()
            optimizer.step()
            optimizer.zero_grad()
            if how != "none" and watcher.step == 100:
                return
            if watcher.step == 3:
                print("trains", flush=True)

if __name__ == "__main__":
    main()
"""


def start(folder: Path, url: str, how: str) -> "subprocess.Popen[str]":
    script = folder / "train.py"
    script.write_text(ENDLESS)
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE.parent / "src"),
        "NOISESCALE_URL": url,
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(script), how]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_ctrl_c_ends_a_training_as_it_would_without_the_hook_and_what_was_measured_arrives(tmp_path: Path) -> None:
    with RecordingCollector() as collector, start(tmp_path, collector.url, "none") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "trains\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGINT
        assert said.rstrip().endswith("KeyboardInterrupt")
        assert "noisescale" not in said.split("KeyboardInterrupt")[-1]
        steps = collector.steps()
        assert steps == list(range(len(steps)))
        assert len(steps) >= 3
    assert list(tmp_path.rglob("*.ndjson*")) == []


def test_ctrl_c_while_the_collector_is_away_ends_soon_and_leaves_the_numbers_for_the_next_process(
    tmp_path: Path,
) -> None:
    with start(tmp_path, "http://127.0.0.1:9", "none") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "trains\n"
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGINT
        # Five seconds are what the delivery is given at exit; a busy machine takes some of its own.
        assert time.monotonic() - sent < 30
    (left,) = tmp_path.rglob("*.ndjson*")
    steps = [line["measurement"]["step"] for line in map(json.loads, left.open()) if "measurement" in line]
    assert steps == list(range(len(steps)))
    assert len(steps) >= 3


def test_workers_that_load_data_send_nothing_whether_they_are_forked_or_spawned(tmp_path: Path) -> None:
    for how in ("fork", "spawn"):
        with RecordingCollector() as collector, start(tmp_path, collector.url, how) as process:
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said
            assert collector.steps() == list(range(100))
            assert sum(command == "PUT" for command, _, _ in collector.requests) == 1


def test_a_cell_that_is_run_again_watches_anew_and_the_watcher_before_it_is_closed(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

    def cell(url: str) -> noisescale.Watcher:
        watcher = noisescale.watch(
            model, optimizer, micro_batch=8, run="r", every=1, sink=url, spool_directory=tmp_path, user_runs=False
        )
        for number in range(3):
            for part in batches([8, 8], number):
                (cross_entropy(model, part) / 2).backward()
            optimizer.step()
            optimizer.zero_grad()
        return watcher

    with RecordingCollector() as collector:
        first, second = cell(collector.url), cell(collector.url)
        assert second.close()
        sent = [
            (measurement["attempt"], measurement["step"])
            for _, path, body in collector.requests
            if path.endswith("/measurements")
            for measurement in body["measurements"]
        ]
    assert first.measurements == second.measurements == 3
    attempts = sorted({attempt for attempt, _ in sent})
    assert len(attempts) == 2
    # A later attempt takes the run over from its first step on.
    assert sent == [(attempt, step) for attempt in attempts for step in range(3)]
