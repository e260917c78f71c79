"""The VAE's train step against the machine, and against the plain way of doing it.

Two questions, float32, batches of 64 images of 28 x 28, one run, rounds in turn.

1. Which share of the machine's limit does a train step reach? The limit is the sum of
   the times of the bare operations: every convolution, transposed convolution and
   matrix product of the two networks, forward and backward, of exactly the same sizes,
   each timed alone in a graph that does nothing else. Left out of the limit, and so
   counted as overhead, are biases, activations, the loss, the noise, and Adam.
2. Is it slower than the plain step of Keras's public VAE example, written out below
   with its architecture (32 and 64 filters, a stride of 1 at full resolution, two
   latent numbers) and its batch of 128? Ours gets the same networks.

Exit code 1 if a target is missed.

    python benchmarks/bench_vae.py
"""

import sys

import numpy as np

from advanced_keras.vae import VAE, build_vae

# isort: split
import keras
import tensorflow as tf
from _timing import medians, seconds, verdict
from keras import layers, ops

SHARE, RATIO = 0.50, 1.0
ROUNDS, BATCH, PLAIN_BATCH = 30, 64, 128


# ---- The limit ----------------------------------------------------------------------


def gradients_of(function, *tensors):
    """A graph that computes a function and its gradient for all of its arguments."""

    @tf.function
    def run(upstream, *values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            result = function(*values)
        return tape.gradient(result, values, output_gradients=upstream)

    upstream = tf.random.normal(function(*tensors).shape)
    return lambda: run(upstream, *tensors)


def bare(layer, batch, needs_input_gradient):
    """The operation of a layer with its gradients, without bias and activation."""
    x = tf.random.normal((batch, *layer.input.shape[1:]))
    w = tf.random.normal(layer.kernel.shape)
    if isinstance(layer, layers.Conv2DTranspose):
        shape = (batch, *layer.output.shape[1:])

        def function(x, w):
            return tf.nn.conv2d_transpose(x, w, shape, layer.strides, "SAME")
    elif isinstance(layer, layers.Conv2D):

        def function(x, w):
            return tf.nn.conv2d(x, w, layer.strides, "SAME")
    else:
        function = tf.matmul
    if needs_input_gradient:
        return gradients_of(function, x, w)
    return gradients_of(lambda w: function(x, w), w)


def bare_operations(vae, batch):
    """One for each layer with a kernel; images need no gradient."""
    found = []
    for network in (vae.encoder, vae.decoder):
        for layer in network.layers:
            if hasattr(layer, "kernel"):
                first = layer.input is network.input and network is vae.encoder
                found.append(bare(layer, batch, not first))
    return found


# ---- The plain way ------------------------------------------------------------------


def plain_networks():
    """Encoder and decoder with the layers of the public example."""
    image = keras.Input((28, 28, 1))
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Dense(16, activation="relu")(layers.Flatten()(x))
    encoder = keras.Model(image, [layers.Dense(2)(x), layers.Dense(2)(x)])
    z = keras.Input((2,))
    x = layers.Dense(7 * 7 * 64, activation="relu")(z)
    x = layers.Reshape((7, 7, 64))(x)
    for filters in (64, 32):
        x = layers.Conv2DTranspose(filters, 3, 2, "same", activation="relu")(x)
    return encoder, z, layers.Conv2DTranspose(1, 3, padding="same")(x)


class PlainVAE(keras.Model):
    """The step of the public example: probabilities, three means, Adam."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.noise = keras.random.SeedGenerator(1337)
        names = ("loss", "reconstruction_loss", "kl_loss")
        self.trackers = [keras.metrics.Mean(name=name) for name in names]

    @property
    def metrics(self):
        """The three means."""
        return self.trackers

    def train_step(self, data):
        """Forward, loss from probabilities, gradient, update, three means."""
        with tf.GradientTape() as tape:
            mean, log_var = self.encoder(data)
            epsilon = keras.random.normal(ops.shape(mean), seed=self.noise)
            p = self.decoder(mean + ops.exp(0.5 * log_var) * epsilon)
            pixels = keras.losses.binary_crossentropy(data, p)
            reconstruction = ops.mean(ops.sum(pixels, axis=(1, 2)))
            kl = -0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var))
            kl = ops.mean(ops.sum(kl, axis=1))
            total = reconstruction + kl
        grads = tape.gradient(total, self.trainable_weights)
        self.optimizer.apply_gradients(zip(grads, self.trainable_weights, strict=True))
        for tracker, value in zip(
            self.trackers, (total, reconstruction, kl), strict=True
        ):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


def rivals():
    """The plain model and ours, on copies of the same networks."""
    encoder, z, logits = plain_networks()
    plain = PlainVAE(encoder, keras.Model(z, layers.Activation("sigmoid")(logits)))
    encoder, z, logits = plain_networks()
    ours = VAE(encoder, keras.Model(z, logits))
    return plain, ours


# ---- Timing -------------------------------------------------------------------------


def epoch(model, images, batch):
    """A function that trains one epoch with fit; timed per step."""
    data = tf.data.Dataset.from_tensor_slices(images).batch(batch, drop_remainder=True)
    data = data.cache().prefetch(2)
    steps = len(images) // batch

    def run():
        model.fit(data, shuffle=False, verbose=0)

    run()  # traces the step
    return run, steps


def share_of_limit(images):
    """Median of (sum of the bare operations) / (step), and both in milliseconds."""
    vae = build_vae(8, seed=0, width=256)
    vae.compile(keras.optimizers.Adam(1e-3), steps_per_execution=20)
    run, steps = epoch(vae, images[: 40 * BATCH], BATCH)
    operations = bare_operations(vae, BATCH)
    for operation in operations:
        seconds(operation, 5)
    return medians(
        [
            lambda: sum(seconds(operation, 10) for operation in operations),
            lambda: seconds(run) / steps,
        ],
        ROUNDS // 2,
    )


def against_plain(images):
    """Medians of the plain step and of ours."""
    clocks = []
    for model in rivals():
        model.compile(keras.optimizers.Adam())
        run, steps = epoch(model, images[: 20 * PLAIN_BATCH], PLAIN_BATCH)
        clocks.append(lambda run=run, steps=steps: seconds(run) / steps)
    return medians(clocks, ROUNDS // 2)


def main() -> int:
    """Time both questions, print the two ratios."""
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(40 * BATCH, 28, 28, 1)).astype("float32")
    limit, step = share_of_limit(images)
    plain, ours = against_plain(images)
    print(f"bare operations {1e3 * limit:.2f} ms, train step {1e3 * step:.2f} ms")
    print(f"public example {1e3 * plain:.2f} ms, ours {1e3 * ours:.2f} ms per step")
    share, ratio = limit / step, ours / plain
    near = verdict("bench_vae", "share of the limit", share, SHARE)
    fast = verdict("bench_vae", "ours / public", ratio, RATIO, at_most=True)
    return 0 if near and fast else 1


if __name__ == "__main__":
    sys.exit(main())
