"""Keras on both back ends, each in a process of its own; the cases and what they are compared with: keras_cases.py."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BACK_ENDS = ("torch", "jax")


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, "subprocess.Popen[str]"]]:
    started = {
        back_end: subprocess.Popen(
            [sys.executable, "-m", "pytest", "--noconftest", "--durations=5", str(HERE / "keras_cases.py")],
            cwd=HERE.parent,
            env={
                **os.environ,
                "KERAS_BACKEND": back_end,
                "KERAS_HOME": str(tmp_path_factory.mktemp("keras")),
                "JAX_PLATFORMS": "cpu",
                "OMP_NUM_THREADS": "1",
                # Most of the time is compiling, and little of it what is compiled.
                "XLA_FLAGS": (
                    "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=0 "
                    "--xla_llvm_disable_expensive_passes=true"
                ),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for back_end in BACK_ENDS
    }
    yield started
    for process in started.values():
        process.kill()


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_every_case_holds(back_end: str, processes: dict[str, "subprocess.Popen[str]"]) -> None:
    output, _ = processes[back_end].communicate(timeout=300)
    print(output)
    assert processes[back_end].returncode == 0
