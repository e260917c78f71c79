"""Panels: the simulation is what it says, and bad tables are refused with a reason.

Oracles: the design's own formulas, SciPy's ranks, and tables written out by hand.
"""

import builtins
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from advanced_keras.data.panel import (
    DESIGNS,
    Panel,
    load_panel,
    rank_transform,
    simulate_panel,
    true_betas,
)

BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

ROWS = [  # date, asset, return, size, value; unsorted on purpose
    ("2020-02-29", "B", 0.02, 5.0, 0.3),
    ("2020-01-31", "C", 0.03, 9.0, 0.1),
    ("2020-01-31", "A", 0.01, 1.0, 0.2),
    ("2020-02-29", "A", -0.01, 2.0, 0.1),
    ("2020-01-31", "B", -0.02, 4.0, 0.2),
    ("2020-03-31", "C", 0.05, 7.0, 0.9),
]
COLUMNS = ["date", "asset", "return", "size", "value"]


def frame(rows=ROWS):
    return pd.DataFrame(rows, columns=COLUMNS)


def same(one: Panel, other: Panel):
    assert list(one.assets) == list(other.assets) and one.names == other.names
    np.testing.assert_array_equal(one.dates, other.dates)
    np.testing.assert_array_equal(one.present, other.present)
    np.testing.assert_array_equal(one.returns, other.returns)
    np.testing.assert_array_equal(one.characteristics, other.characteristics)


# ---- Simulated ----------------------------------------------------------------------


@pytest.mark.parametrize("design", DESIGNS)
def test_returns_are_betas_times_factors_plus_noise(design):
    silent, truth = simulate_panel(design, 30, 40, missing=0, noise=0)
    exact = np.einsum("dnk,dk->dn", truth.betas, truth.factors)
    np.testing.assert_allclose(silent.returns, exact, atol=1e-15)
    assert silent.present.all()
    noisy, same_truth = simulate_panel(design, 2000, 40, missing=0, noise=0.1)
    own = noisy.returns - np.einsum("dnk,dk->dn", same_truth.betas, same_truth.factors)
    assert abs(own.std() - 0.1) < 0.01 and abs(own.mean()) < 0.002


def test_linear_betas_are_linear_and_nonlinear_are_not():
    panel, truth = simulate_panel("linear", 12, 60, missing=0)
    np.testing.assert_allclose(truth.betas, panel.characteristics @ truth.gamma)
    panel, truth = simulate_panel("nonlinear", 12, 60, missing=0)
    assert truth.gamma is None
    Z, B = panel.characteristics.reshape(-1, 10), truth.betas.reshape(-1, 3)
    rest = B - Z @ np.linalg.lstsq(Z, B, rcond=None)[0]
    assert ((rest**2).mean(0) > 0.05).all()


def test_nonlinear_betas_by_hand():
    Z = np.array([[1, 0.5, -0.3, 0.4, 0.1], [1, -0.5, 0.3, 0.4, -0.1]])
    betas, _ = true_betas(Z, "nonlinear")
    np.testing.assert_allclose(betas, [[1.15, -1.2, 0.96], [0.7, 1.2, 0]])


def test_missing_cells_are_nan_and_of_the_stated_share():
    for missing in (0.0, 0.25, 0.45):
        panel, _ = simulate_panel(missing=missing, num_dates=240)
        assert abs(1 - panel.present.mean() - missing) < 0.05
        np.testing.assert_array_equal(np.isnan(panel.returns), ~panel.present)
        assert panel.present.sum(1).min() > 60
        np.testing.assert_array_equal(
            np.isnan(panel.characteristics).any(-1), ~panel.present
        )


def test_characteristics_are_slow_and_within_bounds():
    panel, _ = simulate_panel(missing=0)
    Z = panel.characteristics
    assert (Z[..., 0] == 1).all() and np.abs(Z[..., 1:]).max() == 1
    assert np.corrcoef(Z[1:, :, 1].ravel(), Z[:-1, :, 1].ravel())[0, 1] > 0.9


