"""Weighted sums against fractions, and products against those of floats."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from assay_leaderboard.statistics.exact_sums import inner_products, weighted_sums
from hypothesis import given, settings
from hypothesis import strategies as st

values = st.floats(-1e110, 1e110)


@given(st.lists(st.tuples(values, st.integers(0, 1 << 30)), min_size=1, max_size=6))
@settings(max_examples=50)
def test_a_sum_is_right_to_the_last_digits(pairs: list[tuple[float, int]]) -> None:
    row, weights = (np.array(column) for column in zip(*pairs, strict=True))
    found = weighted_sums(row[np.newaxis], weights[:, np.newaxis], int(weights.sum()))[0, 0]
    exact = sum(Fraction(value) * weight for value, weight in pairs)
    size = max(abs(Fraction(value)) for value, _ in pairs) * sum(weight for _, weight in pairs)
    assert abs(Fraction(float(found)) - exact) <= abs(exact) / 2**51 + size / 2**60


def test_neither_the_order_nor_the_other_rows_matter() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(7, 600))
    weights = generator.integers(0, 12, (600, 2_100)).astype(np.int16)
    found = weighted_sums(rows, weights, 12 * 600)
    assert found == pytest.approx(np.einsum("mn,nd->md", rows, weights), abs=1e-9)
    order = generator.permutation(600)
    assert (weighted_sums(rows[3:4, order], weights[order], 12 * 600) == found[3]).all()


@pytest.mark.parametrize("power", [-990, -1, 1, 1_000])
def test_rows_of_any_size_have_the_same_digits(power: int) -> None:
    rows = np.random.default_rng(1).uniform(0.5, 1.0, size=(2, 6))
    weights = np.arange(12).reshape(6, 2)
    expected = np.ldexp(weighted_sums(rows, weights, 60), power)
    assert (weighted_sums(np.ldexp(rows, power), weights, 60) == expected).all()


@pytest.mark.parametrize("n", [1, 2, 200, 10_000])
@pytest.mark.parametrize("size", [1e-150, 1.0, 1e150])
def test_products_of_pairs_are_those_of_a_sum_in_any_order(n: int, size: float) -> None:
    generator = np.random.default_rng(n)
    rows = generator.normal(size=(5, n)) * np.array([[size], [1.0], [1e-3], [0.0], [1.0]])
    found = inner_products(rows)
    norms = np.sqrt((rows**2).sum(axis=1))
    error = np.abs(found - rows @ rows.T) / np.maximum(np.multiply.outer(norms, norms), 1e-300)
    assert error.max() < 2.0**-16
    order = generator.permutation(n)
    assert (inner_products(rows[:, order]) == found).all()
    assert (found == found.T).all()
