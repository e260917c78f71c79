"""What ``fit`` does, opened: the train step, its variants, and a recorder of one step.

Chapter: *A custom train step*.
"""

from .loop import train_by_hand
from .payments import FEATURES, Payments, make_payments
from .record import Change, Event, Product, StepRecord, record_step
from .standard import StandardModel, StandardStep, batch_size
from .variants import AccumulatingModel, ClippedModel, WeightedModel, global_norm

__all__ = [
    "FEATURES",
    "AccumulatingModel",
    "Change",
    "ClippedModel",
    "Event",
    "Payments",
    "Product",
    "StandardModel",
    "StandardStep",
    "StepRecord",
    "WeightedModel",
    "batch_size",
    "global_norm",
    "make_payments",
    "record_step",
    "train_by_hand",
]
