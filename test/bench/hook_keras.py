"""CPU time of watched steps over plain ones, on one thread, in turns: what the Keras hook costs.

KERAS_BACKEND=torch PYTHONPATH=plugins/hook-python/src OMP_NUM_THREADS=1 XLA_FLAGS=--xla_cpu_multi_thread_eigen=false \
  taskset -c 0 .cache/venv-python-hook/bin/python test/bench/hook_keras.py   # KERAS_BACKEND=jax for the other one

An MLP 784-512-512-10 with SGD, 256 rows a step. Each kind of training is one `fit` of its own, in a thread that trains
an epoch of ten steps when it is its turn. Turns and table are those of hook_python.py.

accumulation   `gradient_accumulation_steps=8` over batches of 32
chunks         batches of 256, of which a measured step takes four chunks in one more pass
"""

import threading
from collections.abc import Callable

import keras
import noisescale
import numpy as np
from hook_python import mixed_rows, turns

ROWS, STEPS, TURNS, NEVER = 256, 10, 60, 10**9
SIZES = (784, 512, 512, 10)
DRAWS = np.random.default_rng(0)
IMAGES = DRAWS.normal(size=(STEPS * ROWS, SIZES[0])).astype("float32")
LABELS = DRAWS.integers(0, SIZES[-1], STEPS * ROWS)


class Turns(keras.callbacks.Callback):
    """Holds a training where an epoch begins until the next one is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._asked, self._ended = threading.Semaphore(0), threading.Semaphore(0)

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        if epoch > 0:
            self._ended.release()
        self._asked.acquire()

    def train_epoch(self) -> None:
        self._asked.release()
        self._ended.acquire()


def training(accumulated: int | None, callback: noisescale.keras.Callback | None) -> Callable[[], None]:
    """What trains one epoch more."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(size, activation="relu") for size in SIZES[1:-1]]
    model = keras.Sequential([keras.layers.Input(SIZES[:1]), *hidden, keras.layers.Dense(SIZES[-1])])
    model.compile(
        keras.optimizers.SGD(1e-3, gradient_accumulation_steps=accumulated),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    held = Turns()
    callbacks = [held] if callback is None else [held, callback]
    options = {"batch_size": ROWS // (accumulated or 1), "epochs": NEVER, "shuffle": False, "verbose": 0}
    threading.Thread(target=lambda: model.fit(IMAGES, LABELS, callbacks=callbacks, **options), daemon=True).start()
    return held.train_epoch


def bench(name: str, accumulated: int | None, chunks: int | None) -> None:
    def watched(every: int | None) -> noisescale.keras.Callback:
        return noisescale.keras.Callback(every=every, chunks=chunks, sink=lambda _: None, user_runs=False)

    choosing = watched(None)
    train_epoch = training(accumulated, choosing)
    # The cadence is chosen when the 80th step ends.
    for _ in range(90 // STEPS):
        train_epoch()
    assert choosing.every is not None
    kinds = {
        "plain": training(accumulated, None),
        "not measured": training(accumulated, watched(NEVER)),
        "every step": training(accumulated, watched(1)),
    }
    mixed_rows(keras.backend.backend(), name, turns(kinds, TURNS), choosing.every)


if __name__ == "__main__":
    print(
        "| back end | steps | ratio | its 95 % interval | quartiles of the turns | turns |\n|---|---|---|---|---|---|"
    )
    bench("accumulation", 8, None)
    bench("chunks", None, 4)
