"""The DCGAN's train step against the machine's limit, and against the public example.

The limit: the convolutions and matrix products of one step, and nothing else. Each is
the plain TensorFlow operation, of the same sizes, as often as mathematics asks for it:
forward through G and D in both halves; backward to the weights and inputs of D in the
first; backward through D's inputs to the weights and inputs of G in the second.

The public way: the train step of Keras's DCGAN example, written as it stands there,
around the same two networks, with the sigmoid at the end that its loss expects. It
stands there without ``training=True``, so that D drops nothing and takes no batch
statistics; with that mended it computes what ours computes, and that is compared.

    python benchmarks/bench_gan.py

All three are timed in turn, so that other load on the machine falls on all. Exit code
1 if the step has less than its share of the limit, or is slower than the public one.
"""

import sys
import time
from functools import partial

import numpy as np

from advanced_keras.gan import GAN, build_discriminator, build_generator

# isort: split
import keras
import tensorflow as tf
from _timing import medians, seconds, verdict
from keras import layers

SHARE, RATIO = 0.60, 1.0
ROUNDS, STEPS, BATCH = 11, 12, 64


class PublicGAN(keras.Model):
    """The model of the public example: labels 1 for generated, noise on both."""

    def __init__(self, discriminator, generator, latent_dim, training=True):
        super().__init__()
        self.mode = {"training": training}  # None: as the example stands
        self.discriminator, self.generator = discriminator, generator
        self.latent_dim = latent_dim
        self.seed_generator = keras.random.SeedGenerator(1337)

    def compile(self, d_optimizer, g_optimizer, loss_fn):
        """Keep both optimizers beside the one that Keras makes."""
        super().compile()
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        self.loss_fn = loss_fn
        self.d_loss_metric = keras.metrics.Mean(name="d_loss")
        self.g_loss_metric = keras.metrics.Mean(name="g_loss")

    @property
    def metrics(self):
        """Both means."""
        return [self.d_loss_metric, self.g_loss_metric]

    def noise(self, count):
        """Latent vectors."""
        shape = (count, self.latent_dim)
        return keras.random.normal(shape, seed=self.seed_generator)

    def train_step(self, real):
        """One update of each player."""
        count = keras.ops.shape(real)[0]
        generated = self.generator(self.noise(count), **self.mode)
        combined = keras.ops.concatenate([generated, real], axis=0)
        ones, zeros = keras.ops.ones((count, 1)), keras.ops.zeros((count, 1))
        labels = keras.ops.concatenate([ones, zeros], axis=0)
        labels += 0.05 * tf.random.uniform(tf.shape(labels))
        with tf.GradientTape() as tape:
            predictions = self.discriminator(combined, **self.mode)
            d_loss = self.loss_fn(labels, predictions)
        weights = self.discriminator.trainable_weights
        gradients = tape.gradient(d_loss, weights)
        self.d_optimizer.apply_gradients(zip(gradients, weights, strict=True))
        z = self.noise(count)
        with tf.GradientTape() as tape:
            generated = self.generator(z, **self.mode)
            predictions = self.discriminator(generated, **self.mode)
            g_loss = self.loss_fn(zeros, predictions)
        weights = self.generator.trainable_weights
        gradients = tape.gradient(g_loss, weights)
        self.g_optimizer.apply_gradients(zip(gradients, weights, strict=True))
        self.d_loss_metric.update_state(d_loss)
        self.g_loss_metric.update_state(g_loss)
        return {m.name: m.result() for m in self.metrics}


def adam():
    """The optimizer of both players, in both models."""
    return keras.optimizers.Adam(2e-4, beta_1=0.5)


def our_model():
    """Ours, as the chapter trains it."""
    gan = GAN(build_generator(seed=0), build_discriminator(seed=0), together=False)
    gan.compile(adam(), adam())
    return gan


def public_model(training=True):
    """The public example around the same networks."""
    judge = build_discriminator(seed=0)
    probability = layers.Activation("sigmoid", dtype="float32")(judge.output)
    judge = keras.Model(judge.input, probability)
    model = PublicGAN(judge, build_generator(seed=0), 64, training)
    model.compile(adam(), adam(), keras.losses.BinaryCrossentropy())
    return model


