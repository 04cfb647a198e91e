"""Trains on scikit-learn's handwritten digits with Keras (torch or jax), which follows the recommended batch size.

pip install noisescale keras scikit-learn torch          # or jax in place of torch
npx pnpm@12 noisescale serve          # in the checkout, in another terminal
python examples/keras_digits.py       # KERAS_BACKEND=jax for the other one
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from sklearn.datasets import load_digits

import noisescale


def main() -> None:
    keras.utils.set_random_seed(0)
    digits = load_digits()
    model = keras.Sequential(
        [
            keras.layers.Input((64,)),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    optimizer = keras.optimizers.SGD(0.05, gradient_accumulation_steps=4)
    model.compile(
        noisescale.keras.wrap(optimizer),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

    def say(change: noisescale.BatchSizeChange) -> None:
        factor = change.learning_rate_factor or 1.0
        print(f"batch size {change.batch_size:g} is due, rate × {factor:.4g}")

    callback = noisescale.keras.Callback(project="digits", every=1, follow_recommendation=True, on_recommendation=say)
    model.fit(digits.data / 16, digits.target, batch_size=8, epochs=20, verbose=0, callbacks=[callback])
    snapshot = callback.snapshot
    if snapshot is not None:
        parts, rate = optimizer.gradient_accumulation_steps, float(optimizer.learning_rate)
        b_simple = snapshot["b_simple"]
        print(f"{callback.measurements} measurements, {parts} parts, rate {rate:.4g}, B_simple {b_simple}")


if __name__ == "__main__":
    main()
