"""For Keras 3 on the torch and jax back ends.

`model.compile(noisescale.keras.wrap(optimizer), …)` and `model.fit(…, callbacks=[noisescale.keras.Callback()])`.
"""

from noisescale.keras.callback import Callback
from noisescale.keras.tap import wrap

__all__ = ["Callback", "wrap"]
