"""Several devices on a machine that has one: logical CPU devices."""

from __future__ import annotations

import tensorflow as tf


def split_cpu(count: int) -> list[str]:
    """Split the processor into ``count`` logical devices, to practise on.

    It must come before anything that makes TensorFlow start: the first tensor, layer
    or dataset. Splitting makes nothing faster.

    Args:
        count: the number of devices.

    Returns:
        Their names, ``["CPU:0", ...]``.

    Raises:
        ValueError: if ``count`` is not a positive integer.
        RuntimeError: if TensorFlow has started with another number of devices.
    """
    _check_count(count)
    one = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        tf.config.set_logical_device_configuration(one, parts)
    except RuntimeError as error:
        found = len(tf.config.list_logical_devices("CPU"))
        if found != count:
            raise RuntimeError(
                f"split_cpu({count}) must run before TensorFlow starts; it has started "
                f"with {found} CPU device(s). Restart Python and call it first."
            ) from error
    return [f"CPU:{index}" for index in range(count)]


def mirrored(count: int, kind: str = "CPU") -> tf.distribute.MirroredStrategy:
    """A strategy that holds a copy of the model on each of ``count`` devices.

    Args:
        count: the number of replicas.
        kind: the devices, ``"CPU"`` or ``"GPU"``.

    Raises:
        ValueError: if ``count`` is not a positive integer, or there are not as many
            devices of this kind.
    """
    _check_count(count)
    found = len(tf.config.list_logical_devices(kind))
    if found < count:
        raise ValueError(
            f"count must be at most the number of {kind} devices, {found}, got {count}."
        )
    quiet_strategies()
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(count)])


def quiet_strategies() -> None:
    """Leave out the lines in which a strategy tells what it uses."""
    tf.get_logger().setLevel("ERROR")


def _check_count(count) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"count must be a positive integer, got {count!r}.")
