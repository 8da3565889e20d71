"""Logs everything that a record can hold, good or bad; each bad one stands between two good neighbours.

The first argument says where the console goes: stream, none, json (a formatter that prints a record's fields), file.
"""

import asyncio
import collections
import datetime
import decimal
import enum
import json
import logging
import pickle
import sys
import types
import uuid


class Named:
    def __repr__(self):
        return f"<{type(self).__name__}>"


class RaisingStr(Named):
    def __str__(self):
        raise RuntimeError("no str")


class RaisingRepr:
    def __repr__(self):
        raise RuntimeError("no repr")


class RaisingEq(Named):
    def __eq__(self, other):
        raise RuntimeError("no eq")

    __hash__ = None


class RaisingHash(Named):
    def __hash__(self):
        raise RuntimeError("no hash")


class RaisingBool(Named):
    def __bool__(self):
        raise RuntimeError("no bool")


class RaisingLen(Named):
    def __len__(self):
        raise RuntimeError("no len")


class RaisingGetattr(Named):
    def __getattribute__(self, name):
        raise RuntimeError("no " + name)


class RaisingClass(Named):
    @property
    def __class__(self):
        raise RuntimeError("no class")


class LoggingStr(Named):
    def __str__(self):
        logging.getLogger("inner").warning("rendered")
        return "logged"


class LoggingRecursion(Named):
    def __str__(self):
        logging.getLogger("inner.again").warning("again %s", "plain")
        return "twice"


class WrongStr(Named):
    def __str__(self):
        return 7


class EndlessMapping(collections.abc.Mapping):
    def __getitem__(self, key):
        return 1

    def __iter__(self):
        return iter(int, 1)

    def __len__(self):
        return 3

    def __repr__(self):
        return "<endless>"


class LyingDict(dict):
    def items(self):
        raise RuntimeError("no items")

    def __iter__(self):
        raise RuntimeError("no iter")

    def __repr__(self):
        return "<lying dict>"


class LyingStr(str):
    def __str__(self):
        raise RuntimeError("no str")

    def isascii(self):
        raise RuntimeError("no isascii")

    def encode(self, *args):
        raise RuntimeError("no encode")


class LyingInt(int):
    def __lt__(self, other):
        raise RuntimeError("no lt")

    def bit_length(self):
        raise RuntimeError("no length")


class Colour(enum.Enum):
    RED = 1


class Lazy:
    def __init__(self):
        self.calls = 0

    def __str__(self):
        self.calls += 1
        return f"lazy {self.calls}"


class BadException(Exception):
    def __str__(self):
        raise RuntimeError("no str of exception")

    __repr__ = __str__


class PropertyException(Exception):
    @property
    def __cause__(self):
        raise RuntimeError("no cause")

    @property
    def __traceback__(self):
        raise RuntimeError("no traceback")


class ExitingStr(Named):
    def __str__(self):
        raise SystemExit(9)


def cycle():
    found = {}
    found["self"] = found
    found["list"] = [found]
    return found


def deep(levels):
    found = top = {}
    for _ in range(levels):
        found["d"] = found = {}
    return top


def deep_list(levels):
    found = []
    for _ in range(levels):
        found = [found]
    return found


def endless():
    while True:
        yield 1


def chained():
    try:
        try:
            raise KeyError("root")
        except KeyError as error:
            raise ValueError("middle") from error
    except ValueError:
        raise TypeError("top")


def looped():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def recursing(number):
    return recursing(number + 1)


def many_args():
    raise OSError(2, "No such file", "/nowhere\udcff")


def noted():
    error = ValueError("with note")
    error.__notes__ = ["a note", 7]
    raise error


def grouped():
    if sys.version_info < (3, 11):
        raise ValueError("no groups here")
    raise ExceptionGroup("several", [ValueError("one"), ExceptionGroup("inner", [KeyError("two")])])


def syntax():
    compile("a b c", "<made>", "exec")


log = logging.getLogger("corpus")


def exc(function, *args):
    def case():
        try:
            function(*args)
        except BaseException:
            log.exception("failed in %s", function.__name__)

    return case


def extra(value):
    return lambda: log.info("extra", extra={"value": value, "good": "kept"})


