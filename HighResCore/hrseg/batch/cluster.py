"""A batch on the workers of a Dask cluster. The only part that needs the library ``distributed``."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from hrseg.batch.outcome import Outcome, Task, Work, failed, in_words
from hrseg.batch.work import Setting, do
from hrseg.errors import HrsegError, InputError, OutOfMemory, OutputError

if TYPE_CHECKING:
    from distributed import Client, Future

#: Seconds until a scheduler has to answer.
_PATIENCE = 10
#: After so many seconds the workers are counted again.
_LOOK_AGAIN = 60
#: Dask ends a worker that uses more than 0.95 of its memory.
_SHARE = 0.9


def segment_there(
    tasks: Sequence[Task], work: Work, scheduler: str, tell: Callable[[str], None]
) -> Generator[Outcome, None, None]:
    """The outcomes as they come. Close this generator to withdraw what is waiting.

    Images, model and results are paths that the workers see. A task whose worker dies is given to another one, as often
    as the scheduler's setting ``distributed.scheduler.allowed-failures`` says.

    Args:
        tasks: to be done.
        work: that the workers do, such as :func:`do_there` with a setting.
        scheduler: address, such as ``tcp://host:8786``.
        tell: is told what to wait for.

    Raises:
        InputError: no scheduler at this address.
        OutputError: the library is not installed.
    """
    return _outcomes(connect(scheduler), tasks, work, tell)


def _outcomes(
    client: Client, tasks: Sequence[Task], work: Work, tell: Callable[[str], None]
) -> Generator[Outcome, None, None]:
    from distributed import as_completed

    futures = {}
    try:
        for task in tasks:
            futures[client.submit(work, task, key=f"hrseg-{uuid.uuid4().hex}", pure=False)] = task
        while futures:
            # Where the scheduler is gone the futures tell.
            with suppress(OSError):
                if not client.nthreads():
                    tell("The cluster has no workers; waiting for some.")
            with suppress(TimeoutError):
                for future in as_completed(list(futures), loop=client.loop, timeout=_LOOK_AGAIN):
                    yield _outcome(future, futures.pop(future))
    finally:
        with suppress(OSError):
            client.cancel(list(futures))
        client.close()


def connect(scheduler: str) -> Client:
    """A connection to a scheduler. Raises as :func:`segment_there`."""
    try:
        from distributed import Client
    except ImportError as error:
        raise OutputError(
            'Batches on a cluster need the library Dask; pip install "highres-segmentation[cluster]".'
        ) from error
    try:
        return Client(scheduler, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f'There is no Dask scheduler at "{scheduler}"; give the address that `dask scheduler` prints, '
            "such as tcp://host:8786."
        ) from error


def do_there(task: Task, setting: Setting) -> Outcome:
    """Does a task in a worker, within the memory that the cluster gives it; the number of threads is Dask's."""
    from distributed import get_worker

    limit = get_worker().memory_manager.memory_limit
    return do(task, replace(setting, memory_limit=int(_SHARE * limit)) if limit else setting)


def _outcome(future: Future, task: Task) -> Outcome:
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker:
        text = (
            "The workers that segmented it ended again and again, most likely because memory ran out; give workers "
            "more memory, or choose a smaller image or model."
        )
        return failed(task, text, OutOfMemory.exit_code)
    except ModuleNotFoundError as error:
        text = f'A worker lacks the library "{error.name}"; install highres-segmentation where the workers run.'
        return failed(task, text, HrsegError.exit_code)
    except CancelledError:
        text = "The connection to the scheduler was lost; see to it, and repeat the command, which does what is left."
        return failed(task, text, HrsegError.exit_code)
    except Exception as error:
        text = f"The cluster could not do it ({in_words(error)}); see the log of its scheduler."
        return failed(task, text, HrsegError.exit_code)
