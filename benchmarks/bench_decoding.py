"""Decode with a cache and in batches, against the plain loop of the course notes.

Both are run here, with the same weights, on the same sentences: embed 256, dense 2048,
8 heads, vocabulary 15000, 20 tokens read and 20 written. The weights are random, so no
sentence ends early in either. Exit code 1 below the target.
"""

import sys

import numpy as np
from _timing import seconds, verdict

from advanced_keras.transformer import build_transformer
from advanced_keras.translation import Decoding, decode_plain

TARGET, LENGTH, VOCABULARY = 100, 20, 15_000
START, END, BATCH, PLAIN = 2, 3, 256, 3


def build():
    """A model of the size of the public example, and its cached decoder."""
    models = build_transformer(
        sequence_length=LENGTH,
        source_vocab_size=VOCABULARY,
        target_vocab_size=VOCABULARY,
        embed_dim=256,
        dense_dim=2048,
        num_heads=8,
    )
    return models.transformer, Decoding(models.transformer, START, END)


def plain_rate(transformer, source):
    """Sentences per second of the plain loop, and what it wrote."""
    decode_plain(transformer, source[:1], START, END, 2)  # warm up
    written = []
    rows = iter(np.split(source[:PLAIN], PLAIN))

    def write():
        written.append(decode_plain(transformer, next(rows), START, END, LENGTH))

    each = seconds(write, PLAIN)
    return 1 / each, written


def cached_rate(decoding, source):
    """Sentences per second with the cache, best of three batches, and the ids."""
    written = decoding.greedy(source)  # trace the graph
    best = min(seconds(lambda: decoding.greedy(source)) for _ in range(3))
    return len(source) / best, written


def main() -> int:
    """Measure both, compare what they wrote, print the ratio."""
    rng = np.random.default_rng(0)
    source = rng.integers(4, VOCABULARY, (BATCH, LENGTH))
    transformer, decoding = build()
    slow, plain = plain_rate(transformer, source)
    fast, cached = cached_rate(decoding, source)
    for row, written in zip(cached, plain, strict=False):
        assert row[: len(written)].tolist() == written, "they wrote different tokens"
    ratio = fast / slow
    print(f"plain {slow:.2f}, cached {fast:.0f} sentences per second")
    return 0 if verdict("bench_decoding", "ratio", ratio, TARGET) else 1


if __name__ == "__main__":
    sys.exit(main())
