"""IDs of log records are ULIDs that no other record has."""

from __future__ import annotations

import os
import re
import threading
import time

from pipelines import make_entry

from clew.delivery.record_uid import new_uid, with_uid

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def test_form() -> None:
    """An ID is 26 characters of Crockford's base 32, the first ten of them the time in milliseconds."""
    before_ms = time.time_ns() // 1_000_000
    uid = new_uid()

    assert re.fullmatch(f"[0-7][{_CROCKFORD}]{{25}}", uid)
    made_ms = 0
    for character in uid[:10]:
        made_ms = made_ms * 32 + _CROCKFORD.index(character)
    assert before_ms <= made_ms <= time.time_ns() // 1_000_000


def test_unique() -> None:
    """IDs made by many threads, and by a forked child, differ."""
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend(new_uid() for _ in range(5000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, "".join(new_uid() for _ in range(1000)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    text = os.read(reading, 26_000).decode()
    os.close(reading)
    os.close(writing)
    made += [text[start : start + 26] for start in range(0, len(text), 26)]

    assert 21_000 == len(set(made)) == len(made)


def test_with_uid() -> None:
    """An entry gets an ID and keeps everything else; one that has an ID is left alone."""
    entry = make_entry("body")
    given = with_uid(entry)

    assert entry == given._replace(uid=None)
    assert type(entry) is type(given)
    assert given is with_uid(given)
