"""One training step on several devices, or in several processes.

Chapter: *One step on several devices*. The engine is ``tf.distribute``; here are the
step whose sum over the replicas is the step on one device, the loop that runs it where
``fit`` can't, and a starter of local processes to practise with.
"""

from .devices import mirrored, split_cpu
from .loop import distribute, train
from .processes import cluster_config, launch
from .step import GlobalMeanModel, GlobalMeanStep, ReplicaSeed, all_reduce, clip_sum

__all__ = [
    "GlobalMeanModel",
    "GlobalMeanStep",
    "ReplicaSeed",
    "all_reduce",
    "clip_sum",
    "cluster_config",
    "distribute",
    "launch",
    "mirrored",
    "split_cpu",
    "train",
]
