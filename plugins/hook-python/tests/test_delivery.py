import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from collector_double import RecordingCollector
from noisescale.collector import Collector
from noisescale.delivery import Delivery
from noisescale.sinks import sink_of
from noisescale.spool import Spool
from noisescale.wire import Measurement


def measurement(step: int) -> Measurement:
    return {
        "step": step,
        "time_ms": 1.0,
        "small": {"batch_size": 1.0, "squared_norm": 2.0, "count": 4},
        "big": {"batch_size": 4.0, "squared_norm": 1.0},
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_run_is_declared_before_its_measurements_arrive_in_order(tmp_path: Path) -> None:
    with RecordingCollector() as collector:
        sink = sink_of(collector.url, "r", {"project": "p"}, tmp_path)
        for step in range(2500):
            sink.record(measurement(step))
        sink.event({"step": 2499, "time_ms": 1.0, "kind": "finished", "code": "run-ended"})
        assert sink.close()
        assert collector.requests[0] == ("PUT", "/v1/runs/r", {"project": "p"})
        assert collector.steps() == list(range(2500))
        assert collector.requests[-1][1] == "/v1/runs/r/events"
        assert sink.snapshot is not None
        assert sink.snapshot["b_simple"] == 7.0
    assert list(tmp_path.iterdir()) == []


def test_what_a_run_recorded_while_the_collector_was_away_arrives_first_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    delivery = Delivery(
        Collector(f"http://127.0.0.1:{port}"), "r", {"project": "p"}, Spool(tmp_path), flush_every_seconds=0.01
    )
    for step in range(3):
        delivery.record(measurement(step))
    assert not delivery.flush(0.3)
    assert len(list(tmp_path.glob("*.ndjson"))) == 1
    with RecordingCollector(port) as collector:
        delivery.record(measurement(3))
        assert delivery.close()
        assert collector.steps() == [0, 1, 2, 3]
    assert list(tmp_path.iterdir()) == []


def test_what_an_ended_process_left_in_the_spool_is_delivered_by_the_next(tmp_path: Path) -> None:
    lines = [
        {"run": "before", "attempt": 5, "declaration": {"project": "p"}},
        {"measurement": {**measurement(9), "attempt": 5}},
    ]
    # No process has this id: Linux ends at 2**22.
    (tmp_path / "before.5.99999999.ndjson").write_text("\n".join(json.dumps(line) for line in lines) + '\n{"measur')
    with RecordingCollector() as collector:
        sink = sink_of(collector.url, "after", {"project": "p"}, tmp_path)
        assert sink.close()
        assert [path for _, path, _ in collector.requests[:3]] == [
            "/v1/runs/after",
            "/v1/runs/before",
            "/v1/runs/before/measurements",
        ]
        assert collector.steps() == [9]
    assert list(tmp_path.iterdir()) == []


def test_close_leaves_what_did_not_arrive_in_the_spool(tmp_path: Path) -> None:
    sink = sink_of(f"http://127.0.0.1:{free_port()}", "r", {"project": "p"}, tmp_path)
    sink.record(measurement(0))
    assert not sink.close(0.2)
    (left,) = tmp_path.iterdir()
    assert [json.loads(line).get("measurement", {}).get("step") for line in left.read_text().splitlines()] == [None, 0]


def test_a_refusal_ends_the_delivery_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RecordingCollector() as collector:
        collector.refuse = 400
        sink = sink_of(collector.url, "r", {"project": "p"}, tmp_path)
        sink.record(measurement(0))
        assert not sink.close()
        assert len(collector.requests) == 1
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "noisescale sends nothing more for run r"
    ]


def test_a_full_queue_keeps_every_second_measurement_and_counts_the_others(tmp_path: Path) -> None:
    full = Spool(tmp_path, max_bytes=0)
    port = free_port()
    delivery = Delivery(
        Collector(f"http://127.0.0.1:{port}"), "r", {"project": "p"}, full, max_queue=4, flush_every_seconds=0.01
    )
    for step in range(5):
        delivery.record(measurement(step))
    assert not delivery.flush(0.2)
    with RecordingCollector(port) as collector:
        assert delivery.close()
        assert collector.steps() == [0, 2, 4]
        ((_, _, body),) = [request for request in collector.requests if request[1].endswith("/events")]
        assert body["events"][0]["code"] == "queue-full"
        assert body["events"][0]["count"] == 2


def test_a_forked_child_sends_nothing_and_the_parent_goes_on(tmp_path: Path) -> None:
    with RecordingCollector() as collector:
        sink = sink_of(collector.url, "r", {"project": "p"}, tmp_path)
        child = os.fork()
        if child == 0:
            sink.record(measurement(0))
            os._exit(0 if not sink.close() else 1)
        assert os.waitpid(child, 0)[1] == 0
        sink.record(measurement(1))
        assert sink.close()
        assert collector.steps() == [1]


