"""Translation: text to ids, the teacher-forced dataset, losses, decoding, scores.

Chapter: *Where teacher forcing happens*.
"""

from advanced_keras.translation.decoding import (
    Decoding,
    cross_attention,
    decode_plain,
    never_written,
)
from advanced_keras.translation.losses import (
    MaskedCrossentropy,
    TokenAccuracy,
    TokenLoss,
    target_mask,
    token_crossentropy,
    token_hits,
)
from advanced_keras.translation.scores import bleu, exact_match
from advanced_keras.translation.text import (
    END,
    PAD,
    START,
    UNKNOWN,
    SentenceVectorization,
    format_dataset,
    join_tokens,
    keep_short,
    make_dataset,
    make_vectorizations,
    mark,
    normalize,
    standardize_text,
    with_mistakes,
)
from advanced_keras.translation.translator import Translator

__all__ = [
    "END",
    "PAD",
    "START",
    "UNKNOWN",
    "Decoding",
    "MaskedCrossentropy",
    "SentenceVectorization",
    "TokenAccuracy",
    "TokenLoss",
    "Translator",
    "bleu",
    "cross_attention",
    "decode_plain",
    "exact_match",
    "format_dataset",
    "join_tokens",
    "keep_short",
    "make_dataset",
    "make_vectorizations",
    "mark",
    "never_written",
    "normalize",
    "standardize_text",
    "target_mask",
    "token_crossentropy",
    "token_hits",
    "with_mistakes",
]
