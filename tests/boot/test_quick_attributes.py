"""Attributes that are filled quickly are those that upstream's own way gives."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from clew import attributes

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not hasattr(BoundedAttributes, "_set_items"), reason="this SDK fills item by item")

_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9) | st.binary()
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
_keys = st.text(max_size=5) | st.integers()


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """Fill quickly during each test, and keep upstream's warnings off the test's output."""
    logging.getLogger("opentelemetry.attributes").disabled = True
    attributes.install()
    yield
    attributes.uninstall()
    logging.getLogger("opentelemetry.attributes").disabled = False


def _facts(given: Any, maxlen: int | None, max_value_len: int | None) -> tuple[Any, ...]:
    bounded = BoundedAttributes(maxlen, given, immutable=False, max_value_len=max_value_len)
    return list(bounded.items()), bounded.dropped


@given(
    st.dictionaries(_keys, _values, max_size=6),
    st.none() | st.integers(0, 6),
    st.none() | st.integers(0, 9),
)
def test_result_is_upstreams(given: dict[Any, Any], maxlen: int | None, max_value_len: int | None) -> None:
    """Items, their order and the count of dropped ones are the same for any attributes and limits."""
    attributes.install()
    quick = _facts(given, maxlen, max_value_len)
    attributes.uninstall()

    assert _facts(given, maxlen, max_value_len) == quick


def _series(measured: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    counter = provider.get_meter("m").create_counter("c")
    for given_attributes in measured:
        counter.add(1, given_attributes)
    data: Any = reader.get_metrics_data()
    provider.shutdown()
    points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    return [(repr(dict(point.attributes)), point.value) for point in points]


@given(st.lists(st.dictionaries(st.sampled_from("ab"), _scalars, max_size=2), min_size=1, max_size=8))
def test_series_are_upstreams(measured: list[dict[str, Any]]) -> None:
    """Measurements fall into the same series, in the same order, with the same attributes and sums."""
    attributes.install()
    quick = _series(measured)
    attributes.uninstall()

    assert _series(measured) == quick


@given(
    st.lists(st.tuples(_keys, _values), max_size=8),
    st.none() | st.integers(0, 4),
    st.none() | st.integers(0, 9),
)
def test_single_items_are_upstreams(
    items: list[tuple[Any, Any]], maxlen: int | None, max_value_len: int | None
) -> None:
    """Attributes that are set one by one keep upstream's order, limits and count of dropped ones."""

    def filled() -> tuple[Any, ...]:
        bounded = BoundedAttributes(maxlen, immutable=False, max_value_len=max_value_len)
        for key, value in items:
            bounded[key] = value
        return list(bounded.items()), bounded.dropped

    attributes.install()
    quick = filled()
    attributes.uninstall()

    assert filled() == quick


def test_source_may_change_afterwards() -> None:
    """What was given is copied: a later change of it does not reach the attributes."""
    given: dict[str, Any] = {"a": 1}
    bounded = BoundedAttributes(attributes=given)
    given["a"] = 2

    assert {"a": 1} == dict(bounded)


def test_immutable_attributes_stay_so() -> None:
    """Attributes made immutable still refuse an item."""
    bounded = BoundedAttributes(attributes={"a": 1}, immutable=True)

    with pytest.raises(TypeError, match=r"^$|immutable"):
        bounded["b"] = 2
