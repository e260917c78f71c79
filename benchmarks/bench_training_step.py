"""One training step of our Transformer against the same step built the usual way.

The usual way is that of the public example, made of stock Keras layers: heads as wide
as the whole model (``key_dim=embed_dim``) and a softmax in the head. Ours has heads of
width ``embed_dim / num_heads`` and logits. Everything else is the same: one
encoder and one decoder layer, embed 256, dense 2048, 8 heads, vocabulary 15000, length
20, batch 64.

    python benchmarks/bench_training_step.py

The steps are timed in turn, so that other load on the machine falls on both.
"""

import os
import sys
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import advanced_keras  # noqa: F401  (quiets TensorFlow before it is imported)

# isort: split
import keras
from _timing import medians, seconds, verdict

from advanced_keras.transformer import PositionalEmbedding, build_transformer

TARGET = 2.2
REPETITIONS = 9
EMBED, DENSE, HEADS, VOCABULARY, LENGTH, BATCH = 256, 2048, 8, 15000, 20, 64


def our_model():
    """Build ours, trained on logits."""
    model = build_transformer(
        sequence_length=LENGTH,
        source_vocab_size=VOCABULARY,
        target_vocab_size=VOCABULARY,
        embed_dim=EMBED,
        dense_dim=DENSE,
        num_heads=HEADS,
        dropout=0.0,
    ).transformer
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="rmsprop", loss=loss)
    return model


def attend(query, value, causal=False):
    """Attention with ``key_dim=embed_dim``, its residual and its norm."""
    attention = keras.layers.MultiHeadAttention(num_heads=HEADS, key_dim=EMBED)
    attended = attention(query, value, use_causal_mask=causal)
    return keras.layers.LayerNormalization()(query + attended)


def feed_forward(states):
    """Feed forward, with residual and norm."""
    hidden = keras.layers.Dense(DENSE, activation="relu")(states)
    return keras.layers.LayerNormalization()(states + keras.layers.Dense(EMBED)(hidden))


def usual_model():
    """Build the usual one from stock layers, trained on probabilities."""
    source = keras.Input((None,), dtype="int64", name="encoder_inputs")
    target = keras.Input((None,), dtype="int64", name="decoder_inputs")
    embedded_source = PositionalEmbedding(LENGTH, VOCABULARY, EMBED)(source)
    embedded_target = PositionalEmbedding(LENGTH, VOCABULARY, EMBED)(target)
    encoded = feed_forward(attend(embedded_source, embedded_source))
    own = attend(embedded_target, embedded_target, causal=True)
    states = feed_forward(attend(own, encoded))
    words = keras.layers.Dense(VOCABULARY, activation="softmax")(states)
    model = keras.Model([source, target], words)
    model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy")
    return model


def main():
    """Time both, print the ratio, and fail below the target."""
    keras.utils.set_random_seed(0)
    tokens = np.random.default_rng(0).integers(1, VOCABULARY, (3, BATCH, LENGTH))
    batch = ([tokens[0], tokens[1]], tokens[2])
    models = our_model(), usual_model()
    for model in models:
        model.train_on_batch(*batch)  # traces the step
    steps = [partial(seconds, partial(m.train_on_batch, *batch)) for m in models]
    ours, usual = medians(steps, REPETITIONS)
    ratio = usual / ours
    print(f"our step {ours:.3f} s, usual step {usual:.3f} s, {REPETITIONS} repetitions")
    return 0 if verdict("bench_training_step", "ratio", ratio, TARGET) else 1


if __name__ == "__main__":
    sys.exit(main())
