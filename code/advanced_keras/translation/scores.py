"""How good is a translation? Exact match and BLEU."""

from __future__ import annotations

from collections.abc import Sequence

import sacrebleu

from advanced_keras.translation.text import normalize


def exact_match(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return the share of hypotheses that equal their reference, 0 to 1.

    Both are brought to the same form first, see :func:`normalize`.

    Args:
        references: the right sentences.
        hypotheses: the translations, in the same order.

    Raises:
        ValueError: if the two differ in length or are empty.

    Example:
        >>> exact_match(["el gato", "la casa"], ["el gato", "un gato"])
        0.5
    """
    _check(references, hypotheses)
    pairs = zip(normalize(references), normalize(hypotheses), strict=True)
    return sum(right == guess for right, guess in pairs) / len(references)


def bleu(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return the corpus BLEU of sacrebleu, 0 to 100.

    BLEU (Papineni et al., 2002, equation for the corpus score) is the geometric
    mean of the shares of 1- to 4-grams found in the reference, times a penalty for
    being too short. Both sides are brought to the form of :func:`normalize`, so case
    does not count; the rest is sacrebleu's default (tokenizer 13a, smoothing exp).

    Args:
        references: one right sentence for each hypothesis.
        hypotheses: the translations, in the same order.

    Raises:
        ValueError: if the two differ in length or are empty.

    Example:
        >>> round(bleu(["el gato es negro"], ["el gato es negro"]))
        100
    """
    _check(references, hypotheses)
    score = sacrebleu.corpus_bleu(normalize(hypotheses), [normalize(references)])
    return float(score.score)


def _check(references: Sequence[str], hypotheses: Sequence[str]) -> None:
    """Raise unless there is one hypothesis for every reference."""
    for name, texts in (("references", references), ("hypotheses", hypotheses)):
        if isinstance(texts, str):
            raise TypeError(f"{name} must be a list of sentences, got a string.")
        if not hasattr(texts, "__len__"):
            raise TypeError(f"{name} must be a list of sentences, got {texts!r}.")
    if not references or len(references) != len(hypotheses):
        raise ValueError(
            "references and hypotheses must be equally many and not empty, got "
            f"{len(references)} and {len(hypotheses)}."
        )
