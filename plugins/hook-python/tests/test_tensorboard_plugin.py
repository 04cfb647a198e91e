"""The tab's routes, asked by whoever reaches TensorBoard, over event files that anything may have written."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorboard.data.provider import RunTagFilter
from werkzeug import Response
from werkzeug.test import Client, TestResponse

from noisescale.tensorboard_plugin import NoiseScalePlugin

_TAG = "noise_scale/panel_data"
_RUNS: dict[str, np.ndarray[Any, Any]] = {
    "digits/<img src=x onerror=alert(1)>": np.array(b'{"name": "<script>"}', dtype=object),
    "two values": np.array([b"{}", b"{}"], dtype=object),
    "no value": np.array([], dtype=object),
    "a number": np.array(3.5),
}


class _EventFiles:
    def list_tensors(self, _context: object, **_: object) -> dict[str, dict[str, None]]:
        return {run: {_TAG: None} for run in _RUNS} | {"other": {"loss": None}}

    def read_tensors(self, _context: object, *, run_tag_filter: RunTagFilter, **_: object) -> dict[str, Any]:
        return {run: {_TAG: [SimpleNamespace(numpy=_RUNS[run])]} for run in run_tag_filter.runs or () if run in _RUNS}


def _ask(route: str, **query: str) -> TestResponse:
    plugin = NoiseScalePlugin(SimpleNamespace(data_provider=_EventFiles()))
    return Client(plugin.get_plugin_apps()[route], Response).get("/", query_string=query)


@pytest.mark.parametrize("route", ["/runs", "/panel_data", "/tab.js"])
def test_every_answer_says_that_it_is_what_it_says(route: str) -> None:
    """TensorBoard logs a warning for each answer without it, and means to refuse them."""
    assert _ask(route).headers["X-Content-Type-Options"] == "nosniff"


def test_names_and_data_of_others_are_answered_as_json_never_as_a_page() -> None:
    """Markup in a run's name or data is text of a JSON answer."""
    run = "digits/<img src=x onerror=alert(1)>"
    listed = _ask("/runs")
    assert listed.mimetype == "application/json"
    assert listed.json == sorted(_RUNS)
    panels = _ask("/panel_data", run=run)
    assert (panels.status_code, panels.mimetype, panels.json) == (200, "application/json", {"name": "<script>"})


@pytest.mark.parametrize("run", ["../../etc/passwd", "<b>", "", "two values", "no value", "a number"])
def test_a_run_without_panels_is_a_404_in_plain_text(run: str) -> None:
    """Also where the event file holds something else under the tag."""
    answer = _ask("/panel_data", run=run)
    assert (answer.status_code, answer.mimetype) == (404, "text/plain")
