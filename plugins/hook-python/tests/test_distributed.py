"""Data parallel training measured on two processes; the cases and what they are compared with: distributed_cases.py."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed

import noisescale
from distributed_cases import CASES
from distributed_models import RANKS, sharded
from noisescale.wire import Measurement
from training import FLOAT32, batches, brute_force, cross_entropy, network

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """What failed by case, of each process."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent / 'src'}:{HERE}", "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(HERE / "distributed_cases.py"), str(rank), str(port), str(folder / f"{rank}.json")],
            env=environment,
        )
        for rank in range(RANKS)
    ]
    try:
        assert [rank.wait(300) for rank in ranks] == [0] * RANKS
    finally:
        for rank in ranks:
            rank.kill()
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(RANKS)]


@pytest.mark.parametrize("case", CASES)
def test_a_measurement_is_that_of_the_parts_of_all_processes(case: str, failures: list[dict[str, str]]) -> None:
    assert [failed.get(case) for failed in failures] == [None] * RANKS


def test_one_process_with_a_sharded_model_is_measured_by_its_own_parts(tmp_path: Path) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = sharded(network())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        seen: list[Measurement] = []
        watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, sink=seen.append)
        parts = batches([8] * 3)
        small, big = brute_force(network(), parts, [1 / 3] * 3)
        for part in parts:
            (cross_entropy(model, part) / 3).backward()
        optimizer.step()
        watcher.close()
    finally:
        distributed.destroy_process_group()
    assert [measurement["step"] for measurement in seen] == [0]
    assert seen[0]["small"]["squared_norm"] == pytest.approx(3 * sum(small.values()), rel=FLOAT32)
    assert seen[0]["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=FLOAT32)
    assert watcher.counts == {"run-ended": 1}
