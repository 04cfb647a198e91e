"""A tab of TensorBoard that shows the panels of the noise scale, from the event files that the collector wrote.

TensorBoard finds it by the entry point `tensorboard_plugins` wherever both are installed; nothing else has to run.
"""

from noisescale.tensorboard_plugin.plugin import NoiseScalePlugin

__all__ = ["NoiseScalePlugin"]