def test_same_seed_same_panel_and_another_seed_another():
    same(simulate_panel(num_dates=9)[0], simulate_panel(num_dates=9)[0])
    other = simulate_panel(num_dates=9, seed=1)[0]
    assert not np.array_equal(other.returns, simulate_panel(num_dates=9)[0].returns)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("design", "cubic"),
        ("num_dates", 1),
        ("num_assets", 2.5),
        ("num_characteristics", 4),
        ("missing", 0.9),
        ("noise", -1),
        ("seed", -1),
    ],
)
def test_simulation_refuses(name, value):
    with pytest.raises(ValueError, match=name):
        simulate_panel(**{name: value})


def test_panel_refuses_what_would_spoil_everything_later():
    panel, _ = simulate_panel(num_dates=4, num_assets=6, missing=0)
    parts = dict(vars(panel))
    with pytest.raises(ValueError, match="present must hold bool, got float64"):
        Panel(**(parts | {"present": panel.present.astype(float)}))
    for name in ("returns", "characteristics"):
        hole = parts[name].copy()
        hole[2, 3] = np.nan
        with pytest.raises(ValueError, match=f"{name} must be finite where present"):
            Panel(**(parts | {name: hole}))
        Panel(**(parts | {name: hole, "present": np.isfinite(hole.reshape(4, 6, -1))
                          .all(-1)}))  # fmt: skip


def test_windows_are_joined_only_if_they_fit():
    panel, _ = simulate_panel(num_dates=6, num_assets=6)
    one, two = panel.take(slice(0, 2)), panel.take(slice(2, 6))
    same(one.then(two), panel)
    with pytest.raises(ValueError, match="increasing"):
        two.then(one)
    with pytest.raises(ValueError, match="same assets, in the same order"):
        one.then(replace(two, assets=two.assets[::-1]))
    with pytest.raises(ValueError, match="same names"):
        one.then(replace(two, names=two.names[::-1]))


def test_panel_refuses_wrong_shapes_and_unsorted_dates():
    panel, _ = simulate_panel(num_dates=4, num_assets=6)
    parts = dict(vars(panel))
    with pytest.raises(ValueError, match=r"returns must have shape \(4, 6\)"):
        Panel(**(parts | {"returns": np.zeros((6, 4))}))
    with pytest.raises(ValueError, match="increasing"):
        Panel(**(parts | {"dates": panel.dates[::-1]}))


# ---- Ranks --------------------------------------------------------------------------


@settings(max_examples=60, **BUSY)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 3), st.integers(0, 999))
def test_ranks_are_scipys(D, N, P, seed):
    rng = np.random.default_rng(seed)
    Z = rng.integers(0, 5, (D, N, P)).astype(float)  # with ties
    Z[rng.uniform(size=Z.shape) < 0.2] = np.nan
    present = rng.uniform(size=(D, N)) < 0.8
    ranked = rank_transform(Z, present)
    for t, p in np.ndindex(D, P):
        here = present[t] & np.isfinite(Z[t, :, p])
        wanted = np.where(present[t], 0.0, np.nan)
        if here.sum() > 1:
            ranks = rankdata(Z[t, here, p])
            wanted[here] = 2 * (ranks - 1) / (here.sum() - 1) - 1
        np.testing.assert_allclose(ranked[t, :, p], wanted, atol=1e-15)


def test_ranks_do_not_look_ahead():
    rng = np.random.default_rng(0)
    Z, present = rng.normal(size=(8, 20, 3)), rng.uniform(size=(8, 20)) < 0.8
    changed, gone = Z.copy(), present.copy()
    changed[5:] = 1e6 * rng.normal(size=changed[5:].shape)
    gone[5:] = ~gone[5:]
    before = rank_transform(Z, present)[:5]
    np.testing.assert_array_equal(before, rank_transform(changed, gone)[:5])


def test_ranks_ignore_monotone_changes_and_fillers():
    rng = np.random.default_rng(1)
    Z, present = rng.normal(size=(3, 20, 2)), rng.uniform(size=(3, 20)) < 0.7
    filled = np.where(present[..., None], np.exp(Z), -2.0)
    np.testing.assert_array_equal(
        rank_transform(Z, present), rank_transform(filled, present)
    )


