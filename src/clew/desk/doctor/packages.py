"""What is installed: which distribution wins, whether packages fit, which libraries no instrumentation watches."""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING, Final

from clew import versions
from clew.desk.doctor.findings import ok, problem, warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from clew.desk.doctor.findings import Finding

_NAME: Final = "clew"
_RANGE: Final = ">=0.65b0,<1"
"""What our extras ask of instrumentations: one set that pip can resolve; upstream's bootstrap pins one version."""

_INSTRUMENTED: Final[Mapping[str, tuple[str, str]]] = {
    "aio-pika": ("aio-pika", ""),
    "aiobotocore": ("botocore", ""),
    "aiohttp": ("aiohttp-client", "aiohttp"),
    "aiokafka": ("aiokafka", ""),
    "aiopg": ("aiopg", ""),
    "asyncpg": ("asyncpg", ""),
    "boto3": ("boto3sqs", ""),
    "botocore": ("botocore", ""),
    "cassandra-driver": ("cassandra", ""),
    "celery": ("celery", "celery"),
    "confluent-kafka": ("confluent-kafka", ""),
    "django": ("django", "django"),
    "falcon": ("falcon", ""),
    "fastapi": ("fastapi", "fastapi"),
    "flask": ("flask", "flask"),
    "grpcio": ("grpc", "grpc"),
    "httpx": ("httpx", "http-clients"),
    "kafka-python": ("kafka-python", ""),
    "mysql-connector-python": ("mysql", ""),
    "mysqlclient": ("mysqlclient", ""),
    "pika": ("pika", ""),
    "psycopg": ("psycopg", "database"),
    "psycopg2": ("psycopg2", ""),
    "psycopg2-binary": ("psycopg2", ""),
    "pymemcache": ("pymemcache", ""),
    "pymongo": ("pymongo", ""),
    "pymssql": ("pymssql", ""),
    "pymysql": ("pymysql", ""),
    "pyramid": ("pyramid", ""),
    "redis": ("redis", "database"),
    "remoulade": ("remoulade", ""),
    "requests": ("requests", "http-clients"),
    "scylla-driver": ("cassandra", ""),
    "sqlalchemy": ("sqlalchemy", "database"),
    "starlette": ("starlette", "starlette"),
    "tornado": ("tornado", ""),
    "tortoise-orm": ("tortoiseorm", ""),
    "urllib3": ("urllib3", "http-clients"),
}
"""Libraries whose calls are worth a span: the end of the instrumentation's name, and our extra that brings it."""

_OURS: Final = frozenset({"grpcio", "requests", "urllib3"})
"""Libraries that Clew's exporters bring themselves; whether the program uses them as well cannot be seen."""


