"""Requests to the collector."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import quote, urlsplit

from noisescale.wire import EventResult, IngestResult, Measurement, RunDeclaration, RunEvent

_TRIED_AGAIN = {408, 425, 429}
_LARGEST_ANSWER = 2**24


class CollectorAwayError(Exception):
    """No answer, one that asks to try again later, or one that is no collector's."""


class CollectorRefusedError(Exception):
    """An answer that no repetition mends; the message holds the collector's reason.

    Attributes:
        fields: Paths of the fields that it did not take, such as `trackers.0.name`.
    """

    def __init__(self, reason: str, fields: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.fields = list(fields)


class UnknownRunError(CollectorRefusedError):
    """The collector does not know the run: it is to be declared (again)."""


class Collector:
    """The three requests that a hook makes; each returns the answer, or raises one of the errors above."""

    def __init__(self, url: str, timeout_seconds: float = 10.0, *, option: str = "url") -> None:
        """Makes no request.

        Args:
            url: The collector's address.
            timeout_seconds: How long an answer may keep silent.
            option: What the user gave the address by.

        Raises:
            ValueError: Naming the option, if `url` is no address.
        """
        try:
            address = urlsplit(url)
            host, _ = address.hostname, address.port
        except ValueError:
            host = None
        if host is None or address.scheme not in {"http", "https"} or any(not "!" <= x <= "~" for x in url):
            raise ValueError(f"{option}={url!r}: must be an address such as http://127.0.0.1:7677")
        self._url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        # A proxy does not reach this machine's own collector.
        own = host in {"localhost", "::1"} or host.startswith("127.")
        self._opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if own else []))

    def declare(self, run: str, declaration: RunDeclaration) -> None:
        """Declares the run; idempotent."""
        self._request("PUT", f"/v1/runs/{quote(run)}", declaration)

    def measurements(self, run: str, measurements: Sequence[Measurement]) -> IngestResult:
        """Sends measurements; when this returns they are on the collector's disk."""
        path = f"/v1/runs/{quote(run)}/measurements"
        answer = self._request("POST", path, {"measurements": measurements})
        kinds: dict[str, type] = {"accepted": int, "rejected": list, "snapshot": dict}
        if not all(isinstance(answer.get(name), kind) for name, kind in kinds.items()):
            raise CollectorAwayError(f"POST {self._url}{path} answered what is not a collector's")
        return cast(IngestResult, answer)

    def events(self, run: str, attempt: int, events: Sequence[RunEvent]) -> EventResult:
        """Sends events."""
        answer = self._request("POST", f"/v1/runs/{quote(run)}/events", {"attempt": attempt, "events": events})
        return cast(EventResult, answer)

    def _request(self, method: str, path: str, body: Mapping[str, object] | RunDeclaration) -> dict[str, object]:
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=json.dumps(body, allow_nan=False).encode(),
            headers={"content-type": "application/json", "accept": "application/json"},
        )
        asked = f"{method} {self._url}{path}"
        try:
            with self._opener.open(request, timeout=self._timeout_seconds) as response:
                answer = _json_object(response.read(_LARGEST_ANSWER))
        except urllib.error.HTTPError as error:
            raise _problem(asked, error) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise CollectorAwayError(f"{asked}: {error}") from error
        if answer is None:
            raise CollectorAwayError(f"{asked} answered what is not a collector's")
        return answer


def _json_object(text: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _problem(asked: str, error: urllib.error.HTTPError) -> CollectorAwayError | CollectorRefusedError:
    """What the collector says is wrong (RFC 9457), else what the answer says."""
    try:
        with error:
            said = error.read(10_000)
    except (OSError, http.client.HTTPException):
        said = b""
    problem = _json_object(said) or {}
    detail = problem.get("detail")
    reason = f"{asked} answered {error.code}: {detail if detail else said.decode(errors='replace') or error.reason}"
    if error.code in _TRIED_AGAIN or error.code >= 500:
        return CollectorAwayError(reason)
    errors = problem.get("errors")
    fields = [str(one.get("path")) for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    return (UnknownRunError if error.code == 404 else CollectorRefusedError)(reason, fields)
