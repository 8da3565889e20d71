"""Files to records: tells per file what it is, per line what it holds, and keeps count of what it could not use."""

from __future__ import annotations

import re
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

import orjson

from clew.files.reader import formats, lines, otlp, packing, timestamps
from clew.files.reader.json_logs import JsonLogs
from clew.files.reader.records import LogRow, RawLine
from clew.files.reader.text_logs import TextLogs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from clew.files.reader.formats import TextFormat
    from clew.files.reader.records import ReadStats, Record
    from clew.files.reader.sources import Source

MAX_DOCUMENT_BYTES: Final = lines.MAX_LINE_BYTES
"""Largest file that is read as one JSON document over several lines, as people format them."""

SAMPLE_LINES: Final = 400
"""How many lines of a text log the detection of its form looks at."""

_BINARY_BYTES: Final = 8192
_OTLP_HEAD: Final = re.compile(rb'\{\s*"resource(?:Spans|Logs|Metrics)"')
_CONTAINER_LINE: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\S+) (?:stdout|stderr) ([FP]) (.*)|(\d{4}-\d\d-\d\dT[\d:]{8}\.\d{9}(?:Z|[+-]\d\d:\d\d)) (.*)",
    re.DOTALL,
)


def read(
    sources: Iterable[Source],
    stats: ReadStats,
    *,
    signals: Collection[str] = otlp.ALL_SIGNALS,
    needles: Sequence[bytes] = (),
    form: TextFormat | None = None,
    progress: Callable[[int], None] | None = None,
    frugal: bool = False,
) -> Iterator[Record]:
    """Give the records of all files, each file in its own order; memory is bounded by one line.

    Args:
        sources: What to read.
        stats: Counts what was met; final when the iteration has ended.
        signals: Leave out records of other signals.
        needles: Give only records of OTLP lines that hold one of these bytes. A line holds many records: the caller
            tests each. Files in other forms are read whole, since their records may span lines.
        form: The form of text logs; detected where not given.
        progress: Called with the size of each file that was read.
        frugal: Hold the records of a large line packed until they are due; for files that are read side by side.
    """
    for source in sources:
        try:
            with lines.open_file(source.path) as file:
                stats.files += 1
                blocks = lines.read_blocks(file)
                yield from FileReader(source, stats, signals, form, frugal=frugal).records(blocks, needles)
        except lines.DamagedError:
            stats.damaged.append(source.path)
        except OSError:
            stats.unreadable.append(source.path)
        if progress is not None:
            progress(source.size)


