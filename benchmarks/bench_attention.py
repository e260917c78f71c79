"""FusedAdam against Keras's Adam: the time until a deep stack has made its first step.

The chapter *Attention, skip connections, layer norm* trains stacks of six blocks,
compiled by XLA. Both optimizers compute the same numbers (`tests/test_blocks.py`); the
fused one has one operation for each variable instead of a dozen, so that the step is
built sooner.
"""

import statistics
import sys
import time

import keras

from advanced_keras.blocks import FusedAdam, build_stack, make_neighbours

TARGET = 1.3
ROUNDS = 3


def seconds_to_first_step(optimizer, data):
    """Compile a fresh stack with ``optimizer`` and make one step of ``fit``."""
    stack = build_stack(6, norm="pre")
    stack.compile(optimizer(1e-3), loss=stack.loss, jit_compile=True)
    stack.optimizer.build(stack.trainable_variables)
    start = time.perf_counter()
    stack.fit(*data, batch_size=32, verbose=0)
    return time.perf_counter() - start


def main():
    data = make_neighbours(32)
    times = {FusedAdam: [], keras.optimizers.Adam: []}
    for _ in range(ROUNDS):
        for optimizer, measured in times.items():
            measured.append(seconds_to_first_step(optimizer, data))
    fused, plain = (statistics.median(measured) for measured in times.values())
    ratio = plain / fused
    print(
        f"bench_attention: FusedAdam makes its first step {ratio:.2f} times as soon as "
        f"Adam, {fused:.1f} s against {plain:.1f} s (target {TARGET})"
    )
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
