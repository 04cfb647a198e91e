"""Each example as its first lines say to run it, against a real collector."""

import csv
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import mode
from typing import Any

import pytest

HERE = Path(__file__).parent.parent
EXAMPLES = sorted((HERE / "examples").glob("*.py"))

# Trainings that follow the recommendation, from four parts of eight rows at this rate.
FOLLOWING = {"accelerate_digits", "closed_loop_digits", "keras_digits", "lightning_digits", "transformers_digits"}
FIRST_BATCH_SIZE, FIRST_RATE = 32, 0.05

# Fewer than a reader would run, where an example takes a number; enough that measurements come.
STEPS = "20"


@pytest.fixture(scope="module")
def collector(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("examples")
    command = [str(installed / "bin" / "noisescale"), "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)


def runs(collector: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{collector}/v1/runs") as response:
        return {run["run"]: run for run in json.load(response)["runs"]}


def batch_sizes_by_rate(collector: str, run: str) -> dict[float, list[float]]:
    """Of the measured steps, in their order; an epoch's last step may be a short one."""
    with urllib.request.urlopen(f"{collector}/v1/runs/{run}/series.csv") as response:
        rows = list(csv.DictReader(io.TextIOWrapper(response, "utf-8")))
    by_rate: dict[float, list[float]] = {}
    for row in rows:
        by_rate.setdefault(float(row["learning_rate"]), []).append(float(row["batch_size [examples]"]))
    return by_rate


def seconds_of_children() -> float:
    """CPU time of every process that has ended [seconds]."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def command_of(example: Path) -> list[str]:
    """The command in an example's docstring, with this interpreter and fewer steps where it takes a number of them."""
    source = example.read_text()
    found = re.search(rf"^((?:python|torchrun)\b.*examples/{example.name})\b", source, re.MULTILINE)
    assert found is not None, f"the docstring of {example.name} does not say how to run it"
    program, *arguments = found[1].split()
    arguments[-1] = str(example)
    module = ["-m", "torch.distributed.run"] if program == "torchrun" else []
    return [sys.executable, *module, *arguments, *(["--steps", STEPS] if '"--steps"' in source else [])]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_ends_well_within_a_minute_and_its_measurements_arrive(
    example: Path, collector: str, tmp_path: Path
) -> None:
    before = runs(collector)
    environment = {**os.environ, "PYTHONPATH": str(HERE / "src"), "NOISESCALE_URL": collector, "OMP_NUM_THREADS": "1"}
    used_before = seconds_of_children()
    # The limit is for one that hangs.
    done = subprocess.run(
        command_of(example), cwd=tmp_path, env=environment, timeout=300, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # Of a core: on a machine that is busy with other work the clock says nothing of the example.
    assert seconds_of_children() - used_before < 60
    (run,) = [run for name, run in runs(collector).items() if name not in before]
    with urllib.request.urlopen(f"{collector}/v1/runs/{run['run']}/snapshot") as response:
        snapshot = json.load(response)
    assert snapshot["measurements"] >= 10
    assert run["state"] == "finished"
    # Nothing is left to wait on disk.
    assert list(tmp_path.rglob("*.ndjson")) == []
    assert done.stdout.strip()
    if example.stem in FOLLOWING:
        by_rate = batch_sizes_by_rate(collector, run["run"])
        # A change after which the training goes on for a while has its own batch size and its own rate.
        stays = {rate: mode(sizes) for rate, sizes in by_rate.items() if len(sizes) >= 10}
        assert len(stays) >= 2
        # Keras keeps its rate in float32.
        assert next(iter(stays.items())) == pytest.approx((FIRST_RATE, FIRST_BATCH_SIZE))
        for (rate, size), (next_rate, next_size) in pairwise(stays.items()):
            # SGD: less than in proportion.
            low, high = sorted((1.0, next_size / size))
            assert low < next_rate / rate < high
