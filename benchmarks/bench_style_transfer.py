"""A step with the fixed images' features computed once, against a step that doesn't.

The plain loop does what the public example does: in each step content, style and
generated image go through the extractor as one batch. Both have the same losses, the
same random extractor, images of 128 x 192 pixels, and the gradient for the pixels.
Rounds of the two are timed in turn, so that other load falls on both. Exit code 1
below the target.

    python benchmarks/bench_style_transfer.py
"""

import sys
from functools import partial

import numpy as np

from advanced_keras.style_transfer import (
    StyleObjective,
    build_extractor,
    content_loss,
    draw_mosaic,
    draw_strokes,
    gram,
    noise_image,
    style_loss,
)

# isort: split
import tensorflow as tf
from _timing import medians, seconds, verdict

TARGET = 2.5
ROUNDS, STEPS = 9, 4
H, W = 128, 192


def plain_step(extractor, style, content, content_weight):
    """Return a compiled step that computes all features each time."""

    @tf.function
    def step(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            batch = tf.concat([content, style, tf.sigmoid(logits)], axis=0)
            loss = tf.zeros(())
            features = extractor(batch)
            styles = [name for name in features if name.startswith("style")]
            contents = [name for name in features if name.startswith("content")]
            for name in styles:
                F = features[name]
                loss += style_loss(gram(F[2:]), gram(F[1:2])) / len(styles)
            for name in contents:
                P, F = features[name][:1], features[name][2:]
                loss += content_weight * content_loss(F, P) / len(contents)
        return loss, tape.gradient(loss, logits)

    return step


def main() -> int:
    """Time both in turn, print the ratio of the medians."""
    extractor = build_extractor()
    content, style = draw_mosaic(W)[:, :H], draw_strokes(W)[:, :H]
    plain = plain_step(extractor, style, content, 0.01)
    once = StyleObjective(extractor, style, content, 0.01).value_and_gradient
    logits = tf.constant(4 * noise_image((1, H, W, 3)) - 2)
    losses = float(plain(logits)[0]), float(once(logits)[0]["loss"])
    assert np.isclose(*losses, rtol=1e-4), losses
    ways = [lambda s=step: s(logits)[1].numpy() for step in (plain, once)]
    slow, fast = medians([partial(seconds, way, STEPS) for way in ways], ROUNDS)
    ratio = slow / fast
    print(f"recomputed {1e3 * slow:.0f} ms, once {1e3 * fast:.0f} ms per step")
    return 0 if verdict("bench_style_transfer", "ratio", ratio, TARGET) else 1


if __name__ == "__main__":
    sys.exit(main())
