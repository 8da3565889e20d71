"""What a correlation ID may look like, and which trace ID follows from it."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from clew.correlation import ids

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "correlation-vectors.json"
PAGE = PUBLISHED.with_name("correlation.md")
VECTORS = json.loads(PUBLISHED.read_text("utf-8"))
USABLE = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/+=@~-]{0,127}", fullmatch=True)


@pytest.mark.parametrize("vector", VECTORS["derived"], ids=lambda vector: vector["correlation_id"][:20])
def test_published_vectors(vector: dict[str, str]) -> None:
    """Each published vector derives to its trace ID, so other languages can rely on them."""
    key = vector["key"].encode() if "key" in vector else None

    assert vector["trace_id"] == ids.trace_id_hex(ids.derive_trace_id(vector["correlation_id"], key))


def test_published_table() -> None:
    """The table on the reference page shows published vectors."""
    rows = re.findall(
        r"^\| `([^`]+)` \| (?:`([^`]+)`)? ?\| `([0-9a-f]{32})` \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )
    published = {(item["correlation_id"], item.get("key", ""), item["trace_id"]) for item in VECTORS["derived"]}

    assert 6 == len(rows)
    assert set(rows) <= published


@pytest.mark.parametrize("raw", VECTORS["rejected"])
def test_published_rejections(raw: str) -> None:
    """Each ID published as unusable is refused."""
    assert ids.clean(raw) is None


@pytest.mark.parametrize("vector", VECTORS["amazon"], ids=lambda vector: vector["header"][:30])
def test_published_load_balancer_headers(vector: dict[str, str | None]) -> None:
    """The Root of a load balancer's header is its trace ID, wherever it stands; anything else is none."""
    found = ids.amazon_root(str(vector["header"]))

    assert vector["trace_id"] == (None if found is None else ids.trace_id_hex(found))


@given(st.text())
def test_clean_is_idempotent(raw: str) -> None:
    """Cleaning twice is cleaning once, and what is left is within the published alphabet."""
    cleaned = ids.clean(raw)

    assert cleaned == ids.clean(cleaned)
    assert cleaned is None or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/+=@~-]{0,127}", cleaned)


@given(USABLE)
def test_usable_ids_are_kept(raw: str) -> None:
    """An ID of the published alphabet and length comes through unchanged."""
    assert raw == ids.clean(raw)


@given(st.one_of(st.text(), USABLE, st.from_regex(r"[0-9a-f]{32}", fullmatch=True)), st.none() | st.binary())
def test_derivation_is_total(correlation_id: str, key: bytes | None) -> None:
    """Any text under any key has one trace ID of 128 bits that is not zero."""
    derived = ids.derive_trace_id(correlation_id, key)

    assert derived == ids.derive_trace_id(correlation_id, key)
    assert 0 < derived < 1 << 128


@given(st.integers(min_value=1, max_value=(1 << 128) - 1))
def test_own_ids_survive_a_header_only_hop(number: int) -> None:
    """A trace ID of ours in hex is its own correlation ID: who gets only the header finds the same trace."""
    trace_id = ids.reshape(number)

    assert trace_id == ids.derive_trace_id(ids.trace_id_hex(trace_id))


@given(st.integers(min_value=0, max_value=(1 << 128) - 1))
def test_reshaping_keeps_what_samplers_compare(number: int) -> None:
    """Taking an ID out of the shape of a UUID leaves its low 64 bits alone, and others as they are."""
    reshaped = ids.reshape(number)

    assert reshaped & (1 << 64) - 1 == number & (1 << 64) - 1
    assert not ids._UUID_SHAPED.fullmatch(ids.trace_id_hex(reshaped))
    assert reshaped == number or ids._UUID_SHAPED.fullmatch(ids.trace_id_hex(number))


@given(st.uuids(allow_nil=False))
def test_uuids_are_hashed(value: uuid.UUID) -> None:
    """A UUID is never a trace ID itself, with dashes or without."""
    assert int(value) != ids.derive_trace_id(str(value))
    assert int(value) != ids.derive_trace_id(value.hex) or value.version not in range(1, 9)


def test_new_ids_are_not_shaped_like_uuids() -> None:
    """What Clew makes itself always maps to itself."""
    made = [ids.new_trace_id() for _ in range(5000)]

    assert len(made) == len(set(made))
    assert all(ids.is_trace_id(ids.trace_id_hex(trace_id)) for trace_id in made)


def test_new_ids_leave_the_programs_random_alone() -> None:
    """A program that seeds `random` gets the same numbers with Clew as without."""
    random.seed(7)
    expected = random.random()
    random.seed(7)
    ids.new_trace_id()
    ids.new_span_id()

    assert expected == random.random()


@pytest.mark.parametrize("make", ["uuid", "new"])
def test_ratio_sampling_keeps_its_ratio(make: str) -> None:
    """A ratio sampler at 0.1 keeps a tenth of 10,000 requests, whether they bring UUIDs or nothing."""
    sampler = TraceIdRatioBased(0.1)
    chance = random.Random(20)
    uuids = (uuid.UUID(int=chance.getrandbits(128), version=4) for _ in range(10_000))
    news = (ids.reshape(chance.getrandbits(128)) for _ in range(10_000))
    trace_ids = [ids.derive_trace_id(str(value)) for value in uuids] if make == "uuid" else list(news)

    kept = sum(sampler.should_sample(None, trace_id, "root").decision.is_sampled() for trace_id in trace_ids)

    assert 900 <= kept <= 1100


def test_a_key_decides_every_trace_id() -> None:
    """Under a key not even an ID in the form of a trace ID is taken as one, and another key gives another."""
    chosen = "4bf92f3577b34da66a3ce929d0e0e473"
    derived = {ids.derive_trace_id(chosen), ids.derive_trace_id(chosen, b"a"), ids.derive_trace_id(chosen, b"b")}

    assert 3 == len(derived)
    assert int(chosen, 16) == ids.derive_trace_id(chosen)


def test_forked_children_make_ids_of_their_own() -> None:
    """No two of a process and its forked children make the same trace ID or span ID."""
    program = (
        "import os\n"
        "from clew.correlation.ids import new_span_id, new_trace_id\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        break\n"
        "else:\n"
        "    for _ in range(3):\n"
        "        os.wait()\n"
        "os.write(1, b'%d %d\\n' % (new_trace_id(), new_span_id()))\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, check=True, timeout=60)
    assert len(set(done.stdout.split())) == 8
