"""Panels of asset returns: simulated with known betas and factors, or the reader's own.

A panel has D dates, N tickers and P characteristics. Row (t, i) holds the return
r_{i,t} that ticker i earned *up to* date t, and the characteristics z_{i,t-1} that were
known *before* that return began. Nothing in a row is younger than its return; that is
all that the models of the chapter need in order not to look ahead.

What is missing is NaN, and says so in `Panel.present`. A NaN that enters a computation
can't hide in its result, so whoever forgets the mask will notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advanced_keras import _checks

CONSTANT = "constant"
BY_DATE = ("dates", "returns", "characteristics", "present")  # fields of a panel
DESIGNS = ("linear", "nonlinear")
EMPTY = ("", "na", "n/a", "nan", "null", "none", "<na>")  # of a cell, in small letters


@dataclass(frozen=True)
class Panel:
    """Returns and characteristics.

    Args:
        dates: ``(D,)``, datetime64, strictly increasing.
        assets: ``(N,)``, names.
        names: P names of characteristics.
        returns: ``(D, N)``, float64, as fractions (0.01 is one percent).
        characteristics: ``(D, N, P)``, float64, known before the return began.
        present: ``(D, N)``, bool; where False, the other two hold NaN (or any filler:
            nothing in the book reads it).
    """

    dates: np.ndarray
    assets: np.ndarray
    names: tuple[str, ...]
    returns: np.ndarray
    characteristics: np.ndarray
    present: np.ndarray

    def __post_init__(self):
        D, N, P = len(self.dates), len(self.assets), len(self.names)
        for name, shape in (
            ("returns", (D, N)),
            ("characteristics", (D, N, P)),
            ("present", (D, N)),
        ):
            given = _checks.shape_of(name, getattr(self, name))
            if given != shape:
                raise ValueError(f"{name} must have shape {shape}, got {given}.")
        if not (self.dates[1:] > self.dates[:-1]).all():
            raise ValueError("dates must be strictly increasing.")
        if self.present.dtype != bool:
            raise ValueError(f"present must hold bool, got {self.present.dtype}.")
        for name in ("returns", "characteristics"):
            if not np.isfinite(getattr(self, name)[self.present]).all():
                raise ValueError(f"{name} must be finite where present is True.")

    def __len__(self) -> int:
        return len(self.dates)

    def take(self, dates) -> Panel:
        """Some of the dates: a slice, or increasing places."""
        taken: dict[str, Any] = {name: getattr(self, name)[dates] for name in BY_DATE}
        return replace(self, **taken)

    def then(self, later: Panel) -> Panel:
        """This window of dates followed by a later one, of the same tickers."""
        for name in ("assets", "names"):
            if not np.array_equal(getattr(self, name), getattr(later, name)):
                raise ValueError(f"later must have the same {name}, in the same order.")
        pairs = {name: (getattr(self, name), getattr(later, name)) for name in BY_DATE}
        joined: dict[str, Any] = {n: np.concatenate(pair) for n, pair in pairs.items()}
        return replace(self, **joined)

    def filled(self, value: float) -> Panel:
        """The same panel with ``value`` in every missing cell."""
        returns = np.where(self.present, self.returns, value)
        Z = np.where(self.present[..., None], self.characteristics, value)
        return replace(self, returns=returns, characteristics=Z)


@dataclass(frozen=True)
class Truth:
    """What the simulation knows and a model does not.

    Args:
        factors: ``(D, K)``.
        betas: ``(D, N, K)``, for all cells, the missing ones, too.
        premia: ``(K,)``, the expected factors.
        gamma: ``(P, K)``, with ``betas = Z @ gamma``; None in the nonlinear design.
    """

    factors: np.ndarray
    betas: np.ndarray
    premia: np.ndarray
    gamma: np.ndarray | None


# ---- Simulated ----------------------------------------------------------------------


def simulate_panel(
    design: str = "linear",
    num_dates: int = 240,
    num_assets: int = 300,
    num_characteristics: int = 10,
    missing: float = 0.25,
    noise: float = 0.1,
    seed: int = 0,
) -> tuple[Panel, Truth]:
    """Simulate monthly returns from K = 3 factors.

    Each characteristic of a ticker is a slow autoregression, ranked on each date, so it
    is uniform on [-1, 1]; the first is the constant 1. Only four others move the betas,
    the rest is there to mislead: see :func:`true_betas`. The noise of a ticker has its
    own size, from half to twice the stated, and heavy tails (Student's t, 5 degrees of
    freedom). Tickers are listed and delisted, and miss single dates.

    Args:
        design: "linear" or "nonlinear", the shape of the betas.
        num_dates: D, months.
        num_assets: N.
        num_characteristics: P, the constant included; at least 5.
        missing: the share of cells that are missing, about; from 0 to 0.5.
        noise: standard deviation of a typical ticker's own return, per month.
        seed: of all draws.

    Returns:
        A :class:`Panel`, and the :class:`Truth` behind it.

    Raises:
        ValueError: for a design that is not known, or a number out of range.

    Example:
        >>> panel, truth = simulate_panel(num_dates=12, num_assets=5, seed=0)
        >>> panel.returns.shape, truth.betas.shape
        ((12, 5), (12, 5, 3))
    """
    if design not in DESIGNS:
        raise ValueError(f"design must be one of {DESIGNS}, got {design!r}.")
    _check_whole("num_dates", num_dates, 2)
    _check_whole("num_assets", num_assets, 5)
    _check_whole("num_characteristics", num_characteristics, 5)
    _check_whole("seed", seed, 0)
    if not _checks.is_real(missing) or not 0 <= missing <= 0.5:
        raise ValueError(f"missing must be from 0 to 0.5, got {missing!r}.")
    if not _checks.is_real(noise) or not 0 <= noise < np.inf:
        raise ValueError(f"noise must be at least 0, got {noise!r}.")
    shape = num_dates, num_assets, num_characteristics
    streams = np.random.default_rng(seed).spawn(4)
    Z = _characteristics(shape, streams[0])
    factors, premia = _factors(num_dates, streams[1])
    betas, gamma = true_betas(Z, design)
    present = _listed(num_dates, num_assets, missing, streams[3])
    own = noise * _own_returns(num_dates, num_assets, streams[2])
    returns = np.einsum("dnk,dk->dn", betas, factors) + own
    panel = Panel(
        dates=np.datetime64("2000-01", "M") + np.arange(num_dates),
        assets=np.array([f"T{i:03d}" for i in range(num_assets)]),
        names=(CONSTANT, *(f"z{j}" for j in range(1, num_characteristics))),
        returns=returns,
        characteristics=Z,
        present=present,
    )
    return panel.filled(np.nan), Truth(factors, betas, premia, gamma)


def true_betas(Z: np.ndarray, design: str) -> tuple[np.ndarray, np.ndarray | None]:
    """The betas of a design, as functions of the characteristics.

    Args:
        Z: ``(..., P)``; the first is the constant, z1 to z4 are used.
        design: "linear" or "nonlinear".

    Returns:
        ``(..., 3)``, and ``(P, 3)`` or None.
    """
    _checks.axes(Z=(Z, "(..., P)"))
    if Z.shape[-1] < 5:
        raise ValueError(f"Z must have at least 5 characteristics, got {Z.shape}.")
    if design == "linear":
        gamma = np.zeros((Z.shape[-1], 3))
        gamma[0, 0], gamma[1, 0] = 1.0, 0.5
        gamma[2, 1] = 1.5
        gamma[3, 2], gamma[4, 2] = 1.1, -1.1
        return Z @ gamma, gamma
    z1, z2, z3, z4 = np.moveaxis(Z[..., 1:5], -1, 0)
    betas = [
        0.7 + 1.8 * np.maximum(z1, 0) ** 2,  # rises only above the middle
        1.2 * np.sign(z2),  # a step
        2.4 * z3 * (z4 > 0),  # one characteristic switches another on
    ]
    return np.stack(betas, axis=-1), None


def _characteristics(shape, rng) -> np.ndarray:
    """Ranked AR(1) series; the first characteristic is the constant."""
    persistence = np.linspace(0.98, 0.8, shape[2])
    draws = rng.normal(size=shape)
    for t in range(1, shape[0]):
        draws[t] *= np.sqrt(1 - persistence**2)
        draws[t] += persistence * draws[t - 1]
    Z = rank_transform(draws, np.ones(shape[:2], bool))
    Z[..., 0] = 1.0
    return Z


def _factors(num_dates: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Monthly factors: one as wild as a stock market, two half as wild."""
    premia = np.array([0.008, 0.006, 0.005])
    volatility = np.array([0.045, 0.03, 0.03])
    return premia + volatility * rng.normal(size=(num_dates, 3)), premia