def test_a_path_becomes_ndjson_with_the_run_in_its_first_line(tmp_path: Path) -> None:
    sink = sink_of(tmp_path / "folder" / "m.ndjson", "r", {"project": "p"})
    sink.record(measurement(0))
    sink.close()
    first, second = (json.loads(line) for line in (tmp_path / "folder" / "m.ndjson").read_text().splitlines())
    assert first == {"run": {"project": "p", "name": "r"}}
    assert second == measurement(0)


@pytest.mark.parametrize(
    "body", [b"<html>", b"null", b"[1]", b"{}", b'{"accepted": 1, "rejected": null}', b'{"accep', b"\xff"]
)
def test_what_something_else_than_a_collector_answers_is_no_delivery(body: bytes, tmp_path: Path) -> None:
    with RecordingCollector() as collector:
        collector.body = body
        delivery = Delivery(Collector(collector.url), "r", {"project": "p"}, Spool(tmp_path), flush_every_seconds=0.01)
        delivery.record(measurement(0))
        assert not delivery.flush(0.2)
        collector.requests, collector.body = [], None
        assert delivery.close()
        assert collector.steps() == [0]


def test_what_is_in_a_request_without_an_answer_is_left_in_the_spool_at_the_end(tmp_path: Path) -> None:
    with RecordingCollector() as collector:
        sink = sink_of(collector.url, "r", {"project": "p"}, tmp_path)
        assert sink.flush()
        answers = threading.Event()
        collector.answer = lambda _: {"answered": answers.wait(20)}
        sink.record(measurement(0))
        assert not sink.close(0.2)
        (left,) = tmp_path.iterdir()
        lines = [json.loads(line) for line in left.read_text().splitlines()]
        assert [line["measurement"]["step"] for line in lines if "measurement" in line] == [0]
        answers.set()


def test_a_disk_that_hangs_holds_up_no_measurement(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    delivery = Delivery(Collector(address), "r", {"project": "p"}, Spool(tmp_path), flush_every_seconds=0.01)
    # Who opens it waits for a reader.
    pipe = tmp_path / f"r.{delivery.attempt}.{os.getpid()}.ndjson"
    os.mkfifo(pipe)
    delivery.record(measurement(0))
    assert not delivery.flush(0.3)
    began = time.monotonic()
    for step in range(1, 100):
        delivery.record(measurement(step))
    assert time.monotonic() - began < 1
    with pipe.open():
        pipe.unlink()
    assert not delivery.close(0.2)
    (left,) = tmp_path.iterdir()
    assert [json.loads(line).get("measurement", {}).get("step") for line in left.open()] == [None, *range(100)]


def test_where_measurements_wait_is_said_and_that_they_are_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    sink = sink_of(f"http://127.0.0.1:{free_port()}", "r", {"project": "p"}, tmp_path / "file")
    for step in range(3):
        sink.record(measurement(step))
    assert not sink.close(0.2)
    first, last = (record.getMessage() for record in caplog.records)
    assert f"measurements wait in memory, since {tmp_path}/file is full or cannot be written" in first
    assert last.startswith("noisescale: 3 measurements of run r are lost, the collector does not answer and ")


def test_a_spool_that_holds_rubbish_does_not_stop_the_delivery(tmp_path: Path) -> None:
    (tmp_path / "r.5.99999999.ndjson").write_bytes(b'5\n[]\n\xff\xfe\0\n{"declaration": 1}\n{"measurement": 2}\n')
    with RecordingCollector() as collector:
        sink = sink_of(collector.url, "r", {"project": "p"}, tmp_path)
        sink.record(measurement(0))
        assert sink.close()
        assert collector.steps() == [0]


def test_a_hundred_thousand_measurements_keep_to_the_queue_and_what_is_left_of_them_is_even(tmp_path: Path) -> None:
    with RecordingCollector() as collector:
        delivery = Delivery(Collector(collector.url), "r", {"project": "p"}, Spool(tmp_path), flush_every_seconds=60)
        for step in range(100_000):
            delivery.record(measurement(step))
        assert delivery.close(20)
        steps = collector.steps()
        assert steps == list(range(0, 100_000, 16))
        ((_, _, body),) = [request for request in collector.requests if request[1].endswith("/events")]
        assert sum(event["count"] for event in body["events"]) == delivery.dropped == 100_000 - len(steps)


def test_a_refusal_is_told_in_the_collectors_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RecordingCollector() as collector:
        detail = "the declaration is not understood: batch_min: must not be above batch_max"
        problem = {"title": "Not understood", "status": 400, "detail": detail}
        collector.refuse, collector.body = 400, json.dumps(problem).encode()
        sink = sink_of(collector.url, "r", {"project": "p"}, tmp_path)
        assert not sink.close()
    (said,) = (record.getMessage() for record in caplog.records)
    assert said == f"noisescale sends nothing more for run r: PUT {collector.url}/v1/runs/r answered 400: {detail}"