class FileReader:
    """Reads one file: sniffs what it is from its first bytes, then goes line by line."""

    def __init__(
        self,
        source: Source,
        stats: ReadStats,
        signals: Collection[str],
        form: TextFormat | None,
        *,
        frugal: bool = False,
    ) -> None:
        self._source, self._path, self._stats, self._form = source, source.path, stats, form
        self._keys = otlp.keys_of(signals)
        self._has_logs = "logs" in signals
        self._is_frugal = frugal
        self._json = JsonLogs(source.path)
        self._text: TextLogs | None = None
        self._is_otlp: bool | None = None
        self._partial: list[str] = []

    def records(self, blocks: Iterator[bytes], needles: Sequence[bytes]) -> Iterator[Record]:
        """Give the file's records."""
        head = next(blocks, b"")
        start = head.lstrip()
        if b"\0" in start[:_BINARY_BYTES].rstrip(b"\0"):
            self._stats.binary.append(self._path)
            return
        blocks = chain([head], blocks)
        if _is_formatted(start):
            document, blocks = _whole(blocks)
            if document is not None:
                yield from self._documents(document)
                return
        if _OTLP_HEAD.match(start):
            yield from self._otlp_lines(blocks, needles)
        elif self._has_logs:
            yield from self._log_lines(blocks)
            yield from self.settle()

    def more(self, data: bytes) -> Iterator[Record]:
        """Give the records of whole lines that were appended to the file; a text record may go on in the next ones."""
        if not data.strip():
            return
        if self._is_otlp is None:
            self._is_otlp = _OTLP_HEAD.match(data.lstrip()) is not None
        if self._is_otlp:
            yield from self._otlp_lines(iter([data]), ())
        elif self._has_logs:
            yield from self._log_lines(iter([data]))

    def settle(self) -> list[LogRow | RawLine]:
        """Give the text record under way: no more lines of it are to come."""
        rows = self._text.flush() if self._text else []
        self._count(rows)
        return rows

    def _otlp_lines(self, blocks: Iterator[bytes], needles: Sequence[bytes]) -> Iterator[Record]:
        """Read a file of OTLP documents; other lines in it are kept as raw."""
        cut = lines.find_lines(blocks, needles, self._stats) if needles else lines.split_lines(blocks, self._stats)
        loads, records, stats, path, keys = orjson.loads, otlp.records, self._stats, self._path, self._keys
        is_frugal = self._is_frugal
        before, number, found = stats.lines, 0, 0
        try:
            for line in cut:  # `enumerate` would hold on to the line
                number += 1
                try:
                    rows = records(loads(line), path, stats, keys)
                    found += len(rows)
                except (orjson.JSONDecodeError, AttributeError):
                    stats.lines = before + number
                    rows = self._odd_line(line)
                    self._count(rows)
                if is_frugal and len(line) >= packing.LARGE_BYTES and (chunks := packing.pack(rows)) is not None:
                    del rows, line
                    yield from packing.unpack(chunks)
                    continue
                yield from rows
        finally:
            stats.lines = before + number
            stats.records += found

    def _odd_line(self, line: bytes) -> list[Record]:
        """Make the best of a line that is no document: blank, torn, torn and gone on with a whole one, or foreign."""
        if not line.strip(b"\0 \t\r\n"):
            self._stats.blank += 1
            return []
        for match in islice(_OTLP_HEAD.finditer(line, 1), 2):
            try:
                rows = otlp.records(orjson.loads(line[match.start() :]), self._path, self._stats, self._keys)
            except (orjson.JSONDecodeError, AttributeError):
                continue
            self._stats.torn += 1
            return [self._raw(line[: match.start()]), *rows]
        if _OTLP_HEAD.match(line):
            self._stats.torn += 1
        else:
            self._stats.foreign += 1
        return [self._raw(line)]

    def _log_lines(self, blocks: Iterator[bytes]) -> Iterator[Record]:
        """Read a file of JSON or text log lines, or a mixture, as a container's output is."""
        cut = lines.split_lines(blocks, self._stats)
        sample = list(islice(cut, SAMPLE_LINES)) if self._text is None else []
        if self._text is None:
            forms = (self._form,) if self._form else formats.detect(self._plain(sample))
            self._text = TextLogs(self._path, forms, self._json, self._stats, self._source.modified_s)
        for line in chain(sample, cut):
            self._stats.lines += 1
            rows = self._log_line(line.decode(errors="replace").removesuffix("\r"), None)
            self._count(rows)
            yield from rows

    def _plain(self, sample: list[bytes]) -> list[str]:
        """Return the text lines of a sample, out of their container's wrapping."""
        unwrapped = [_unwrap(line.decode(errors="replace"))[0] for line in sample]
        return [line.rstrip("\r\n") for line in unwrapped if not line.startswith("{")]

    def _log_line(self, line: str, received_ns: int | None) -> list[Record]:
        """Read one line, unwrapping it first if a container's runtime wrapped it."""
        inner, received, is_partial = _unwrap(line)
        if received is not None and received_ns is None:
            self._partial.append(inner)
            if is_partial:
                return []
            whole, self._partial = "".join(self._partial), []
            return self._log_line(whole, received)
        if line.startswith("{"):
            rows = self._json_line(line, received_ns)
            if rows is not None:
                return [*(self._text.flush() if self._text else []), *rows]
        return list(self._text.feed(line, received_ns)) if self._text else []

    def _json_line(self, line: str, received_ns: int | None) -> list[Record] | None:
        """Read a line that may be a JSON object; None if it is none or no log line."""
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError:
            return None
        if otlp.DOCUMENTS.keys() & document.keys():
            return otlp.records(document, self._path, self._stats, self._keys)
        row = self._json.record(document, received_ns)
        if row is not None:
            return [row]
        self._stats.foreign += 1
        return [self._raw(line.encode())]

    def _documents(self, document: Any) -> Iterator[Record]:
        """Read a file that is one JSON document: OTLP, or a list of OTLP documents or of log objects."""
        for part in document if isinstance(document, list) else [document]:
            self._stats.lines += 1
            rows = self._json_line(orjson.dumps(part).decode(), None) if isinstance(part, dict) else None
            if rows is None:
                self._stats.foreign += 1
                rows = [self._raw(orjson.dumps(part))]
            self._count(rows)
            yield from rows

    def _count(self, rows: Sequence[Record]) -> None:
        self._stats.records += sum(not isinstance(row, RawLine) for row in rows)

    def _raw(self, line: bytes) -> RawLine:
        self._stats.raw += 1
        return RawLine(line[: lines.KEPT_BYTES].decode(errors="replace"), self._path, self._stats.lines)


def _is_formatted(start: bytes) -> bool:
    """Tell from a file's start whether it may be one JSON document over several lines."""
    first, newline, rest = start.partition(b"\n")
    if not newline or not rest.strip() or first[:1] not in {b"{", b"["}:
        return False
    if first[:1] == b"[" and first[1:].strip() not in {b"", b"{"}:
        return False
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError:
        return True
    return False


def _whole(blocks: Iterator[bytes]) -> tuple[Any, Iterator[bytes]]:
    """Parse all blocks as one document if they are small enough; else None, and the same blocks again."""
    taken, length = [], 0
    for block in blocks:
        taken.append(block)
        length += len(block)
        if length > MAX_DOCUMENT_BYTES:
            return None, chain(taken, blocks)
    try:
        return orjson.loads(b"".join(taken)), iter(())
    except orjson.JSONDecodeError:
        return None, iter(taken)


def _unwrap(line: str) -> tuple[str, int | None, bool]:
    """Take a line out of a container runtime's wrapping: the line, when it was received, whether its rest follows.

    Forms: Docker's json-file (`{"log": ..., "stream": ..., "time": ...}`), the CRI log format of Kubernetes, and the
    times that `docker logs -t` and `kubectl logs --timestamps` put before each line: to the nanosecond.
    """
    match = _CONTAINER_LINE.fullmatch(line)
    if match is not None:
        inner = match[3] if match[1] else match[5]
        return inner, timestamps.parse_timestamp(match[1] or match[4]), match[2] == "P"
    if line.startswith('{"log":'):
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError:
            return line, None, False
        inner, received = document.get("log"), timestamps.parse_any(document.get("time"))
        if isinstance(inner, str) and received is not None:
            return inner.removesuffix("\n"), received, not inner.endswith("\n")
    return line, None, False
