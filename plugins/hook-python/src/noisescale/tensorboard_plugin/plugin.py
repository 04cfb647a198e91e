from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tensorboard import context, plugin_util
from tensorboard.data.provider import DataProvider, RunTagFilter
from tensorboard.plugins import base_plugin
from werkzeug import Request, Response

_SCRIPT = Path(__file__).with_name("tab.js")
_TAG = "noise_scale/panel_data"

_Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class NoiseScalePlugin(base_plugin.TBPlugin):
    """Serves the tab's script, the runs that hold panels, and a run's panel data as the collector wrote it."""

    plugin_name = "noisescale"

    def __init__(self, tensorboard: base_plugin.TBContext) -> None:
        """Keeps TensorBoard's way to the event files.

        Args:
            tensorboard: What TensorBoard gives its plugins.
        """
        self._provider: DataProvider = tensorboard.data_provider

    def get_plugin_apps(self) -> dict[str, _Application]:
        """The routes below `/data/plugin/noisescale`."""
        return {"/tab.js": self._script, "/runs": self._runs, "/panel_data": self._panel_data}

    def is_active(self) -> bool:
        """False: TensorBoard itself sees from `plugin_name` whether a run holds data of this plugin."""
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """The tab's name and script."""
        return base_plugin.FrontendMetadata(es_module_path="/tab.js", tab_name="Noise scale")

    def _script(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not _SCRIPT.exists():
            advice = (
                "The tab's script is not built: run `npx pnpm@12 bundle` in the checkout, and install noisescale again."
            )
            return _response(advice, "text/plain", 404)(environ, start_response)
        return _response(_SCRIPT.read_bytes(), "text/javascript")(environ, start_response)

    def _runs(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request_context, experiment = _asker(environ)
        found = self._provider.list_tensors(request_context, experiment_id=experiment, plugin_name=self.plugin_name)
        runs = json.dumps(sorted(run for run, tags in found.items() if _TAG in tags))
        return _response(runs, "application/json")(environ, start_response)

    def _panel_data(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request_context, experiment = _asker(environ)
        run = Request(environ).args.get("run", "")
        found = self._provider.read_tensors(
            request_context,
            experiment_id=experiment,
            plugin_name=self.plugin_name,
            downsample=1,
            run_tag_filter=RunTagFilter(runs=[run], tags=[_TAG]),
        )
        data = found.get(run, {}).get(_TAG, [])
        # Whatever wrote the event files: text of one value, or nothing that this tab could show.
        content = data[-1].numpy if data else None
        panels = content.item() if content is not None and content.size == 1 else None
        if not isinstance(panels, bytes | str):
            return _response(f"The run {run!r} holds no panels.", "text/plain", 404)(environ, start_response)
        return _response(panels, "application/json")(environ, start_response)


def _asker(environ: dict[str, Any]) -> tuple[context.RequestContext, str]:
    return plugin_util.context(environ), plugin_util.experiment_id(environ)


def _response(content: bytes | str, mimetype: str, status: int = 200) -> Response:
    """TensorBoard warns of each answer that a browser may take for another kind of content than it says."""
    return Response(content, status=status, mimetype=mimetype, headers={"X-Content-Type-Options": "nosniff"})
