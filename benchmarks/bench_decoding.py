"""Decode with a cache and in batches, against the plain loop of the course notes.

Both are run here, with the same weights, on the same sentences: embed 256, dense 2048,
8 heads, vocabulary 15000, 20 tokens read and 20 written. The weights are random, so no
sentence ends early in either. Exit code 1 below the target.
"""

import sys
import time

import numpy as np

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
    begin = time.perf_counter()
    written = [
        decode_plain(transformer, source[i : i + 1], START, END, LENGTH)
        for i in range(PLAIN)
    ]
    return PLAIN / (time.perf_counter() - begin), written


def cached_rate(decoding, source):
    """Sentences per second with the cache, best of three batches, and the ids."""
    decoding.greedy(source)  # trace the graph
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        written = decoding.greedy(source)
        seconds.append(time.perf_counter() - begin)
    return len(source) / min(seconds), written


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
    print(f"bench_decoding: ratio {ratio:.0f} (target >= {TARGET})")
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
