"""Reads run directories with the tensorboard package: a directory a line on standard input, a JSON object a line back."""

import base64
import html.parser
import json
import sys

from tensorboard import plugin_util
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.util import tensor_util

KEEP_ALL = {event_accumulator.TENSORS: 0}


class Words(html.parser.HTMLParser):
    """The text of a page, without its markup."""

    def __init__(self):
        super().__init__()
        self.words = ""

    def handle_data(self, data):
        self.words += data


def rendered(markdown):
    words = Words()
    words.feed(plugin_util.markdown_to_safe_html(markdown))
    words.close()
    return words.words


def read(directory):
    accumulator = event_accumulator.EventAccumulator(directory, size_guidance=KEEP_ALL)
    accumulator.Reload()
    read_back = {"scalars": {}, "images": {}, "texts": {}, "rendered": {}, "layout": None, "panelData": None, "classes": {}}
    for tag in accumulator.Tags()["tensors"]:
        metadata = accumulator.SummaryMetadata(tag)
        plugin = metadata.plugin_data.plugin_name
        read_back["classes"][tag] = [plugin, metadata.data_class]
        events = accumulator.Tensors(tag)
        arrays = [tensor_util.make_ndarray(event.tensor_proto) for event in events]
        if plugin == "scalars":
            read_back["scalars"][tag] = [
                [event.step, event.wall_time, array.item()] for event, array in zip(events, arrays)
            ]
        elif plugin == "images":
            read_back["images"][tag] = {
                "title": metadata.display_name,
                "events": [
                    [event.step, int(array[0]), int(array[1]), base64.b64encode(array[2]).decode()]
                    for event, array in zip(events, arrays)
                ],
            }
        elif plugin == "text":
            read_back["texts"][tag] = [[event.step, array.item().decode()] for event, array in zip(events, arrays)]
            read_back["rendered"][tag] = [rendered(array.item()) for array in arrays]
        elif plugin == "noisescale":
            read_back["panelData"] = arrays[-1].item().decode()
        elif plugin == "custom_scalars":
            layout = layout_pb2.Layout.FromString(arrays[-1].item())
            read_back["layout"] = [
                [
                    category.title,
                    [
                        [
                            chart.title,
                            list(chart.multiline.tag),
                            [[series.value, series.lower, series.upper] for series in chart.margin.series],
                        ]
                        for chart in category.chart
                    ],
                ]
                for category in layout.category
            ]
    return read_back


for line in sys.stdin:
    print(json.dumps(read(json.loads(line))), flush=True)