def examine_distribution(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Tell which distribution and which configurator `opentelemetry-instrument` takes."""
    for topic, group, variable in (
        ("distribution", "opentelemetry_distro", "OTEL_PYTHON_DISTRO"),
        ("configurator", "opentelemetry_configurator", "OTEL_PYTHON_CONFIGURATOR"),
    ):
        yield _winner(topic, _entry_points(group), environ.get(variable, "").strip(), variable)


def _winner(topic: str, installed: list[str], chosen: str, variable: str) -> Finding:
    others = [name for name in installed if name != _NAME]
    beside = f", beside {', '.join(others)}" if others else ""
    if _NAME not in installed:
        return problem(topic, "Clew is not among the installed ones", "reinstall it: pip install clew-opentelemetry")
    if chosen and chosen not in installed:
        cure = f"unset {variable}, or install it; installed: {', '.join(installed)}"
        return problem(topic, f"{variable}={chosen} names one that is not installed", cure)
    if chosen not in {"", _NAME}:
        return warning(topic, f"{chosen} wins, by {variable}", f"set {variable}={_NAME} for all that Clew does")
    return ok(topic, f"clew wins{beside}")


def examine_versions() -> Iterator[Finding]:
    """Tell whether OpenTelemetry's packages fit each other."""
    found = versions.core_versions()
    broken = versions.broken_requirements()
    mismatch = versions.mismatch(found)
    cure = "install one set: pip install -U clew-opentelemetry opentelemetry-sdk; then: pip check"
    if mismatch and not broken:
        yield problem("versions", mismatch.removeprefix("telemetry is off: ").partition(";")[0], cure)
    for phrase in broken:
        yield problem("versions", phrase, cure)
    if not mismatch and not broken:
        yield ok("versions", f"opentelemetry-sdk {found.get('opentelemetry-sdk', 'is missing')}, and all packages fit")


def examine_instrumentations() -> Iterator[Finding]:
    """Tell which installed libraries no instrumentation watches, and what adds it."""
    present = {versions_name(item.metadata["Name"]) for item in metadata.distributions() if item.metadata["Name"]}
    bare = [name for name in _INSTRUMENTED if name in present and _package(name) not in present]
    seen = [name for name in bare if name not in _OURS or _is_asked_for(name)]
    for name in seen:
        yield warning("instrumentation", f"{name} is installed, and nothing makes spans of its calls", _install(name))
    if not seen:
        watched = sum(name in present for name in _INSTRUMENTED) - len(bare)
        yield ok("instrumentation", f"{watched} installed libraries are watched")


def versions_name(name: str) -> str:
    """Write a package's name in its normal form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _package(library: str) -> str:
    return f"opentelemetry-instrumentation-{_INSTRUMENTED[library][0]}"


def _install(library: str) -> str:
    extra = _INSTRUMENTED[library][1]
    wanted = f"clew-opentelemetry[{extra}]" if extra else f"{_package(library)}{_RANGE}"
    return f"pip install '{wanted}'"


def _is_asked_for(name: str) -> bool:
    """Tell whether a package that is neither Clew's nor OpenTelemetry's requires the library."""
    for item in metadata.distributions():
        owner = versions_name(item.metadata["Name"] or "")
        if owner.startswith(("opentelemetry-", "clew-")) or owner in _OURS:
            continue
        for text in item.requires or ():
            match = re.match(r"[\w.-]+", text)
            if match and versions_name(match[0]) == name and "extra ==" not in text:
                return True
    return False


def examine_names(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Tell whether the propagators and exporters that variables name are installed."""
    text = environ.get("OTEL_PROPAGATORS", "")
    unknown = _unknown(text, "opentelemetry_propagator")
    if unknown:
        yield problem(
            "propagators",
            f"OTEL_PROPAGATORS names {', '.join(unknown)}, which is not installed",
            "opentelemetry-instrument ends with an error before the program, and before Clew, can start: "
            "take the name out, or install the package that has it",
        )
    else:
        yield ok("propagators", f"{text.strip() or 'tracecontext, baggage'}, and Clew's for the correlation ID")
    for signal in ("traces", "metrics", "logs"):
        variable = f"OTEL_{signal.upper()}_EXPORTER"
        unknown = _unknown(environ.get(variable, ""), f"opentelemetry_{signal}_exporter", "otlp")
        if unknown:
            cure = f"set {variable}=otlp, or install the package that has it; without it telemetry is off"
            yield problem("exporters", f"{variable} names {', '.join(unknown)}, which is not installed", cure)


def _unknown(text: str, group: str, *known: str) -> list[str]:
    """Return which of the names in a variable no package has."""
    named = [part.strip() for part in text.split(",") if part.strip() and part.strip() != "none"]
    installed = {*_entry_points(group), *known} if named else set()
    return [name for name in named if name not in installed]


def _entry_points(group: str) -> list[str]:
    return list(dict.fromkeys(_names(metadata.entry_points(group=group))))


def _names(points: Iterable[metadata.EntryPoint]) -> Iterator[str]:
    for point in points:
        yield point.name
