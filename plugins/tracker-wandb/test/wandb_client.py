"""Does with the real wandb client what a line of JSON on standard input asks, and answers with a line of JSON."""

import base64
import json
import os
import sys
import tempfile

import wandb

run = None


def init(project, name, group, shared):
    """What a trainer does first."""
    global run
    shared_settings = {"mode": "shared", "x_label": "trainer", "x_primary": True} if shared else {}
    run = wandb.init(
        project=project,
        entity="me",
        name=name,
        group=group,
        config={"batch_size": 128},
        dir=os.environ["TRAINER_DIR"],
        settings=wandb.Settings(silent=True, disable_git=True, **shared_settings),
    )
    return run.id


def train(first, last):
    for step in range(first, last):
        run.log({"loss": 1 / (step + 1), "accuracy": step / 100})


def finish():
    run.finish()


def log_page(html):
    run.log({"page": wandb.Html(html)})


def read(project, run_id):
    """A run as W&B's own reader gives it."""
    found = wandb.Api().run(f"me/{project}/{run_id}")
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for file in found.files():
            if file.name.startswith("media/"):
                with file.download(root=folder, replace=True) as content:
                    with open(content.name, "rb") as opened:
                        files[file.name] = base64.b64encode(opened.read()).decode()
    return {
        "name": found.name,
        "group": found.group,
        "job_type": found.job_type,
        "state": found.state,
        "config": found.config,
        "history": found.history(samples=100000, pandas=False),
        "summary": dict(found.summary),
        "files": files,
    }


def read_workspace(project, view):
    """The sections of a saved view, as W&B's own model of it reads them."""
    import wandb_workspaces.workspaces as workspaces
    from wandb_workspaces.workspaces.internal import View

    opened = workspaces.Workspace._from_model(View.from_name("me", project, view))
    return {
        "name": opened.name,
        "sections": [
            [section.name, [[type(panel).__name__, getattr(panel, "title", None)] for panel in section.panels]]
            for section in opened.sections
        ],
    }


for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        answer = {"value": globals()[name](*arguments)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer, default=dict), flush=True)
