"""Tested layers, models and tools behind the executable book *Advanced Keras*.

One module a technique; each module has the name of its chapter.

Importing the package imports Keras on TensorFlow, without the lines that TensorFlow's
C++ side writes to the process's standard error before its log level applies.
"""

import os
import sys

from advanced_keras._quiet import quiet_stderr

__version__ = "0.1.0"

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "tensorflow" not in sys.modules:
    with quiet_stderr():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