# ---- The reader's own ---------------------------------------------------------------


def test_a_table_written_by_hand():
    panel = load_panel(frame())
    assert [str(day) for day in panel.dates] == [
        "2020-01-31",
        "2020-02-29",
        "2020-03-31",
    ]
    assert list(panel.assets) == ["A", "B", "C"]
    assert panel.names == ("constant", "size", "value")
    nan = np.nan
    np.testing.assert_array_equal(
        panel.returns, [[0.01, -0.02, 0.03], [-0.01, 0.02, nan], [nan, nan, 0.05]]
    )
    np.testing.assert_array_equal(panel.characteristics[0, :, 1], [-1, 0, 1])
    np.testing.assert_array_equal(panel.characteristics[0, :, 2], [0.5, 0.5, -1])
    np.testing.assert_array_equal(panel.characteristics[1, :, 1], [-1, 1, nan])
    np.testing.assert_array_equal(panel.characteristics[2, 2], [1, 0, 0])
    np.testing.assert_array_equal(panel.present, np.isfinite(panel.returns))


def test_order_of_rows_and_columns_does_not_matter():
    panel = load_panel(frame())
    same(load_panel(frame(ROWS[::-1])), panel)
    same(load_panel(frame()[["value", "return", "asset", "size", "date"]],
                    characteristics=["size", "value"]), panel)  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_files_hold_what_was_written(tmp_path, suffix):
    path = tmp_path / f"panel.{suffix}"
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
        frame().to_parquet(path, index=False)
    else:
        frame().to_csv(path, index=False)
    same(load_panel(path), load_panel(frame()))
    same(load_panel(str(path)), load_panel(frame()))


def test_round_trip_of_a_simulated_panel(tmp_path):
    panel, _ = simulate_panel(num_dates=10, num_assets=20)
    t, i = np.nonzero(panel.present)
    table = pd.DataFrame(panel.characteristics[t, i, 1:], columns=panel.names[1:])
    table.insert(0, "return", panel.returns[t, i])
    table.insert(0, "asset", panel.assets[i])
    table.insert(0, "date", panel.dates[t].astype("datetime64[D]"))
    table.to_csv(tmp_path / "panel.csv", index=False)
    loaded = load_panel(tmp_path / "panel.csv", rank=False)
    np.testing.assert_array_equal(loaded.present, panel.present)
    np.testing.assert_array_equal(loaded.returns, panel.returns)
    np.testing.assert_array_equal(loaded.characteristics, panel.characteristics)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "panel.parquet"
    path.write_bytes(b"")
    real = builtins.__import__

    def blocked(name, *args, **kwargs):
        if name == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(ImportError, match=r"pip install pyarrow, or save .* as CSV"):
        load_panel(path)


def test_na_is_a_ticker_and_no_number(tmp_path):
    """pandas takes the two letters for "missing", wherever they stand."""
    path = tmp_path / "panel.csv"
    path.write_text(
        "date,asset,return,size,value\n2020-01-31,NA,0.1,1,N/A\n"
        "2020-01-31,NAN,0.2,2,3\n2020-01-31,B,NA,3,4\n2020-01-31,C,0.3,,NaN\n"
    )
    panel = load_panel(path)
    assert list(panel.assets) == ["B", "C", "NA", "NAN"]
    assert list(panel.present[0]) == [False, False, True, True]
    np.testing.assert_array_equal(panel.characteristics[0, 2:], [[1, -1, 0], [1, 1, 0]])
    path.write_text("date,asset,return,size\n2020-01-31,,0.1,1\n")
    with pytest.raises(ValueError, match="'asset' must hold the name"):
        load_panel(path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.csv", b"", "No columns"),
        ("ragged.csv", b"date,asset,return\n2020-01-31,A,0.1\n2020-01-31,B,1,2,3\n",
         "line 3"),
        ("latin.csv", "date,asset,gr\u00f6\u00dfe\n".encode("latin-1"), "utf-8"),
        ("broken.parquet", b"no parquet", ""),
    ],
)  # fmt: skip
def test_files_that_are_no_table(tmp_path, name, content, reason):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}' can't be read: .*{reason}"):
        load_panel(path)


