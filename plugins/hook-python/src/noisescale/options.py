"""Options that every hook takes, checked before a training begins."""

from numbers import Integral

_UNITS = ("example", "token", "timestep")


def check_count(option: str, value: object, least: int = 1) -> None:
    """Raises ValueError, naming the option, if `value` is neither None nor a whole number from `least`."""
    if value is not None and not (isinstance(value, Integral) and int(value) >= least):
        raise ValueError(f"{option}={value!r}: must be a whole number from {least}")


def check_parts(option: str, value: object) -> None:
    """Raises ValueError, naming the option, if `value` is neither None nor a number of parts that tell noise."""
    if value is not None and not (isinstance(value, Integral) and int(value) >= 2):
        raise ValueError(f"{option}={value!r}: must be a whole number from 2, one part says nothing about the noise")


def check_unit(unit: str) -> None:
    """Raises ValueError if batch sizes cannot be counted in `unit`."""
    if unit not in _UNITS:
        raise ValueError(f"unit={unit!r}: must be one of {', '.join(_UNITS)}")
