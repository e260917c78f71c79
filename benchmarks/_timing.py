"""What the benchmarks share: a clock that is fair to all, and a verdict."""

import time

import numpy as np


def seconds(run, times=1):
    """Mean seconds of a call of ``run``, over ``times`` calls."""
    begin = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - begin) / times


def medians(measures, rounds):
    """Median of what each measure returns, over ``rounds`` rounds.

    They take turns, so that other load on the machine falls on all of them.
    """
    rows = [[measure() for measure in measures] for _ in range(rounds)]
    return np.median(rows, axis=0)


def verdict(name, what, value, target, at_most=False):
    """Print a figure beside its target; whether the target is met."""
    sign = "<=" if at_most else ">="
    print(f"{name}: {what} {value:.2f} (target {sign} {target})")
    return value <= target if at_most else value >= target
