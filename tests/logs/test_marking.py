"""The mark of a captured record prints, compares and pickles as the process's name."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler

from clew.correlation.origin import NO_IDS
from clew.logs import capture, marking
from clew.logs.marking import Captured, make_mark


def test_mark_looks_like_the_name() -> None:
    """Nothing that a formatter does with a process's name shows the mark."""
    mark = make_mark("MainProcess")

    assert ("MainProcess", "'MainProcess'", '"MainProcess"') == (str(mark), repr(mark), json.dumps(mark))
    assert (hash("MainProcess"), "<class 'str'>") == (hash(mark), repr(type(mark)))


def test_plain_pickle_has_no_mark() -> None:
    """A record that is pickled for another machine carries a plain string."""
    assert type(pickle.loads(pickle.dumps(make_mark("MainProcess")))) is str


def test_copies_keep_the_mark() -> None:
    """A copy of a captured record, shallow or deep, is a captured record, and has its IDs where they were kept."""
    record = logging.LogRecord("n", 20, "p", 1, "m", (), None)
    record.processName = make_mark("MainProcess", NO_IDS)
    copies = [copy.copy(record).processName, copy.deepcopy(record).processName]

    assert [True, True] == [type(name) is Captured and name.ids is NO_IDS for name in copies]


def test_queues_of_multiprocessing_keep_the_mark() -> None:
    """Between processes of one program the mark survives; a Python without Clew gets a plain string."""
    marking.install()
    sent = bytes(ForkingPickler.dumps(make_mark("MainProcess")))
    program = f"import pickle; name = pickle.loads({sent!r}); print(type(name) is str, name)"
    alone = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)

    assert type(pickle.loads(sent)) is Captured
    assert "True MainProcess\n" == alone.stdout


def test_replaced_dispatch_is_wrapped() -> None:
    """Where another library has put its own function in place of logging's, the call still goes through both."""
    seen: list[str] = []
    extra = seen.append

    def replaced(logger: logging.Logger, record: logging.LogRecord) -> None:
        extra(record.msg)

    wrapped = capture._wrap(replaced)
    wrapped(logging.getLogger("wrapped"), logging.LogRecord("n", 20, "p", 1, "m", (), None))

    assert ["m"] == seen
    assert logging._srcfile == wrapped.__code__.co_filename
