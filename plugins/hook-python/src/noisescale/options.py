"""Options that every hook takes, checked before a training begins: what is wrong is named, with what may be there."""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TypeGuard

from noisescale.naming import checked_identifier
from noisescale.wire import RunDeclaration

UNITS = ("example", "token", "timestep")
OPTIMIZERS = ("sgd", "adam", "other")


def check_count(option: str, value: object, least: int = 1) -> None:
    """Raises ValueError, naming the option, if `value` is neither None nor a whole number from `least`."""
    if value is not None and not _is_count(value, least):
        raise ValueError(f"{option}={value!r}: must be a whole number from {least}")


def check_parts(option: str, value: object) -> None:
    """Raises ValueError, naming the option, if `value` is neither None nor a number of parts that tell noise."""
    if value is not None and not _is_count(value, 2):
        raise ValueError(f"{option}={value!r}: must be a whole number from 2, one part says nothing about the noise")


def check_size(option: str, value: object) -> None:
    """Raises ValueError, naming the option, if `value` is neither None nor a finite number above 0."""
    if value is not None and not (_is_number(value) and value > 0):
        raise ValueError(f"{option}={value!r}: must be a number above 0")


def check_function(option: str, value: object) -> None:
    """Raises ValueError, naming the option, if `value` is neither None nor can be called."""
    if value is not None and not callable(value):
        raise ValueError(f"{option}={value!r}: must be a function")


def check_choice(option: str, value: object, choices: Sequence[str]) -> None:
    """Raises ValueError, naming the option, if `value` is none of the choices."""
    if value not in choices:
        raise ValueError(f"{option}={value!r}: must be one of {', '.join(choices)}")


def check_unit(unit: object) -> None:
    """Raises ValueError if batch sizes cannot be counted in `unit`."""
    check_choice("unit", unit, UNITS)


def check_declaration(declaration: object) -> None:
    """Raises ValueError, naming the field, if `declaration` is neither None nor what a collector takes."""
    if declaration is None:
        return
    takes = f"a dict with any of {', '.join(sorted(RunDeclaration.__annotations__))}"
    if not isinstance(declaration, Mapping):
        raise ValueError(f"declaration={declaration!r}: must be {takes}")
    for field, value in declaration.items():
        if field not in RunDeclaration.__annotations__:
            raise ValueError(f"declaration: has no field {field!r}, it is {takes}")
        _check_declared(field, f"declaration[{field!r}]", value)


def _check_declared(field: str, named: str, value: object) -> None:
    if field == "unit":
        check_choice(named, value, UNITS)
    elif field == "optimizer":
        check_choice(named, value, OPTIMIZERS)
    elif field in {"project", "group"}:
        checked_identifier(named, value)
    elif field == "name":
        _require(named, value, isinstance(value, str) and 0 < len(value) <= 256, "a text of 1 to 256 characters")
    elif field == "batch_multiple":
        _require(named, value, _is_count(value, 1), "a whole number from 1")
    elif field == "tags":
        whole = isinstance(value, Mapping) and all(isinstance(x, str) for pair in value.items() for x in pair)
        _require(named, value, whole, "a dict of texts by name")
    elif field == "trackers":
        whole = isinstance(value, Sequence) and all(isinstance(x, Mapping) and "name" in x for x in value)
        _require(named, value, whole, 'a list of dicts such as {"name": "mlflow", "run": {"run_id": "…"}}')
    else:
        _require(named, value, _is_number(value) and value >= 1, "a number from 1")


def _require(named: str, value: object, holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{named}={value!r}: must be {what}")


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
