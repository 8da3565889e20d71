"""Settings come from a mapping; a bad value leaves the default and a line that says so."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew import diagnostics, otel_variables, settings
from clew.settings import Settings


def test_empty_environment_gives_the_defaults() -> None:
    """Nothing set means each field's own default and no problem."""
    resolved = Settings.from_mapping({"HOME": "/home/someone"})

    assert resolved == Settings(folder=Path("/home/someone/.local/state/clew"))


@pytest.mark.parametrize(
    ("variable", "text", "field", "expected"),
    [
        ("CLEW_MODE", "File", "mode", "file"),
        ("CLEW_DIR", "/var/lib/x", "folder", Path("/var/lib/x")),
        ("CLEW_CORRELATION_HEADERS", "X-A, x-b,", "correlation_headers", ("x-a", "x-b")),
        ("CLEW_CORRELATION_KEY", "k", "correlation_key", b"k"),
        ("CLEW_LOG_LEVEL", "debug", "log_level", 10),
        ("CLEW_DURABLE_LEVEL", "off", "durable_level", None),
        ("CLEW_LOG_FOLD", "10s", "log_fold_s", 10.0),
        ("CLEW_REDACT", "no", "redact", False),
        ("CLEW_SPOOL_MAX_BYTES", "1.5GiB", "spool_max_bytes", 3 * 512 * 1024**2),
        ("CLEW_RETENTION_MAX_AGE", "2w", "retention_max_age_s", 14 * 86400.0),
        ("CLEW_QUEUE_SIZE", "10", "queue_size", 10),
    ],
)
def test_variable_sets_its_field(variable: str, text: str, field: str, expected: object) -> None:
    """Each form of value is read into its field's type."""
    resolved = Settings.from_mapping({variable: text})

    assert expected == getattr(resolved, field)
    assert () == resolved.problems


@pytest.mark.parametrize("variable", [item.metadata["variable"] for item in fields(Settings) if item.metadata])
def test_blank_is_unset(variable: str) -> None:
    """A variable set to blanks counts as unset."""
    assert Settings.from_mapping({}) == Settings.from_mapping({variable: "  "})


def test_bad_value_is_told_with_its_variable() -> None:
    """A problem names the variable, the value, what it must be and what is used."""
    resolved = Settings.from_mapping({"CLEW_SPOOL_MAX_BYTES": "lots"})

    assert Settings().spool_max_bytes == resolved.spool_max_bytes
    assert (
        "CLEW_SPOOL_MAX_BYTES must be a size such as 1000000, 64MiB or 1GB, got 'lots'; using 512MiB",
    ) == resolved.problems


def test_home_that_cannot_be_found_is_told() -> None:
    """A folder under a home that nobody has leaves the default in force."""
    resolved = Settings.from_mapping({"CLEW_DIR": "~0", "HOME": "/home/someone"})

    told = "CLEW_DIR must be a folder; the home folder in it cannot be found, got '~0'; using $XDG_STATE_HOME/clew"
    assert (Path("/home/someone/.local/state/clew"), (told,)) == (resolved.folder, resolved.problems)


@given(st.dictionaries(st.sampled_from([item.name for item in settings.VARIABLES]), st.text(max_size=20)))
def test_no_environment_raises(environ: dict[str, str]) -> None:
    """Whatever the variables hold, the settings are made."""
    Settings.from_mapping(environ)


@given(st.floats(min_value=0.001, max_value=10_000, allow_nan=False))
def test_duration_reads_what_it_writes(seconds: float) -> None:
    """A duration in seconds, minutes or milliseconds is read back as the same time."""
    text = f"{seconds:.3f}"

    assert float(text) == settings.duration_s(text)
    assert settings.duration_s(f"{text}m") == pytest.approx(float(text) * 60)
    assert settings.duration_s(f"{text}ms") == pytest.approx(float(text) / 1000)


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [
        ("", "http/protobuf"),
        ("http://c:4318", "http/protobuf"),
        ("http://c:4317", "grpc"),
        ("http://c:4317/", "grpc"),
        ("https://c/otlp", "http/protobuf"),
        ("http://c:43170", "http/protobuf"),
    ],
)
def test_protocol_follows_from_the_port(endpoint: str, protocol: str) -> None:
    """A wrong pair of port and protocol fails without a word, so the port decides where the user did not."""
    assert protocol == otel_variables.defaults({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})["OTEL_EXPORTER_OTLP_PROTOCOL"]


