"""What ``fit`` does, opened: the train step, its variants, and a recorder of one step.

Chapter: *A custom train step*.
"""

from .record import Change, Event, Product, StepRecord, record_step
from .standard import StandardModel, StandardStep, batch_size

__all__ = [
    "Change",
    "Event",
    "Product",
    "StandardModel",
    "StandardStep",
    "StepRecord",
    "batch_size",
    "record_step",
]