def _own_returns(num_dates: int, num_assets: int, rng) -> np.ndarray:
    """What is a ticker's own, of typical size 1."""
    size = np.exp(rng.uniform(np.log(0.5), np.log(2.0), num_assets))
    size /= np.sqrt(np.mean(size**2))
    tails = rng.standard_t(5, size=(num_dates, num_assets)) / np.sqrt(5 / 3)
    return size * tails


def _listed(num_dates: int, num_assets: int, missing: float, rng) -> np.ndarray:
    """Half of the tickers come late, half go early; and there are single gaps."""
    gaps = 0.1 * missing
    longest = 2 * (1 - (1 - missing) / (1 - gaps))
    absent = num_dates * longest * rng.uniform(size=num_assets)
    late = rng.permutation(num_assets) % 2 == 0
    t = np.arange(num_dates)[:, None] + 0.5
    listed = np.where(late, t > absent, t < num_dates - absent)
    return listed & (rng.uniform(size=listed.shape) >= gaps)


# ---- The reader's own ---------------------------------------------------------------


def rank_transform(characteristics: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Rank each characteristic among the tickers of its date, onto [-1, 1].

    The smallest becomes -1, the largest 1, equal values share their mean rank, and a
    value that is missing becomes 0, the middle. A date is ranked by itself, so no
    other date can leak in. Gu, Kelly and Xiu (2021), section on data.

    Args:
        characteristics: ``(D, N, P)``; NaN where a single value is missing.
        present: ``(D, N)``; the other tickers are not ranked.

    Returns:
        ``(D, N, P)``, NaN where a ticker is not present.

    Example:
        >>> sizes = np.array([[[3.0], [1.0], [9.0], [2.0]]])
        >>> present = np.array([[True, True, False, True]])
        >>> print(rank_transform(sizes, present)[0, :, 0])
        [ 1. -1. nan  0.]
    """
    _checks.axes(
        characteristics=(characteristics, "(D, N, P)"), present=(present, "(D, N)")
    )
    _checks.flags("present", present)
    D, N, P = characteristics.shape
    values = np.where(present[..., None], characteristics, np.nan)
    table = pd.DataFrame(values.transpose(0, 2, 1).reshape(D * P, N))
    ranks = table.rank(axis=1).to_numpy()
    count = np.isfinite(ranks).sum(1, keepdims=True)
    scaled = 2 * (ranks - 1) / np.maximum(count - 1, 1) - 1
    scaled = np.where((count > 1) & np.isfinite(ranks), scaled, 0.0)
    scaled = scaled.reshape(D, P, N).transpose(0, 2, 1)
    return np.where(present[..., None], scaled, np.nan)


def load_panel(
    path: str | Path,
    date: str = "date",
    asset: str = "asset",
    returns: str = "return",
    characteristics: Sequence[str] | None = None,
    lag: int = 0,
    frequency: str | None = None,
    date_format: str | None = None,
    rank: bool = True,
) -> Panel:
    """Read a long table of (date, asset, return, characteristics) into a panel.

    Rows may come in any order. An empty return means that the ticker is missing on that
    date, and so does a row without any characteristic; a single empty characteristic
    becomes the middle, 0, after ranking. Anything that is neither a number nor empty is
    an error, such as the letters that some databases put in place of a return. A
    constant 1 becomes the first characteristic.

    Args:
        path: a ``.csv`` (also compressed) or ``.parquet`` file, or a DataFrame.
        date, asset, returns: names of columns.
        characteristics: names of columns; by default all others.
        lag: how many dates later a characteristic counts. 0 if a row's
            characteristics were known before its return began; 1 if they are as old
            as the return, so that they explain the next one. The first ``lag`` dates
            have nothing to explain them, and are dropped.
        frequency: "ME", "MS", "B", ... (pandas): every date between the first and the
            last must be there. None: the dates that occur are the calendar.
        date_format: for instance "%d/%m/%Y". None: ISO dates such as 2020-01-31, or
            whole numbers such as 20200131 and 202001.
        rank: whether to rank the characteristics on each date, onto [-1, 1]. If not,
            an empty characteristic becomes the median of its date.

    Returns:
        A :class:`Panel`.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: for Parquet, if ``pyarrow`` is not installed.
        TypeError: if ``path`` is neither a path nor a DataFrame.
        ValueError: for a file that is no table, missing columns, dates that can't be
            read, cells that are not numbers or not finite, a (date, asset) that occurs
            twice, or a gap in the calendar; the message names the column, the row and
            the value.
    """
    _check_whole("lag", lag, 0)
    frame = _read(path)
    columns = _columns(frame, date, asset, returns, characteristics)
    if not len(frame):
        raise ValueError("path must have at least one row, got none.")
    days = _dates(frame[date], date_format)
    assets = _assets(frame[asset])
    values = np.stack([_numbers(frame[name]) for name in (returns, *columns)], axis=1)
    _refuse_duplicates(days, assets)
    calendar = _calendar(days, frequency)
    tickers, i = np.unique(assets, return_inverse=True)
    cube = np.full((len(calendar), len(tickers), values.shape[1]), np.nan)
    cube[np.searchsorted(calendar, days), i] = values
    return _assemble(calendar, tickers, columns, cube, lag, rank)


def _assemble(calendar, tickers, columns, cube, lag: int, rank: bool) -> Panel:
    """From a cube (D, N, 1 + P) of returns and characteristics to a panel."""
    r, Z = cube[..., 0], cube[..., 1:]
    known = np.isfinite(Z).any(-1) if columns else np.ones(r.shape, bool)
    if lag:
        # On the calendar, not on a ticker's own rows: after a gap there is no
        # characteristic, instead of one that is older than it says.
        calendar, r, Z, known = calendar[lag:], r[lag:], Z[:-lag], known[:-lag]
    present = np.isfinite(r) & known
    if not present.any():
        raise ValueError(
            f"the table must have a return with a characteristic from {lag} dates "
            "before, got none."
        )
    Z = rank_transform(Z, present) if rank else _fill_medians(Z, present)
    constant = np.ones((*r.shape, 1))
    panel = Panel(
        dates=calendar,
        assets=tickers,
        names=(CONSTANT, *columns),
        returns=r,
        characteristics=np.concatenate([constant, Z], axis=-1),
        present=present,
    )
    return panel.filled(np.nan)


def _fill_medians(Z: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Empty cells become the median of their date, or 0 if the date has none."""
    cells = np.ma.masked_invalid(np.where(present[..., None], Z, np.nan))
    median = np.ma.median(cells, axis=1).filled(0.0)[:, None]
    return np.where(np.isfinite(Z), Z, median)


def _read(path) -> pd.DataFrame:
    """The table, cells of a CSV as text."""
    if isinstance(path, pd.DataFrame):
        return path.reset_index(drop=True)
    if not isinstance(path, (str, Path)):
        raise TypeError(
            f"path must be a path or a pandas DataFrame, got {type(path).__name__}."
        )
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must be a file, and {str(path)!r} is none.")
    readers = {".parquet": _read_parquet, ".csv": _read_csv}
    for suffix, read in readers.items():
        if suffix in path.suffixes:
            try:
                return read(path)
            except ValueError as error:  # pandas' and pyarrow's own, and bad UTF-8
                raise ValueError(
                    f"path must be a table, and {path.name!r} can't be read: {error}"
                ) from error
    raise ValueError(f"path must end in .csv or .parquet, got {path.name!r}.")


def _read_csv(path: Path) -> pd.DataFrame:
    # All as text, and nothing taken for missing yet: "NA" is a ticker, too.
    return pd.read_csv(path, dtype=str, skipinitialspace=True, keep_default_na=False)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise ImportError(
            "reading Parquet needs the package pyarrow: pip install pyarrow, or save "
            "the table as CSV."
        ) from None
    return pd.read_parquet(path, engine="pyarrow").reset_index(drop=True)


def _columns(frame, date, asset, returns, characteristics) -> list[str]:
    """The names of the characteristics, once all columns are known to be there."""
    keys = [date, asset, returns]
    if characteristics is None:
        chosen = [name for name in frame.columns if name not in keys]
    elif isinstance(characteristics, str):
        raise TypeError(
            f"characteristics must be a sequence of names, got {characteristics!r}."
        )
    else:
        chosen = list(characteristics)
    wanted = [*keys, *chosen]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise ValueError(
            f"the table must have the columns {wanted}; it lacks {missing} and has "
            f"{list(frame.columns)}."
        )
    twice = [name for name in wanted if wanted.count(name) > 1]
    twice += [name for name in keys if list(frame.columns).count(name) > 1]
    if twice or CONSTANT in chosen:
        raise ValueError(
            f"each column must have one name and one use, and {CONSTANT!r} is ours; "
            f"got {wanted} from {list(frame.columns)}."
        )
    return chosen


def _dates(column: pd.Series, date_format: str | None) -> np.ndarray:
    """The dates as days; whole numbers such as 20200131 are not nanoseconds."""
    text = column
    if not pd.api.types.is_datetime64_any_dtype(column):
        text = column.astype("string").str.strip()
    for pattern in (date_format,) if date_format else (None, "%Y%m%d", "%Y%m"):
        whole = {"%Y%m%d": r"\d{8}", "%Y%m": r"\d{6}"}.get(pattern or "")
        if whole and not text.str.fullmatch(whole).fillna(False).all():
            continue
        if pattern is None and text is not column:
            if not text.str.match(r"\d{4}-\d\d-\d\d").fillna(False).any():
                continue
            text = text.str.replace(r"[ T]\d\d:\d\d.*", "", regex=True)
            pattern = "%Y-%m-%d"
        days = pd.to_datetime(text, format=pattern, errors="coerce")
        break
    else:
        days = pd.Series(pd.NaT, index=column.index)
    _refuse(column, days.isna(), "a date; for another form give date_format")
    if days.dt.tz is not None:
        days = days.dt.tz_localize(None)
    return days.to_numpy().astype("datetime64[D]")


def _assets(column: pd.Series) -> np.ndarray:
    names = column.astype(str).str.strip()
    _refuse(column, column.isna() | (names == ""), "the name of an asset")
    return names.to_numpy(dtype=str)


def _numbers(column: pd.Series) -> np.ndarray:
    """The column as float64; empty cells become NaN, anything else must be a number."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    empty = column.isna() | column.astype(str).str.strip().str.lower().isin(EMPTY)
    _refuse(column, numbers.isna() & ~empty, "a number or empty")
    _refuse(column, np.isinf(numbers), "finite")
    return numbers.to_numpy()


def _refuse(column: pd.Series, wrong: pd.Series, expected: str) -> None:
    """Name the first cell that is wrong, if there is one."""
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"column {column.name!r} must hold {expected}; row {place} (counted from "
            f"0, without the header) holds {column.iloc[place]!r}, and "
            f"{int(wrong.sum()) - 1} more are wrong."
        )


def _refuse_duplicates(days: np.ndarray, assets: np.ndarray) -> None:
    keys = pd.DataFrame({"date": days, "asset": assets})
    twice = keys.duplicated(keep=False)
    if twice.any():
        rows = np.flatnonzero(twice)
        first = keys.iloc[rows[0]]
        raise ValueError(
            f"each (date, asset) must occur once; ({first['date']:%Y-%m-%d}, "
            f"{first['asset']}) occurs again, and {len(rows)} rows in all are not "
            "alone. Which one is right? Choose, then load again."
        )


def _calendar(days: np.ndarray, frequency: str | None) -> np.ndarray:
    """The dates of the panel, after a look for gaps."""
    calendar = np.unique(days)
    if frequency is None:
        return calendar
    try:
        full = pd.date_range(calendar[0], calendar[-1], freq=frequency)
    except (TypeError, ValueError):
        raise ValueError(
            f"frequency must be one of pandas', such as 'ME', got {frequency!r}."
        ) from None
    full = full.to_numpy().astype("datetime64[D]")
    absent, strange = np.setdiff1d(full, calendar), np.setdiff1d(calendar, full)
    for days, what in ((absent, "missing"), (strange, "none of them")):
        if len(days):
            raise ValueError(
                f"the dates must be those of frequency {frequency!r}; {len(days)} are "
                f"{what} ({', '.join(map(str, days[:3]))})."
            )
    return calendar


def _check_whole(name: str, value, least: int) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value}.")