def test_defaults_leave_the_users_alone() -> None:
    """A variable that the user set is not among the defaults."""
    environ = {"OTEL_LOGS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}

    environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = "http://c:4318"

    assert "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" not in otel_variables.defaults(environ)
    assert not environ.keys() & otel_variables.defaults(environ).keys()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ()),
        ({"OTEL_TRACES_EXPORTER": "none"}, ()),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ("otlp_proto_grpc",)),
        (
            {"OTEL_TRACES_EXPORTER": "otlp,console", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            ("otlp_proto_http", "console"),
        ),
        (
            {
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            ("otlp_proto_http",),
        ),
    ],
)
def test_exporters_are_resolved(environ: dict[str, str], expected: tuple[str, ...]) -> None:
    """`otlp` becomes the exporter of its signal's protocol; others keep their names."""
    assert expected == otel_variables.exporter_names(environ, "traces")


OTLP = "OTEL_EXPORTER_OTLP_"


@pytest.mark.parametrize(
    ("environ", "expected", "told"),
    [
        ({}, {}, ""),
        ({"ENDPOINT": "http://c:4317", "COMPRESSION": "GZIP", "TRACES_TIMEOUT": "1.5"}, {}, ""),
        ({"ENDPOINT": "", "INSECURE": " ", "TIMEOUT": ""}, dict.fromkeys(("ENDPOINT", "INSECURE", "TIMEOUT")), ""),
        ({"LOGS_TIMEOUT": "10s"}, {"LOGS_TIMEOUT": None}, "LOGS_TIMEOUT='10s' is no number of seconds"),
        ({"TIMEOUT": "nan"}, {"TIMEOUT": None}, "TIMEOUT='nan' is no number of seconds"),
        ({"PROTOCOL": "http/json", "COMPRESSION": "deflate"}, {}, ""),
        (
            {"COMPRESSION": "none"},
            dict.fromkeys(("COMPRESSION", "TRACES_COMPRESSION", "METRICS_COMPRESSION", "LOGS_COMPRESSION")),
            "",
        ),
        (
            {"COMPRESSION": "gzip", "LOGS_COMPRESSION": "none"},
            {
                "COMPRESSION": None,
                "TRACES_COMPRESSION": "gzip",
                "METRICS_COMPRESSION": "gzip",
                "LOGS_COMPRESSION": None,
            },
            "",
        ),
        (
            {"COMPRESSION": "deflate", "TRACES_PROTOCOL": "http/protobuf", "METRICS_COMPRESSION": "gzip"},
            {
                "COMPRESSION": None,
                "TRACES_COMPRESSION": "deflate",
                "METRICS_COMPRESSION": "gzip",
                "LOGS_COMPRESSION": None,
            },
            "gRPC has gzip and none; uncompressed go logs ('deflate')",
        ),
    ],
)
def test_what_exporters_cannot_take(
    environ: dict[str, str], expected: dict[str, str | None], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Upstream's exporters are spared empty variables and values that would end the boot; wrong ones are told."""
    diagnostics.forget()
    found = otel_variables.for_exporters({OTLP + name: text for name, text in environ.items()})
    error = capsys.readouterr().err

    assert {OTLP + name: text for name, text in expected.items()} == found
    assert told in error
    assert bool(told) == bool(error)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "a"}, True),
        ({"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=x, service.name = a"}, True),
        ({"OTEL_RESOURCE_ATTRIBUTES": "my.service.name=a"}, False),
    ],
)
def test_a_named_service_is_known(environ: dict[str, str], expected: bool) -> None:
    """The service is named by its variable or among the resource attributes."""
    assert expected == otel_variables.names_service(environ)
