import subprocess
import sys
from pathlib import Path

import pytest
import torch

# Small matrices: more threads only wait for each other.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, with what `pnpm run bundle` left in it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", str(folder)]
    subprocess.run([*build, str(Path(__file__).parent.parent)], check=True)
    (wheel,) = folder.glob("noisescale-*-py3-none-any.whl")
    return wheel