def products(network, count, forward=False, weights=False, inputs=()):
    """The operations of one pass through a network, as functions without arguments.

    Args:
        network: a functional model.
        count: examples in the batch.
        forward: whether to run forwards.
        weights: whether to go back to the weights.
        inputs: whether to go back to the inputs: of "all" layers, or "inner" ones.
    """
    kinds = (layers.Conv2D, layers.Conv2DTranspose, layers.Dense)
    found = [layer for layer in network.layers if isinstance(layer, kinds)]
    for place, layer in enumerate(found):
        x = tf.random.normal((count, *layer.input.shape[1:]))
        y = tf.random.normal((count, *layer.output.shape[1:]))
        k = tf.random.normal(layer.kernel.shape)
        run, to_weights, to_inputs = operations(layer, x, y, k)
        if forward:
            yield run
        if weights:
            yield to_weights
        if inputs == "all" or (inputs == "inner" and place):
            yield to_inputs


def operations(layer, x, y, k):
    """Forwards, back to the weights, back to the inputs: the plain operations."""
    if isinstance(layer, layers.Dense):
        return (
            lambda: tf.matmul(x, k),
            lambda: tf.matmul(x, y, transpose_a=True),
            lambda: tf.matmul(y, k, transpose_b=True),
        )
    large, small = (x, y) if isinstance(layer, layers.Conv2D) else (y, x)
    s = {"strides": (1, *layer.strides, 1), "padding": "SAME"}

    def down():
        return tf.raw_ops.Conv2D(input=large, filter=k, **s)

    def up():
        return tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(large), filter=k, out_backprop=small, **s
        )

    def to_weights():
        return tf.raw_ops.Conv2DBackpropFilter(
            input=large, filter_sizes=tf.shape(k), out_backprop=small, **s
        )

    pair = (down, up) if isinstance(layer, layers.Conv2D) else (up, down)
    return pair[0], to_weights, pair[1]


def limit():
    """All products of a step in one graph, one after the other."""
    G, D = build_generator(seed=0), build_discriminator(seed=0)
    runs = [
        *products(G, BATCH, forward=True),
        *products(D, 2 * BATCH, forward=True, weights=True, inputs="inner"),
        *products(G, BATCH, forward=True, weights=True, inputs="inner"),
        *products(D, BATCH, forward=True, inputs="all"),
    ]

    @tf.function
    def everything():
        results = []
        for run in runs:
            with tf.control_dependencies(results[-1:]):
                results.append(run())
        return results

    return everything


class Clock(keras.callbacks.Callback):
    """Notes when each step of ``fit`` ends."""

    def on_train_begin(self, logs=None):
        """Start anew."""
        self.ends = []

    def on_train_batch_end(self, batch, logs=None):
        """One more."""
        self.ends.append(time.perf_counter())


def seconds_per_step(model, images, batch):
    """Median seconds between two steps of ``fit``.

    What ``fit`` does before the first and after the last step is not in it: that takes
    0.1 to 0.3 s, now and then twice as long, however many steps there are.
    """
    clock = Clock()
    model.fit(images, batch_size=batch, epochs=1, verbose=0, callbacks=[clock])
    return np.median(np.diff(clock.ends)) / (model.steps_per_execution or 1)


def main() -> int:
    """Time all three in turn, print shares and ratios of the medians."""
    images = np.random.default_rng(0).uniform(size=(STEPS * BATCH, 28, 28, 1))
    images = images.astype("float32")
    models = our_model(), public_model(), public_model(training=None)
    everything = limit()
    clocks = [
        *(partial(seconds_per_step, model, images, BATCH) for model in models),
        partial(seconds, everything, STEPS),
    ]
    medians(clocks, 1)  # traces
    ours, public, careless, bound = medians(clocks, ROUNDS)
    print(
        f"ours {1e3 * ours:.1f} ms, public {1e3 * public:.1f} ms, "
        f"products alone {1e3 * bound:.1f} ms per step of {BATCH}, float32"
    )
    print(f"the public step as it stands: {1e3 * careless:.1f} ms")
    near = verdict("bench_gan", "share of the limit", bound / ours, SHARE)
    fast = verdict("bench_gan", "public / ours", public / ours, RATIO)
    return 0 if near and fast else 1


if __name__ == "__main__":
    sys.exit(main())
