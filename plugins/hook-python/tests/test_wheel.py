"""The distribution as pip makes and installs it."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with this wheel and nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    return folder


def test_the_wheel_is_pure_and_needs_nothing(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert [line for line in required if "extra == " not in line] == []
    assert "noisescale/py.typed" in names
    assert not [name for name in names if "test" in name]
    # Collector and page included.
    assert wheel.stat().st_size < 1_200_000


def test_where_no_framework_is_it_says_which_one_each_hook_needs(empty: Path) -> None:
    program = """
import noisescale, noisescale.sinks, noisescale.wire
print(noisescale.__version__)
for name in ("watch", "scale_learning_rate", "jax", "keras", "lightning", "optax", "transformers"):
    try:
        getattr(noisescale, name)
    except ModuleNotFoundError as error:
        print(error)
"""
    command = [str(empty / "bin" / "python"), "-c", program]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert printed == [
        "0.1.0",
        "noisescale.watch needs torch, which is not installed: pip install torch",
        "noisescale.scale_learning_rate needs torch, which is not installed: pip install torch",
        "noisescale.jax needs jax, which is not installed: pip install jax",
        "noisescale.keras needs keras, which is not installed: pip install keras",
        "noisescale.lightning needs lightning, which is not installed: pip install lightning",
        "noisescale.optax needs jax, which is not installed: pip install optax",
        "noisescale.transformers needs torch, which is not installed: pip install 'transformers[torch]'",
    ]


@pytest.mark.parametrize("command", [["noisescale"], ["python", "-m", "noisescale"]])
def test_the_command_says_what_to_install_where_node_is_not(command: list[str], empty: Path) -> None:
    program, *arguments = command
    done = subprocess.run([empty / "bin" / program, *arguments, "serve"], capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr == "noisescale: the command runs on Node, which comes with: pip install 'noisescale[collector]'\n"
    )