def test_header_without_rows(tmp_path):
    path = tmp_path / "panel.csv"
    path.write_text("date,asset,return,size\n")
    with pytest.raises(ValueError, match="at least one row"):
        load_panel(path)


def test_tables_without_anything_to_explain():
    table = frame()
    table["return"] = np.nan
    with pytest.raises(ValueError, match=r"must have a return .* 0 dates before"):
        load_panel(table)
    with pytest.raises(ValueError, match="9 dates before"):
        load_panel(frame(), lag=9)


def test_names_of_assets_keep_their_zeros(tmp_path):
    table = frame()
    table["asset"] = table["asset"].map({"A": "0012", "B": "12", "C": "7"})
    table.to_csv(tmp_path / "panel.csv", index=False)
    assert list(load_panel(tmp_path / "panel.csv").assets) == ["0012", "12", "7"]


@pytest.mark.parametrize(
    ("dates", "options"),
    [
        (["2020-01-31", "2020-02-29"], {}),
        ([20200131, 20200229], {}),
        (["20200131", "20200229"], {}),
        (["2020-01-31 16:00:00", "2020-02-29"], {}),
        (["31/01/2020", "29/02/2020"], {"date_format": "%d/%m/%Y"}),
        (pd.to_datetime(["2020-01-31", "2020-02-29"]), {}),
        (pd.to_datetime(["2020-01-31", "2020-02-29"]).tz_localize("Asia/Tokyo"), {}),
    ],
)
def test_dates_in_several_forms(dates, options):
    """Also whole numbers, which pandas by itself reads as nanoseconds since 1970."""
    table = pd.DataFrame({"date": dates, "asset": "A", "return": 0.1, "z": 1.0})
    days = load_panel(table, **options).dates
    assert [str(day) for day in days] == ["2020-01-31", "2020-02-29"]


def test_months_as_numbers():
    table = pd.DataFrame({"date": [202001, 202002], "asset": "A", "return": 0.1})
    days = load_panel(table).dates
    assert [str(day) for day in days] == ["2020-01-01", "2020-02-01"]


@pytest.mark.parametrize(
    "bad", ["31/01/2020", "2020-01-31 or so", "", "2020-13-01", "soon", 12]
)
def test_dates_that_cannot_be_read(bad):
    table = frame().astype({"date": object})
    table.loc[2, "date"] = bad
    with pytest.raises(ValueError, match=r"column 'date' must hold a date.*row 2 "):
        load_panel(table)


def test_ambiguous_dates_are_not_guessed():
    table = frame()
    table["date"] = "01/02/2020"
    with pytest.raises(ValueError, match="date_format"):
        load_panel(table)


@pytest.mark.parametrize("bad", ["C", "1,5", "0.1%", "-"])
@pytest.mark.parametrize("column", ["return", "size"])
def test_cells_that_are_not_numbers(tmp_path, column, bad):
    table = frame().astype({column: object})
    table.loc[3, column] = bad
    table.to_csv(tmp_path / "panel.csv", index=False)
    for source in (table, tmp_path / "panel.csv"):
        with pytest.raises(ValueError, match=rf"'{column}' must hold a number.*row 3"):
            load_panel(source)


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_infinite_cells(bad):
    table = frame()
    table.loc[1, "value"] = bad
    with pytest.raises(ValueError, match=r"'value' must hold finite; row 1"):
        load_panel(table)


def test_duplicate_rows_are_refused():
    again = [*ROWS, ("2020-01-31", "A", 0.5, 1.0, 0.2)]
    with pytest.raises(
        ValueError, match=r"once; \(2020-01-31, A\) occurs again, and 2"
    ):
        load_panel(frame(again))


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match=r"it lacks \['return'\]"):
        load_panel(frame().rename(columns={"return": "ret"}))
    with pytest.raises(ValueError, match=r"it lacks \['mom'\]"):
        load_panel(frame(), characteristics=["size", "mom"])
    renamed = frame().rename(columns={"return": "ret", "asset": "permno"})
    same(load_panel(renamed, returns="ret", asset="permno"), load_panel(frame()))


