"""The distribution as pip makes and installs it."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

HERE = Path(__file__).parent.parent


def test_the_wheel_is_pure_needs_nothing_and_works_where_no_framework_is(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", str(tmp_path)]
    subprocess.run([*build, str(HERE)], check=True)
    (wheel,) = tmp_path.glob("noisescale-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith("METADATA"))
        assert "Requires-Dist" not in archive.read(metadata).decode()
    assert "noisescale/py.typed" in names
    assert not [name for name in names if "test" in name]

    venv.create(tmp_path / "empty", with_pip=False)
    python = tmp_path / "empty" / "bin" / "python"
    site = next((tmp_path / "empty" / "lib").glob("python*")) / "site-packages"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True)
    program = """
import noisescale, noisescale.sinks, noisescale.wire
print(noisescale.__version__)
try:
    noisescale.watch
except ModuleNotFoundError as error:
    print(error.name)
"""
    printed = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout
    assert printed.split() == ["0.1.0", "torch"]
