"""Runs tasks that wait for one another, several at a time, each in a process of its own cores.

A small model leaves most of a second core idle, so that two of them side by side take little more
than half the time of one after the other.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from physlm_jax.errors import Interrupted


@dataclasses.dataclass(frozen=True)
class Task:
    """Something to call.

    Attributes:
        name: its own.  call: what to do; it and its result are pickled where others run beside it.
        after: names of the tasks that must be done before.
    """

    name: str
    call: Callable[[], Any]
    after: tuple[str, ...] = ()


def perform(
    tasks: Sequence[Task], jobs: int = 1, prepare: Callable[[], None] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yields the name and the result of every task, as soon as there is one.

    Args:
        tasks: each comes after those that it waits for; earlier ones start first.
        jobs: how many at a time; 1: one after the other, in this process.
        prepare: called once in every other process, before its first task.
    Raises:
        Interrupted: a process was killed, as by SIGTERM, which is handed on to all of them.
        Exception: what a task raised; those that run are waited for, no other is started.
    """
    if jobs == 1:
        for task in tasks:
            yield task.name, task.call()
        return
    context = multiprocessing.get_context("spawn")  # fork after JAX has started deadlocks
    shares = context.Queue()
    for share in shares_of_cores(jobs):
        shares.put(share)
    with ProcessPoolExecutor(jobs, context, _begin, (shares, prepare)) as pool, _Forwarding():
        try:
            yield from _side_by_side(pool, list(tasks), jobs)
        except BrokenProcessPool as error:
            again = "a process ended before it was done; the same command goes on"
            raise Interrupted(again) from error


def _side_by_side(
    pool: ProcessPoolExecutor, waiting: list[Task], jobs: int
) -> Iterator[tuple[str, Any]]:
    done: set[str] = set()
    running: dict[Future[Any], str] = {}
    while waiting or running:
        for task in [task for task in waiting if done.issuperset(task.after)]:
            if len(running) < jobs:
                waiting.remove(task)
                running[pool.submit(task.call)] = task.name
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            name = running.pop(future)
            yield name, future.result()
            done.add(name)


def shares_of_cores(jobs: int) -> list[list[int]]:
    """Returns the cores of each of several processes: whole ones as far as there are enough."""
    if not hasattr(os, "sched_getaffinity"):  # macOS: the system decides
        return [[] for _ in range(jobs)]
    cores = sorted(os.sched_getaffinity(0))
    if jobs >= len(cores):
        return [[cores[i % len(cores)]] for i in range(jobs)]
    return [cores[i * len(cores) // jobs : (i + 1) * len(cores) // jobs] for i in range(jobs)]


def _begin(shares: Any, prepare: Callable[[], None] | None) -> None:
    """Starts a process: XLA makes as many threads as it has cores."""
    if share := shares.get():
        os.sched_setaffinity(0, share)
    if prepare:
        prepare()


class _Forwarding:
    """Hands SIGTERM on to the processes of the tasks; only the main thread can listen."""

    def __enter__(self) -> None:
        self.listens = threading.current_thread() is threading.main_thread()
        if self.listens:
            self.before = signal.signal(signal.SIGTERM, self._forward)

    def _forward(self, *_: Any) -> None:
        for process in multiprocessing.active_children():
            process.terminate()

    def __exit__(self, *_: Any) -> None:
        if self.listens:
            signal.signal(signal.SIGTERM, self.before)
