"""A collector that answers from this process, and can be told to refuse."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class RecordingCollector:
    """Keeps what it is sent; `refuse` is the status it answers with instead. It has the trackers of `trackers`.

    `answer` makes the snapshot of the last measurement, in place of `snapshot`. `body` is sent in place of any answer.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.refuse: int | None = None
        self.trackers: list[str] = []
        self.snapshot: dict[str, Any] = {"b_simple": 7.0}
        self.answer: Callable[[Any], Any] | None = None
        self.body: bytes | None = None
        self.heard = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with outer.heard:
                    outer.requests.append((self.command, self.path, body))
                    outer.heard.notify_all()
                unknown = [t for t in body.get("trackers", []) if t["name"] not in outer.trackers]
                status = outer.refuse or (422 if unknown else 200)
                records = body.get("measurements", [])
                snapshot = outer.answer(records[-1]) if outer.answer is not None and records else outer.snapshot
                result: dict[str, Any] = {
                    "accepted": len(records),
                    "duplicates": 0,
                    "rejected": [],
                    "snapshot": snapshot,
                }
                errors = [{"path": f"trackers.{body['trackers'].index(t)}.name", "message": "unknown"} for t in unknown]
                data = outer.body or json.dumps({"errors": errors} if unknown else result).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_PUT = do_POST = _answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def steps(self) -> list[int]:
        """Steps in the order in which they arrived."""
        sent = [body["measurements"] for _, path, body in self.requests if path.endswith("/measurements")]
        return [measurement["step"] for some in sent for measurement in some]

    def __enter__(self) -> "RecordingCollector":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
