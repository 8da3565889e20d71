"""Runs real programs, plain and under Clew, and compares what they show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from clew import schema
from programs import clean_environment

PROGRAMS = Path(__file__).parent / "programs"
BIN = Path(sys.executable).parent

_EXCEPTION = (
    schema.EXCEPTION_TYPE,
    schema.EXCEPTION_MESSAGE,
    schema.EXCEPTION_STACKTRACE,
    schema.ERROR_FINGERPRINT,
)
_CODE = (schema.CODE_FILE_PATH, schema.CODE_FUNCTION_NAME, schema.CODE_LINE_NUMBER)
_DERIVED = {*_EXCEPTION, *_CODE, schema.THREAD_ID, schema.THREAD_NAME, schema.CORRELATION_ID, schema.LOG_RECORD_UID}


class Run(NamedTuple):
    """What a program showed, and under Clew the records that it made."""

    stdout: bytes
    stderr: bytes
    status: int
    records: list[dict[str, Any]]

    @property
    def shown(self) -> tuple[str, str, int]:
        """What a person or a shell sees."""
        return self.stdout.decode(), self.stderr.decode(), self.status

    @property
    def bodies(self) -> list[Any]:
        """The records' bodies; a batch holds them logger by logger."""
        return [record["body"] for record in self.records]


def environment(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """Return the environment of a test program; under Clew its telemetry goes to files in `folder`."""
    fixed = {"PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(PROGRAMS)}
    clew = {"CLEW_MODE": "file", "CLEW_DIR": str(folder / "clew"), "CLEW_COMPRESSION": "none", "CLEW_REDACT": "off"}
    clew["CLEW_SHUTDOWN_TIMEOUT"] = "12"
    return {**clean_environment(folder), **fixed, **clew, **variables}


def read_records(folder: Path, *, live: bool = False) -> list[dict[str, Any]]:
    """Read the records that the programs run in `folder` left in its files, batch by batch.

    Args:
        folder: Where they ran.
        live: Whether they may still write: a last line without an end is left out.
    """
    found: list[dict[str, Any]] = []
    for path in sorted((folder / "clew").glob("logs-*.jsonl")):
        data = path.read_bytes()
        for line in (data[: data.rfind(b"\n") + 1] if live else data).splitlines():
            for resource in json.loads(line)["resourceLogs"]:
                for scope in resource["scopeLogs"]:
                    found += [_record(scope.get("scope", {}).get("name", ""), item) for item in scope["logRecords"]]
    return found


def _record(scope: str, item: dict[str, Any]) -> dict[str, Any]:
    attributes = {pair["key"]: _value(pair["value"]) for pair in item.get("attributes", ())}
    return {
        "scope": scope,
        "body": _value(item.get("body", {})),
        "severity_text": item.get("severityText"),
        "trace_id": int(item.get("traceId") or "0", 16),
        "span_id": int(item.get("spanId") or "0", 16),
        "correlation_id": attributes.get(schema.CORRELATION_ID),
        "attributes": {key: value for key, value in attributes.items() if key not in _DERIVED},
        "exception": tuple(attributes.get(key) for key in _EXCEPTION) if _EXCEPTION[0] in attributes else None,
        "code": tuple(attributes.get(key) for key in _CODE),
    }


def _value(value: dict[str, Any]) -> Any:
    """Return an AnyValue of OTLP JSON as Python has it."""
    for kind, held in value.items():
        if kind == "kvlistValue":
            return {pair["key"]: _value(pair["value"]) for pair in held.get("values", ())}
        if kind == "arrayValue":
            return [_value(item) for item in held.get("values", ())]
        return int(held) if kind == "intValue" else held
    return None


def run_in(tmp_path: Path, path: str, *arguments: str, clew: bool, timeout_s: float, variables: dict[str, str]) -> Run:
    """Run a program of `programs/` in a folder below `tmp_path`, plain or under Clew."""
    folder = tmp_path / ("clewed" if clew else "plain")
    folder.mkdir(exist_ok=True)
    command = [str(BIN / "opentelemetry-instrument")] if clew else []
    done = subprocess.run(
        [*command, sys.executable, str(PROGRAMS / path), *arguments],
        capture_output=True,
        timeout=timeout_s,
        check=False,
        env=environment(folder, variables),
        cwd=folder,
    )
    return Run(done.stdout, done.stderr, done.returncode, read_records(folder))


def interpreter_has_its_tests() -> bool:
    """Return whether this interpreter ships CPython's own test suite."""
    return (Path(os.__file__).parent / "test" / "test_logging.py").exists()
