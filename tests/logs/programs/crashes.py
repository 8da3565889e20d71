"""Ends in the way that the first argument names."""

import asyncio
import logging
import os
import sys
import threading

log = logging.getLogger("crashing")


def process():
    raise ValueError("the process")


def chained():
    try:
        {}["missing"]
    except KeyError as error:
        raise RuntimeError("wrapped") from error


def logged_by_hook():
    sys.excepthook = lambda kind, error, stack: log.critical("uncaught", exc_info=(kind, error, stack))
    raise ValueError("hooked")


def logged_before():
    try:
        raise ValueError("logged, then raised")
    except ValueError:
        log.exception("caught once")
        raise


def exits():
    sys.exit("bye")


def exits_quietly():
    sys.exit(3)


def interrupted():
    raise KeyboardInterrupt


def thread():
    worker = threading.Thread(target=process, name="worker")
    worker.start()
    worker.join()


def thread_exits():
    worker = threading.Thread(target=sys.exit, args=(7,))
    worker.start()
    worker.join()


def thread_hook():
    threading.excepthook = lambda args: log.error("from the hook", exc_info=(args.exc_type, args.exc_value, None))
    thread()


def thread_hook_fails():
    threading.excepthook = lambda args: 1 / 0
    thread()


async def _fail():
    raise ValueError("the task")


def task():
    async def main():
        task = asyncio.ensure_future(_fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task

    asyncio.run(main())


def task_handled():
    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: print("mine:", context["message"]))
        task = asyncio.ensure_future(_fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task

    asyncio.run(main())


def callback():
    async def main():
        asyncio.get_running_loop().call_soon(process)
        await asyncio.sleep(0.01)

    asyncio.run(main())


def unraisable():
    class Finalized:
        def __del__(self):
            raise ValueError("the finalizer")

        def __repr__(self):
            raise RuntimeError("no repr")

    Finalized()


def unraisable_hook():
    sys.unraisablehook = lambda unraisable: print("mine:", unraisable.exc_value)
    unraisable()


def forked():
    child = os.fork()
    if child == 0:
        raise ValueError("the child")
    print(os.WEXITSTATUS(os.waitpid(child, 0)[1]))


def syntax():
    compile("a b", "<made>", "exec")


def nothing():
    print(sys.excepthook, sys.unraisablehook, threading.excepthook, sys.unraisablehook is sys.__unraisablehook__)
    print(sys.excepthook is sys.__excepthook__, repr(sys.unraisablehook), sys.unraisablehook.__name__)


globals()[sys.argv[1]]()
