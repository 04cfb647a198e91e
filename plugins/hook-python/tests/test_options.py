"""Wrong arguments of `watch` are errors at once, which name the option and what may be there."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import noisescale
from training import network

WRONG = [
    ("micro_batch", 0, "must be a number above 0"),
    ("micro_batch", "32", "must be a number above 0"),
    ("micro_batch", float("inf"), "must be a number above 0"),
    ("every", 1.5, "must be a whole number from 1"),
    ("every", "10", "must be a whole number from 1"),
    ("every", True, "must be a whole number from 1"),
    ("parts", 1, "must be a whole number from 2, one part says nothing about the noise"),
    ("hessian_every", 0, "must be a whole number from 1"),
    ("first_step", -1, "must be a whole number from 0"),
    ("unit", "row", "must be one of example, token, timestep"),
    ("run", "a b", "must be 1 to 128 characters of A-Z a-z 0-9 . _ -, and not . or .."),
    ("run", 7, "must be 1 to 128 characters of A-Z a-z 0-9 . _ -, and not . or .."),
    ("project", ["p"], "must be 1 to 128 characters of A-Z a-z 0-9 . _ -, and not . or .."),
    ("sink", 7677, "must be a collector's address, a path or a function"),
    ("sink", "", "must be a collector's address, a path or a function"),
    ("sink", "ftp://somewhere", "must be an address such as http://127.0.0.1:7677"),
    ("sink", "http://host:port", "must be an address such as http://127.0.0.1:7677"),
    ("sink", "http://[::1", "must be an address such as http://127.0.0.1:7677"),
    ("sink", "http://two words", "must be an address such as http://127.0.0.1:7677"),
    ("sink", "localhost:7677", "an address begins with http://, and a file of that name is ./localhost:7677"),
    ("on_recommendation", "bigger", "must be a function"),
    ("batch_size_limits", (1, 8), "must be noisescale.BatchSizeLimits(…)"),
    ("scaler", 1024.0, "must be the torch.amp.GradScaler of the training"),
    ("spool_directory", 5, "must be a path"),
    (
        "declaration",
        "x",
        "must be a dict with any of batch_max, batch_min, batch_multiple, dataset_units, group, latency_ratio, name, "
        "optimizer, project, tags, trackers, unit",
    ),
]
WRONG_FIELDS = [
    ("group", "a b", "must be 1 to 128 characters of A-Z a-z 0-9 . _ -, and not . or .."),
    ("name", 5, "must be a text of 1 to 256 characters"),
    ("optimizer", "lion", "must be one of sgd, adam, other"),
    ("unit", "row", "must be one of example, token, timestep"),
    ("batch_multiple", 1.5, "must be a whole number from 1"),
    ("batch_max", "512", "must be a number from 1"),
    ("dataset_units", 0, "must be a number from 1"),
    ("tags", {"seed": 1}, "must be a dict of texts by name"),
    ("trackers", ["mlflow"], 'must be a list of dicts such as {"name": "mlflow", "run": {"run_id": "…"}}'),
]

Watch = Callable[..., object]


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    def watched(**options: object) -> object:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        options = {"micro_batch": 1, "sink": tmp_path / "m.ndjson", **options}
        return noisescale.watch(model, optimizer, **options)  # type: ignore[arg-type]

    return watched


@pytest.mark.parametrize(("option", "value", "said"), WRONG)
def test_a_wrong_option_is_named_with_what_it_takes(option: str, value: object, said: str, watch: Watch) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(f'{option}={value!r}: {said}')}$"):
        watch(**{option: value})


@pytest.mark.parametrize(("field", "value", "said"), WRONG_FIELDS)
def test_a_wrong_field_of_the_declaration_is_named_with_what_it_takes(
    field: str, value: object, said: str, watch: Watch
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'declaration[{field!r}]={value!r}: {said}')}$"):
        watch(declaration={field: value})


def test_a_field_that_no_declaration_has_is_named_with_those_it_has(watch: Watch) -> None:
    with pytest.raises(ValueError, match=r"declaration: has no field 'tag', it is a dict with any of .*, tags, "):
        watch(declaration={"tag": "x"})


def test_a_declaration_of_every_field_is_taken(watch: Watch) -> None:
    watch(
        declaration={
            "project": "p",
            "name": "Digits, seed 7",
            "group": "digits",
            "unit": "token",
            "optimizer": "adam",
            "trackers": [{"name": "mlflow", "run": {"run_id": "f00"}}],
            "dataset_units": 1797,
            "batch_multiple": 8,
            "batch_min": 8,
            "batch_max": 512.0,
            "latency_ratio": 20,
            "tags": {"seed": "7"},
        }
    )


def test_a_wrong_address_in_the_environment_is_named_by_its_variable(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOISESCALE_URL", "localhost:7677")
    with pytest.raises(ValueError, match=r"^NOISESCALE_URL='localhost:7677': must be an address such as "):
        watch(sink=None)


def test_a_file_that_cannot_be_written_is_named(watch: Watch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^sink='{tmp_path}': cannot be written: Is a directory$"):
        watch(sink=tmp_path)


def test_model_and_optimizer_in_the_wrong_order_are_told_the_right_one() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match=r"the order is watch\(model, optimizer\)"):
        noisescale.watch(optimizer, model, micro_batch=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"model: is a list, must be the torch\.nn\.Module that is trained"):
        noisescale.watch([model], optimizer, micro_batch=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"optimizer: is a float, must be a torch\.optim\.Optimizer"):
        noisescale.watch(model, 0.1, micro_batch=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="optimizer: moves no parameter of this model that requires a gradient"):
        noisescale.watch(nn.Linear(2, 2), optimizer, micro_batch=1, sink=lambda _: None)