def arg(template, *args):
    return lambda: log.info(template, *args)


def hand(**changes):
    def case():
        record = logging.LogRecord("corpus", logging.INFO, "/made.py", 1, "by hand", (), None)
        for name, value in changes.items():
            if value is ...:
                delattr(record, name)
            else:
                setattr(record, name, value)
        log.handle(record)

    return case


def made_without_init():
    record = logging.LogRecord.__new__(logging.LogRecord)
    record.levelno = 20
    record.levelname = "INFO"
    record.msg = "bare"
    record.args = None
    log.callHandlers(record)


CASES = {
    "too few arguments": arg("%s and %s", 1),
    "too many arguments": arg("none", 1),
    "wrong type": arg("user %d", "bob"),
    "bad directive": arg("100%% %y", 1),
    "trailing percent": arg("100%", 1),
    "mapping key missing": arg("%(a)s", {"b": 1}),
    "mapping": arg("%(a)s", {"a": 1}),
    "mapping with raising str": arg("%(a)s", {"a": RaisingStr()}),
    "argument with raising str": arg("%s", RaisingStr()),
    "argument with raising repr": arg("%r", RaisingRepr()),
    "argument with raising bool": arg("%s", RaisingBool()),
    "single argument with raising len": arg("%s", RaisingLen()),
    "argument that logs": arg("%s", LoggingStr()),
    "argument that logs with arguments": arg("%s", LoggingRecursion()),
    "argument whose str is no str": arg("%s", WrongStr()),
    "lazy argument": arg("%s", Lazy()),
    "surrogate argument": arg("%s", "\udcff"),
    "huge argument": arg("%s", "x" * 3_000_000),
    "wide directive": arg("%999999999999d", 1),
    "huge number": arg("%s", 2**70),
    "number of many digits": arg("%d", 10**5000),
    "surrogate body": lambda: log.info("/tmp/\udcff"),
    "surrogate among others": lambda: log.info("é\udcff€"),
    "body with NUL": lambda: log.info("a\0b"),
    "body with line breaks": lambda: log.info("a\nb\r\nc\x1b[31m"),
    "empty body": lambda: log.info(""),
    "None body": lambda: log.info(None),
    "bytes body": lambda: log.info(b"\xff\x00"),
    "dict body": lambda: log.info({"a": 1}),
    "body that is an exception": lambda: log.info(ValueError("as body")),
    "body with raising str": lambda: log.info(RaisingStr()),
    "body that logs": lambda: log.info(LoggingStr()),
    "huge body": lambda: log.info("y" * 3_000_000),
    "extra cycle": extra(cycle()),
    "extra 3000 levels": extra(deep(3000)),
    "extra 3000 lists": extra(deep_list(3000)),
    "extra surrogate": extra("\udcff"),
    "extra surrogate key": lambda: log.info("key", extra={"k\udcff": 1}),
    "extra key no str": lambda: log.info("key", extra={7: 1, None: 2, (1, 2): 3}),
    "extra empty key": lambda: log.info("key", extra={"": 1}),
    "extra nested odd keys": extra({7: 1, None: 2, "": 3, RaisingRepr: 4}),
    "extra NaN": extra([float("nan"), float("inf"), -float("inf")]),
    "extra 2**70": extra([2**70, -(2**70), 2**63 - 1, -(2**63), 10**5000]),
    "extra bytes": extra([b"\xff", bytearray(b"\x00"), memoryview(b"x").tobytes()]),
    "extra raising str": extra(RaisingStr()),
    "extra raising repr": extra([RaisingRepr()]),
    "extra raising eq": extra(RaisingEq()),
    "extra raising hash": extra(RaisingHash()),
    "extra raising bool": extra(RaisingBool()),
    "extra raising getattr": extra(RaisingGetattr()),
    "extra raising class": extra(RaisingClass()),
    "extra that exits": extra(ExitingStr()),
    "extra that logs": extra(LoggingStr()),
    "extra generator": lambda: log.info("generator", extra={"value": endless().__class__}),
    "extra endless mapping": extra(EndlessMapping()),
    "extra lying dict": extra(LyingDict(a=1)),
    "extra lying str": extra(LyingStr("lie")),
    "extra lying int": extra(LyingInt(7)),
    "extra enum, decimal, date, uuid": extra(
        [Colour.RED, decimal.Decimal("1.5"), datetime.date(2026, 1, 2), uuid.UUID(int=7)]
    ),
    "extra sets": extra([{1}, frozenset({2}), (3,), collections.OrderedDict(a=4), collections.deque([5])]),
    "extra wide": extra(list(range(100_000))),
    "extra huge text": extra("z" * 3_000_000),
    "extra many": lambda: log.info("many", extra={f"key{number}": number for number in range(1000)}),
    "extra module": extra(types),
    "extra own fields": lambda: log.info("own", extra={"trace_id": "mine", "span_id": 7, "correlation_id": None}),
    "extra overwrites": lambda: log.info("over", extra={"message": 1}),
    "extra overwrites base": lambda: log.info("over", extra={"name": 1}),
    "extra no mapping": lambda: log.info("over", extra=7),
    "chained exception": exc(chained),
    "looped exception": exc(looped),
    "grouped exception": exc(grouped),
    "noted exception": exc(noted),
    "syntax error": exc(syntax),
    "recursion": exc(recursing, 0),
    "exception without str": exc(lambda: (_ for _ in ()).throw(BadException("x"))),
    "exception with surrogate": exc(many_args),
    "exception raising properties": exc(lambda: (_ for _ in ()).throw(PropertyException("p"))),
    "exit": exc(sys.exit, 3),
    "cancelled": exc(lambda: (_ for _ in ()).throw(asyncio.CancelledError())),
    "exception outside": lambda: log.exception("nothing to show"),
    "exc_info instance": lambda: log.error("instance", exc_info=ValueError("never raised")),
    "exc_info odd": lambda: log.error("odd", exc_info=7),
    "stack info": lambda: log.warning("with stack", stack_info=True),
    "unknown level": lambda: log.log(37, "level 37"),
    "huge level": lambda: log.log(10**6, "level 1000000"),
    "level no number": lambda: log.log("INFO", "level by name"),
    "by hand": hand(),
    "by hand: no thread": hand(thread=..., threadName=...),
    "by hand: no name": hand(name=...),
    "by hand: no created": hand(created=...),
    "by hand: no msg": hand(msg=...),
    "by hand: no args": hand(args=...),
    "by hand: no exc_info": hand(exc_info=...),
    "by hand: no processName": hand(processName=...),
    "by hand: odd fields": hand(lineno="x", pathname=None, funcName=7, created=float("nan"), thread="t"),
    "by hand: unhashable": hand(pathname=[1], name="corpus"),
    "by hand: future": hand(created=1e300),
    "by hand: args list": hand(msg="%s", args=[1]),
    "by hand: args text": hand(msg="%s", args="ab"),
    "by hand: exc_text": hand(exc_text="Traceback (most recent call last):\nValueError: from afar"),
    "by hand: from a pickle": lambda: log.handle(
        logging.makeLogRecord(
            pickle.loads(pickle.dumps(logging.LogRecord("corpus", 20, "p", 1, "m", None, None).__dict__))
        )
    ),
    "without init": made_without_init,
}


class FieldsFormatter(logging.Formatter):
    def format(self, record):
        skipped = {"created", "msecs", "relativeCreated", "thread", "process", "exc_info", "pathname", "filename"}
        fields = {str(key): type(value).__name__ for key, value in vars(record).items() if key not in skipped}
        return json.dumps([super().format(record)[:200], fields], sort_keys=True)


def main(console):
    logging.getLogger().setLevel(logging.INFO)
    if console == "stream":
        logging.basicConfig(format="%(levelname)s %(name)s %(message).300s")
    elif console == "json":
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(FieldsFormatter("%(message)s"))
        logging.getLogger().addHandler(handler)
    elif console == "quiet":
        logging.getLogger().addHandler(logging.NullHandler())
    for name, case in CASES.items():
        log.info("before %s", name)
        try:
            case()
        except Exception as error:
            print(name, "->", type(error).__name__, str(error)[:200], flush=True)
        log.info("after %s", name)
    print(len(CASES), "cases", flush=True)
    sys.exit(5)


main(sys.argv[1])
