"""Requests to the collector."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import quote, urlsplit

from noisescale.wire import EventResult, IngestResult, Measurement, RunDeclaration, RunEvent

_TRIED_AGAIN = {408, 425, 429}


class CollectorAwayError(Exception):
    """No answer, or one that asks to try again later."""


class CollectorRefusedError(Exception):
    """An answer that no repetition mends; the message holds the collector's reason."""


class UnknownRunError(CollectorRefusedError):
    """The collector does not know the run: it is to be declared (again)."""


class Collector:
    """The three requests that a hook makes; each returns the answer, or raises one of the errors above."""

    def __init__(self, url: str, timeout_seconds: float = 10.0) -> None:
        address = urlsplit(url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise ValueError(f"url={url!r}: must be an address such as http://127.0.0.1:7677")
        self._url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        # A proxy does not reach this machine's own collector.
        own = address.hostname in {"localhost", "::1"} or address.hostname.startswith("127.")
        self._opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if own else []))

    def declare(self, run: str, declaration: RunDeclaration) -> None:
        """Declares the run; idempotent."""
        self._request("PUT", f"/v1/runs/{quote(run)}", declaration)

    def measurements(self, run: str, measurements: Sequence[Measurement]) -> IngestResult:
        """Sends measurements; when this returns they are on the collector's disk."""
        answer = self._request("POST", f"/v1/runs/{quote(run)}/measurements", {"measurements": measurements})
        return cast(IngestResult, answer)

    def events(self, run: str, attempt: int, events: Sequence[RunEvent]) -> EventResult:
        """Sends events."""
        answer = self._request("POST", f"/v1/runs/{quote(run)}/events", {"attempt": attempt, "events": events})
        return cast(EventResult, answer)

    def _request(self, method: str, path: str, body: Mapping[str, object] | RunDeclaration) -> object:
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=json.dumps(body, allow_nan=False).encode(),
            headers={"content-type": "application/json", "accept": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=self._timeout_seconds) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(10_000).decode(errors="replace")
            reason = f"{method} {self._url}{path} answered {error.code}: {said}"
            if error.code in _TRIED_AGAIN or error.code >= 500:
                raise CollectorAwayError(reason) from error
            raise (UnknownRunError if error.code == 404 else CollectorRefusedError)(reason) from error
        except (OSError, ValueError) as error:
            raise CollectorAwayError(f"{method} {self._url}{path}: {error}") from error