def test_columns_used_twice_and_our_own_name():
    with pytest.raises(ValueError, match="one use"):
        load_panel(frame(), characteristics=["size", "size"])
    for column in ("date", "return"):
        with pytest.raises(ValueError, match="one use"):
            load_panel(pd.concat([frame(), frame()[[column]]], axis=1))
    with pytest.raises(ValueError, match="'constant' is ours"):
        load_panel(frame().rename(columns={"size": "constant"}))
    with pytest.raises(TypeError, match="sequence of names, got 'size'"):
        load_panel(frame(), characteristics="size")


def test_missing_dates_in_the_calendar():
    load_panel(frame(), frequency="ME")
    gap = frame([row for row in ROWS if row[0] != "2020-02-29"])
    assert len(load_panel(gap)) == 2
    with pytest.raises(ValueError, match=r"1 are missing \(2020-02-29\)"):
        load_panel(gap, frequency="ME")
    odd = frame([*ROWS, ("2020-02-14", "A", 0.01, 1.0, 0.2)])
    with pytest.raises(ValueError, match=r"1 are none of them \(2020-02-14\)"):
        load_panel(odd, frequency="ME")
    for wrong in ("month", 3):
        with pytest.raises(ValueError, match="frequency must be one of pandas'"):
            load_panel(gap, frequency=wrong)


def test_empty_cells():
    table = frame()
    table.loc[2, "return"] = np.nan  # A in January: missing altogether
    table.loc[1, "size"] = np.nan  # C in January: only its size
    panel = load_panel(table)
    assert list(panel.present[0]) == [False, True, True]
    np.testing.assert_array_equal(panel.characteristics[0, 2], [1, 0, -1])
    raw = load_panel(table, rank=False)
    assert raw.characteristics[0, 2, 1] == 4.0  # the median of those present
    table.loc[1, ["size", "value"]] = np.nan  # C in January: nothing known
    assert list(load_panel(table).present[0]) == [False, True, False]


def test_lag_moves_characteristics_to_the_next_date():
    panel = load_panel(frame(), lag=1, rank=False)
    # Nothing is known before January, so it is no date of the panel.
    assert [str(day) for day in panel.dates] == ["2020-02-29", "2020-03-31"]
    np.testing.assert_array_equal(panel.characteristics[0, :2, 1], [1.0, 4.0])
    np.testing.assert_array_equal(panel.returns[0, :2], [-0.01, 0.02])
    # C has no row in February, so in March nothing is known of it.
    assert not panel.present[1].any()


def test_lagged_panels_can_be_used_at_once():
    from advanced_keras.factor_models import managed_portfolios

    panel, _ = simulate_panel(num_dates=8, num_assets=40, missing=0)
    t, i = np.nonzero(panel.present)
    table = pd.DataFrame(panel.characteristics[t, i, 1:], columns=panel.names[1:])
    table["date"], table["asset"] = panel.dates[t].astype("datetime64[D]"), i
    table["return"] = panel.returns[t, i]
    assert managed_portfolios(load_panel(table, lag=2)).shape == (6, 10)


def test_lag_does_not_look_ahead():
    table = frame()
    later = table["date"] >= "2020-02-29"
    table.loc[later, ["size", "value"]] = 99.0
    changed, panel = load_panel(table, lag=1), load_panel(frame(), lag=1)
    np.testing.assert_array_equal(
        changed.characteristics[:1], panel.characteristics[:1]
    )
    assert panel.present[0].any()


def test_other_sources_are_refused(tmp_path):
    with pytest.raises(TypeError, match="path or a pandas DataFrame, got int"):
        load_panel(5)
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv"):
        load_panel(tmp_path / "nothing.csv")
    (tmp_path / "panel.xlsx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"\.csv or \.parquet"):
        load_panel(tmp_path / "panel.xlsx")
    with pytest.raises(ValueError, match="at least one row"):
        load_panel(frame([]))
    with pytest.raises(ValueError, match="lag"):
        load_panel(frame(), lag=-1)
