"""Names of runs and projects, and the run that is named where the user gave no name."""

import os
import re
import secrets
import sys
import time
from pathlib import Path

_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{1,128}")


def checked_identifier(option: str, value: object) -> str:
    """Returns `value` if it may name a run, project or group.

    Raises:
        ValueError: Naming the option, if it may not.
    """
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value) or value in {".", ".."}:
        raise ValueError(f"{option}={value!r}: must be 1 to 128 characters of A-Z a-z 0-9 . _ -, and not . or ..")
    return value


def default_project() -> str:
    """`NOISESCALE_PROJECT`, else the name of the script that runs, else `python`."""
    given = os.environ.get("NOISESCALE_PROJECT")
    if given:
        return checked_identifier("NOISESCALE_PROJECT", given)
    script = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in {"", "-c", "-m"} else ""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", script)[:100].strip(".-") or "python"


def default_run(project: str) -> str:
    """`NOISESCALE_RUN`, else the project with the time and four random digits."""
    given = os.environ.get("NOISESCALE_RUN")
    if given:
        return checked_identifier("NOISESCALE_RUN", given)
    return f"{project[:100]}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
