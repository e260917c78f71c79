"""The train step of WGAN-GP against the machine's limit and the public example.

The limit: the convolutions and matrix products of one step, and nothing else, each the
plain TensorFlow operation, of the same sizes, as often as mathematics asks for it. For
the critic's scores: forward, back to the weights, back to the inner inputs. For the
penalty: forward and back to all inputs (the gradient), then the same once more, back to
front, with the weights (its derivative). The critic is linear between the kinks of its
LeakyReLUs, so the derivative needs no pass back through the scores. The generator:
forward for all critic updates, forward and backward for its own, through the critic's
inputs.

The public way: the train step of Keras's WGAN-GP example, as it stood before its alpha
and its root were mended (which costs no time), around the same two networks: a
generator call inside the tape for every critic update, three calls of the critic, a
loss of the last batch.

    python benchmarks/bench_wgan_gp.py

All three are timed in turn, so that other load on the machine falls on all. Exit code
1 if the step has less than its share of the limit, or is slower than the public one.
"""

import sys
from functools import partial

import numpy as np

from advanced_keras.gan import build_generator
from advanced_keras.wgan_gp import WGANGP, build_critic

# isort: split
import keras
import tensorflow as tf
from _timing import medians, seconds, verdict
from bench_gan import products, seconds_per_step

SHARE, RATIO = 0.60, 1.0
ROUNDS, STEPS, BATCH, UPDATES = 7, 12, 64, 3


class PublicWGAN(keras.Model):
    """The model of the public example."""

    def __init__(self, critic, generator, latent_dim):
        super().__init__()
        self.critic, self.generator, self.latent_dim = critic, generator, latent_dim

    def compile(self, d_optimizer, g_optimizer):
        """Keep both optimizers beside the one that Keras makes."""
        super().compile()
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer

    def gradient_penalty(self, count, real, fake):
        """On points drawn as the example draws them."""
        alpha = tf.random.normal([count, 1, 1, 1], 0.0, 1.0)
        points = real + alpha * (fake - real)
        with tf.GradientTape() as tape:
            tape.watch(points)
            scores = self.critic(points, training=True)
        gradients = tape.gradient(scores, [points])[0]
        norm = tf.sqrt(tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3]))
        return tf.reduce_mean((norm - 1.0) ** 2)

    def train_step(self, real):
        """Three updates of the critic on the same real images, one of the generator."""
        count = tf.shape(real)[0]
        for _ in range(UPDATES):
            z = tf.random.normal((count, self.latent_dim))
            with tf.GradientTape() as tape:
                fake = self.generator(z, training=True)
                fake_scores = self.critic(fake, training=True)
                real_scores = self.critic(real, training=True)
                cost = tf.reduce_mean(fake_scores) - tf.reduce_mean(real_scores)
                d_loss = cost + 10.0 * self.gradient_penalty(count, real, fake)
            weights = self.critic.trainable_variables
            gradients = tape.gradient(d_loss, weights)
            self.d_optimizer.apply_gradients(zip(gradients, weights, strict=True))
        z = tf.random.normal((count, self.latent_dim))
        with tf.GradientTape() as tape:
            scores = self.critic(self.generator(z, training=True), training=True)
            g_loss = -tf.reduce_mean(scores)
        weights = self.generator.trainable_variables
        gradients = tape.gradient(g_loss, weights)
        self.g_optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return {"d_loss": d_loss, "g_loss": g_loss}


def adams():
    """The optimizers of both models."""
    return [keras.optimizers.Adam(1e-3, beta_1=0.5, beta_2=0.9) for _ in range(2)]


def our_model():
    """Ours, as the chapter trains it."""
    model = WGANGP(build_generator(seed=0), build_critic(), critic_updates=UPDATES)
    model.compile(*adams(), steps_per_execution=4)  # the chapter: 20
    return model


def public_model():
    """The public step around the same networks."""
    model = PublicWGAN(build_critic(), build_generator(seed=0), 64)
    model.compile(*adams())
    return model


def limit():
    """All products of a step in one graph, one after the other."""
    G, f = build_generator(seed=0), build_critic()
    update = [
        *products(f, 2 * BATCH, forward=True, weights=True, inputs="inner"),
        *products(f, BATCH, forward=True, inputs="all"),
        *products(f, BATCH, forward=True, weights=True),
    ]
    runs = [
        *products(G, UPDATES * BATCH, forward=True),
        *(UPDATES * update),
        *products(G, BATCH, forward=True, weights=True, inputs="inner"),
        *products(f, BATCH, forward=True, inputs="all"),
    ]

    @tf.function
    def everything():
        results = []
        for run in runs:
            with tf.control_dependencies(results[-1:]):
                results.append(run())
        return results

    return everything


def main() -> int:
    """Time all three in turn, print shares and ratios of the medians."""
    shape = STEPS * UPDATES * BATCH, 28, 28, 1
    images = np.random.default_rng(0).uniform(size=shape).astype("float32")
    ours, public, everything = our_model(), public_model(), limit()
    clocks = [
        partial(seconds_per_step, ours, images, UPDATES * BATCH),
        partial(seconds_per_step, public, images[: STEPS * BATCH], BATCH),
        partial(seconds, everything, STEPS),
    ]
    medians(clocks, 1)  # traces
    own, plain, bound = medians(clocks, ROUNDS)
    print(
        f"ours {1e3 * own:.1f} ms, public {1e3 * plain:.1f} ms, products alone "
        f"{1e3 * bound:.1f} ms per step of {UPDATES} times {BATCH}, float32"
    )
    near = verdict("bench_wgan_gp", "share of the limit", bound / own, SHARE)
    fast = verdict("bench_wgan_gp", "public / ours", plain / own, RATIO)
    return 0 if near and fast else 1


if __name__ == "__main__":
    sys.exit(main())
