"""Factor models of asset returns, from regressions to the conditional autoencoder.

Chapter: *Factor models and the conditional autoencoder*. Modules: ``model`` says what
all have in common; ``classical`` has the regressions and PCA, ``ipca`` betas that are
linear in characteristics, ``autoencoder`` betas by a network; ``evaluation`` judges.
"""

from .autoencoder import (
    DEPTHS,
    Autoencoder,
    FillMissing,
    MaskedMeanSquaredError,
    build_autoencoder,
    examples,
    fit_autoencoder,
    make_model,
    masked_error,
    minibatches,
)
from .classical import (
    Premia,
    StaticModel,
    cross_sectional_regression,
    fama_macbeth,
    fit_market,
    fit_pca,
    fit_static,
    managed_portfolios,
    moments,
    principal_components,
    time_series_regression,
)
from .evaluation import (
    Fold,
    WalkForward,
    canonical_correlations,
    make_folds,
    model_r2,
    panel_r2,
    walk_forward,
)
from .ipca import IPCA, fit_ipca, solve_factors, solve_gamma
from .model import Ensemble, FactorModel, past_means

__all__ = [
    "DEPTHS",
    "IPCA",
    "Autoencoder",
    "Ensemble",
    "FactorModel",
    "FillMissing",
    "Fold",
    "MaskedMeanSquaredError",
    "Premia",
    "StaticModel",
    "WalkForward",
    "build_autoencoder",
    "canonical_correlations",
    "cross_sectional_regression",
    "examples",
    "fama_macbeth",
    "fit_autoencoder",
    "fit_ipca",
    "fit_market",
    "fit_pca",
    "fit_static",
    "make_folds",
    "make_model",
    "managed_portfolios",
    "masked_error",
    "minibatches",
    "model_r2",
    "moments",
    "panel_r2",
    "past_means",
    "principal_components",
    "solve_factors",
    "solve_gamma",
    "time_series_regression",
    "walk_forward",
]
