"""An event loop whose time passes only when nothing can run, and processes that can die in it.

All that happens is in a fixed order: one thread, no sockets, no clock. A process is a set of
tasks; each of its steps from one await to the next is counted, and it dies before the step
that its fate names: the coroutines are dropped where they stand.
"""

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any, Final

NEVER: Final = 1 << 60

_process: ContextVar["Process | None"] = ContextVar("process", default=None)


class Stuck(RuntimeError):
    """Nothing can ever run again: a deadlock of the code under test, or of the simulation."""


class VirtualLoop(asyncio.BaseEventLoop):
    """asyncio's own loop with a selector that finds nothing and moves the time instead."""

    def __init__(self) -> None:
        super().__init__()
        self._passed = 0.0
        self._selector = self
        self.set_task_factory(_make_task)

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._passed

    def select(self, timeout: float | None) -> list[Any]:
        """In the selector's place: nothing is ready until the next timer."""
        if timeout is None:
            raise Stuck
        self._passed += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody else can wake the loop."""


class Process:
    """A process of the simulated world: tasks that live and die together.

    Tasks made inside it are its own. `steps_left` is how many steps all of them together may
    still take. `ended` is set once it is dead, `reason` says of what.
    """

    def __init__(self, name: str, *, steps_left: int = NEVER) -> None:
        self.name = name
        self.steps_left = steps_left
        self.dead = False
        self.reason = ""
        self.ended = asyncio.Event()
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def alive(self) -> bool:
        """Not dead; after an await that may have changed."""
        return not self.dead

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run a coroutine inside."""
        token = _process.set(self)
        try:
            return asyncio.get_running_loop().create_task(work)
        finally:
            _process.reset(token)

    def add(self, task: "asyncio.Task[Any]") -> None:
        """One more task."""
        self._tasks[task] = None
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()  # whoever awaits it hears of it, if they live

    def die(self, reason: str) -> None:
        """End at once: no task takes another step."""
        if self.dead:
            return
        self.dead, self.reason = True, reason
        for task in list(self._tasks):
            task.cancel()
        self.ended.set()


class _Steps(Coroutine[Any, Any, Any]):
    """A coroutine of a process, which goes no further once that is dead."""

    def __init__(self, work: Coroutine[Any, Any, Any], process: Process) -> None:
        self._work = work
        self._own = process

    def send(self, value: Any) -> Any:
        process = self._own
        process.steps_left -= 1
        if process.steps_left < 0:
            process.die("crash")
        if process.dead:
            self._drop()
        return self._work.send(value)

    def throw(self, *error: Any) -> Any:
        if self._own.dead:
            self._drop()
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._work.__await__()

    def _drop(self) -> None:
        try:
            self._work.close()
        except RuntimeError:
            pass  # it would have awaited something on its way out
        raise asyncio.CancelledError


def _make_task(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> "asyncio.Task[Any]":
    process = _process.get()
    if process is None:
        return asyncio.Task(work, loop=loop, **options)
    task = asyncio.Task(_Steps(work, process), loop=loop, **options)
    process.add(task)
    if process.dead:
        task.cancel()
    return task


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end on a fresh loop; every task left is dropped."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
