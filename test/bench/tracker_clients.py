"""Pushes the same points with each tracker's own client, timed: a line of JSON on standard input asks, one answers.

Each function returns the seconds from the first point until the tracker has them all.
"""

import json
import os
import sys
import time

KEYS = [f"noise_scale/metric_{key}" for key in range(9)]


def values(step):
    return {key: 400 + step + index / 10 for index, key in enumerate(KEYS)}


def mlflow(server, steps):
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(server)
    run = client.create_run("0").info.run_id
    start = time.perf_counter()
    metrics = [
        Metric(key, value, 1_790_000_000_000 + step, step) for step in range(steps) for key, value in values(step).items()
    ]
    for first in range(0, len(metrics), 1000):
        client.log_batch(run, metrics=metrics[first : first + 1000])
    return time.perf_counter() - start


def tensorboard(folder, steps):
    from tensorboard.summary import Writer

    writer = Writer(folder)
    start = time.perf_counter()
    for step in range(steps):
        for key, value in values(step).items():
            writer.add_scalar(key, value, step)
    writer.close()
    return time.perf_counter() - start


def trackio(server, steps):
    import trackio

    trackio.init(project="bench", name=f"own-{time.time_ns()}", server_url=server, embed=False)
    start = time.perf_counter()
    for step in range(steps):
        trackio.log(values(step))
    trackio.finish()
    return time.perf_counter() - start


def wandb(server, steps):
    import wandb

    settings = wandb.Settings(silent=True, disable_git=True, x_disable_stats=True, x_disable_meta=True)
    run = wandb.init(project="bench", entity="me", dir=os.environ["WANDB_DIR"], settings=settings)
    start = time.perf_counter()
    for step in range(steps):
        run.log(values(step))
    run.finish()
    return time.perf_counter() - start


for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        answer = {"value": globals()[name](*arguments)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
