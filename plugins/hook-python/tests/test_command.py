"""The collector as `pip install 'noisescale[collector]'` brings it, on a machine that has no Node."""

import json
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

# A training that measures nothing real: the delivery alone is what is looked at.
PROGRAM = """
import pathlib, sys
from noisescale.sinks import sink_of

sink = sink_of(sys.argv[1], "from-python", {"project": "p"}, pathlib.Path("spool"))
for step in range(3):
    sink.record({
        "step": step,
        "time_ms": 1790000000000.0 + step,
        "small": {"batch_size": 32, "squared_norm": 1.5, "count": 4},
        "big": {"batch_size": 128, "squared_norm": 0.75},
    })
print(sink.close(20))
"""


def get(url: str) -> tuple[int, str, bytes]:
    try:
        with urllib.request.urlopen(url) as response:
            return response.status, response.headers.get_content_type(), response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get_content_type(), error.read()


def test_the_collector_serves_a_hook_and_its_page_and_stops_when_it_is_told_to(installed: Path, tmp_path: Path) -> None:
    empty = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    command = [str(installed / "bin" / "noisescale"), "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=empty, stdout=subprocess.PIPE, text=True) as collector:
        try:
            assert collector.stdout is not None
            url = collector.stdout.readline().strip()
            training = [str(installed / "bin" / "python"), "-c", PROGRAM, url]
            sent = subprocess.run(training, cwd=tmp_path, env=empty, capture_output=True, text=True, check=True)
            assert sent.stdout == "True\n"
            status, _, body = get(f"{url}/v1/runs/from-python/snapshot")
            snapshot: dict[str, Any] = json.loads(body)
            assert (status, snapshot["measurements"], snapshot["step"]) == (200, 3, 2)
            kinds = {path: get(url + path)[:2] for path in ("/", "/assets/page.js", "/openapi.json")}
            assert kinds == {
                "/": (200, "text/html"),
                "/assets/page.js": (200, "text/javascript"),
                "/openapi.json": (200, "application/json"),
            }
            status, kind, page = get(f"{url}/v1/runs/from-python/panels/trade.html")
            assert (status, kind, b"<canvas" in page or b"<script" in page) == (200, "text/html", True)
            status, _, problem = get(f"{url}/v1/runs/from-python/panels/trade.png")
            assert (status, json.loads(problem)["title"]) == (404, "No pictures here")
        finally:
            # The console script is Node itself by now, and has no child.
            collector.send_signal(signal.SIGTERM)
        assert collector.wait(20) == 0
    assert (tmp_path / ".noisescale" / "noisescale.sqlite").exists()


def test_a_file_of_measurements_is_estimated_by_the_same_command(installed: Path, tmp_path: Path) -> None:
    lines = [
        {
            "step": step,
            "time_ms": 1790000000000 + step,
            "small": {"batch_size": 32, "squared_norm": 1.5 + 0.1 * (step % 3), "count": 4},
            "big": {"batch_size": 128, "squared_norm": 0.75},
        }
        for step in range(50)
    ]
    (tmp_path / "run.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [str(installed / "bin" / "noisescale"), "estimate", "run.ndjson", "--json"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["measurements"] == 50
