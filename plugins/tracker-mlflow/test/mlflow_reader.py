"""Does with the real MLflow client what a line of JSON on standard input asks, and answers with a line of JSON."""

import base64
import json
import os
import sys
import tempfile

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType

server = sys.argv[1]
mlflow.set_tracking_uri(server)
client = MlflowClient(server)


def experiment_id(name):
    found = client.get_experiment_by_name(name)
    return found.experiment_id if found else client.create_experiment(name)


def create_run(experiment, note=None):
    run = client.create_run(experiment_id(experiment))
    if note is not None:
        client.set_tag(run.info.run_id, "mlflow.note.content", note)
    return run.info.run_id


def experiment_tags(experiment):
    return dict(client.get_experiment(experiment_id(experiment)).tags)


def set_experiment_tag(experiment, key, value):
    client.set_experiment_tag(experiment_id(experiment), key, value)


def count_active_runs():
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return len(client.search_runs(experiments))


def runs_of(experiment):
    runs = client.search_runs([experiment_id(experiment)], run_view_type=ViewType.ALL)
    return [
        {"run_id": run.info.run_id, "name": run.info.run_name, "status": run.info.status, "tags": run.data.tags}
        for run in runs
    ]


def artifacts(run_id, path=None):
    found = []
    for entry in client.list_artifacts(run_id, path):
        found += artifacts(run_id, entry.path) if entry.is_dir else [entry.path]
    return found


def read_run(run_id):
    run = client.get_run(run_id)
    metrics = {
        key: [[metric.step, metric.timestamp, metric.value] for metric in client.get_metric_history(run_id, key)]
        for key in run.data.metrics
    }
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in artifacts(run_id):
            with open(client.download_artifacts(run_id, path, folder), "rb") as file:
                files[path] = base64.b64encode(file.read()).decode()
    return {"metrics": metrics, "files": files, "tags": run.data.tags, "status": run.info.status}


def delete_run(run_id):
    client.delete_run(run_id)


def restore_run(run_id):
    client.restore_run(run_id)


def train(run_id, steps):
    """What a trainer does in its own process: metrics a step, then an artifact, parameters and tags."""
    with mlflow.start_run(run_id=run_id):
        mlflow.log_param("batch_size", 128)
        for step in range(steps):
            mlflow.log_metrics({"loss": 1 / (step + 1), "accuracy": step / steps}, step=step)
        mlflow.set_tag("mine", "kept")
        mlflow.log_text("weights", "model/weights.txt")
    return os.getpid()


for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        answer = {"value": globals()[name](*arguments)}
    except Exception as error:  # noqa: BLE001 - it is the test that judges
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
