"""Does with the real trackio what a line of JSON on standard input asks, and answers with a line of JSON.

`serve` and the reading functions need TRACKIO_DIR of the server; `train` has a directory of its own.
"""

import base64
import json
import sys

import trackio
from trackio.sqlite_storage import SQLiteStorage
from trackio.utils import MEDIA_DIR


def serve(port):
    trackio.show(open_browser=False, block_thread=False, host="127.0.0.1", server_port=port)
    return port


def runs(project):
    return [{"id": run.id, "name": run.name} for run in trackio.Api().runs(project)]


def count_runs():
    return sum(len(SQLiteStorage.get_run_records(project)) for project in SQLiteStorage.get_projects())


def alerts(project, name):
    return trackio.Api().alerts(project, run=name)


def read_run(project, run_id):
    """Every row as the dashboard is given it, and the bytes of each HTML file that a row shows."""
    logs = SQLiteStorage.get_logs(project, run_id=run_id)
    files = {}
    for row in logs:
        for key, value in row.items():
            if isinstance(value, dict) and value.get("_type") == "trackio.html":
                files[key] = base64.b64encode((MEDIA_DIR / value["file_path"]).read_bytes()).decode()
    return {"logs": logs, "files": files}


def rename_run(project, run_id, name):
    next(run for run in trackio.Api().runs(project) if run.id == run_id).rename(name)


def delete_run(project, run_id):
    next(run for run in trackio.Api().runs(project) if run.id == run_id).delete()


def init(project, name, server):
    """What a trainer does first; the run is at the server from its first log on."""
    run = trackio.init(project=project, name=name, server_url=server, config={"batch_size": 128}, embed=False)
    return run.id


def train(first, last):
    for step in range(first, last):
        trackio.log({"loss": 1 / (step + 1), "accuracy": step / 100})


def finish():
    trackio.finish()


for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        answer = {"value": globals()[name](*arguments)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer, default=str), flush=True)
