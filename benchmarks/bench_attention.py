"""FusedAdam against Keras's Adam: the time until a deep stack has made its first step.

The chapter *Attention, skip connections, layer norm* trains stacks of six blocks,
compiled by XLA. Both optimizers compute the same numbers (`tests/test_blocks.py`); the
fused one has one operation for each variable instead of a dozen, so that the step is
built sooner.
"""

import sys
from functools import partial

from advanced_keras.blocks import FusedAdam, build_stack, make_neighbours

# isort: split
import keras
from _timing import medians, seconds, verdict

TARGET = 1.15  # most of the time is XLA's own, which both optimizers pay
ROUNDS = 3


def seconds_to_first_step(optimizer, data):
    """Compile a fresh stack with ``optimizer`` and make one step of ``fit``."""
    stack = build_stack(6, norm="pre")
    stack.compile(optimizer(1e-3), loss=stack.loss, jit_compile=True)
    stack.optimizer.build(stack.trainable_variables)
    return seconds(lambda: stack.fit(*data, batch_size=32, verbose=0))


def main():
    data = make_neighbours(32)
    rivals = FusedAdam, keras.optimizers.Adam
    fused, plain = medians(
        [partial(seconds_to_first_step, rival, data) for rival in rivals], ROUNDS
    )
    print(f"first step: FusedAdam {fused:.1f} s, Adam {plain:.1f} s")
    return 0 if verdict("bench_attention", "ratio", plain / fused, TARGET) else 1


if __name__ == "__main__":
    sys.exit(main())
