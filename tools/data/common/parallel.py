"""One loop for all scripts: items in parallel processes, failures collected, not fatal."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from queue import SimpleQueue
from typing import TypeVar

from tqdm import tqdm

from tools.command_line import sentence_of

Item = TypeVar('Item')
Result = TypeVar('Result')


@dataclass(frozen=True)
class Failure:
    """An item that could not be done, and why."""

    key: str
    reason: str


class _Worker:
    """One process, replaced when an item crashes it, so that only that item is lost."""

    def __init__(self) -> None:
        self._pool = self._start()

    @staticmethod
    def _start() -> ProcessPoolExecutor:
        # Ctrl-C goes to all processes of a terminal; the one that waits ends the others.
        ignore = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
        return ProcessPoolExecutor(1, mp_context=get_context('spawn'), initializer=ignore)

    def run(self, function: Callable[[Item], Result], item: Item) -> Result:
        try:
            return self._pool.submit(function, item).result()
        except BrokenProcessPool as error:
            self._pool = self._start()
            raise RuntimeError('the worker process crashed or ran out of memory') from error

    def stop(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def kill(self) -> None:
        for process in list((self._pool._processes or {}).values()):
            process.terminate()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return sentence_of(error)
    return str(error) if isinstance(error, ValueError) else f'{type(error).__name__}: {error}'


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add ``--workers`` for a check of videos; a process takes seconds to start."""
    parser.add_argument(
        '--workers',
        type=int,
        default=1,
        help='processes that check videos (default: 1; more are faster for hours of video)',
    )


def parse_shard(text: str) -> tuple[int, int]:
    """``'i/n'``, i from 1 to n, as ``(i - 1, n)``.

    Raises:
        ValueError: If it is something else.
    """
    number, _, count = text.partition('/')
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError(f'--shard must be i/n with i from 1 to n, such as 2/4, got {text!r}')
    return int(number) - 1, int(count)


def share(
    items: Mapping[str, Item], shard: tuple[int, int], part: tuple[int, int] = (0, 1)
) -> dict[str, Item]:
    """The items of one process: every n-th one.

    Args:
        items: All items; the same in every process.
        shard: Number and count of the machines' parts, see :func:`parse_shard`.
        part: Rank and number of the processes that share a machine's part.
    """
    mine, count = shard[0] * part[1] + part[0], shard[1] * part[1]
    return {name: items[name] for name in list(items)[mine::count]}


def parallel_map(
    function: Callable[[Item], Result],
    items: Mapping[str, Item],
    workers: int,
    description: str,
) -> tuple[dict[str, Result], list[Failure]]:
    """Call ``function`` on every item, with a progress bar.

    Args:
        function: A picklable function of one item. To be resumable it returns early where its
            output is complete already.
        items: Items by a name that a person recognises.
        workers: Processes; 1 or less works in this process.
        description: Label of the progress bar.

    Returns:
        Results by name in the order of ``items``, and the items that failed.
    """
    results: dict[str, Result] = {}
    failures: list[Failure] = []
    bar = tqdm(total=len(items), desc=description, unit='video', file=sys.stderr)

    def settle(key: str, call: Callable[[], Result]) -> None:
        try:
            results[key] = call()
        except Exception as error:
            failures.append(Failure(key, _reason(error)))
        bar.update()

    with bar:
        if workers <= 1 or len(items) <= 1:
            for key, item in items.items():
                settle(key, partial(function, item))
        else:
            _run_in_processes(function, items, min(workers, len(items)), settle)
    order = {key: i for i, key in enumerate(items)}
    failures.sort(key=lambda failure: order[failure.key])
    return {key: results[key] for key in items if key in results}, failures


def _run_in_processes(
    function: Callable[[Item], Result],
    items: Mapping[str, Item],
    workers: int,
    settle: Callable[[str, Callable[[], Result]], None],
) -> None:
    pool = [_Worker() for _ in range(workers)]
    free: SimpleQueue[_Worker] = SimpleQueue()
    for worker in pool:
        free.put(worker)

    def call(item: Item) -> Result:
        worker = free.get()
        try:
            return worker.run(function, item)
        finally:
            free.put(worker)

    threads = ThreadPoolExecutor(workers)
    try:
        futures = {threads.submit(call, item): key for key, item in items.items()}
        for future in as_completed(futures):
            settle(futures[future], future.result)
    except KeyboardInterrupt:  # no time to end items, which are made again
        threads.shutdown(wait=False, cancel_futures=True)
        for worker in pool:
            worker.kill()
        raise
    finally:
        threads.shutdown(cancel_futures=True)
        for worker in pool:
            worker.stop()


def print_failures(failures: list[Failure], anything_done: bool = True) -> int:
    """List failures on stderr and return the exit code: 1 if there are any, else 0.

    Args:
        failures: What failed.
        anything_done: Whether something was written; what comes last on stderr says so.
    """
    if not failures:
        return 0
    print(f'{len(failures)} failed:', file=sys.stderr)
    for failure in failures:
        print(f'  {failure.key}: {failure.reason}', file=sys.stderr)
    done = 'Everything else is done' if anything_done else 'Nothing is written'
    print(f'{done}; fix these and run the same command again.', file=sys.stderr)
    return 1
