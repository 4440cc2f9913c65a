"""Every operation is done by the worker that owns its sessions, and by no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from app.engine.operations.copying import Export, Fork, Import, parse_export
from app.engine.operations.looking import Follow, ListSessions
from app.engine.session import Key
from app.engine.task import Task
from app.errors import Refusal
from app.service import Desk
from app.subscriptions import Subscriptions
from app.workers.link import Link
from app.workers.order import Order
from app.workers.owners import owner
from app.workers.parts import Parts, parts


class Partition:
    """The desk of a worker `own` among others: what is not its own goes over a link. All is called on the event loop."""

    def __init__(self, own: int, desk: Desk, links: Mapping[int, Link], subscriptions: Subscriptions) -> None:
        self._own = own
        self._links = links
        self._desks: list[Desk] = [links.get(worker, desk) for worker in range(len(links) + 1)]
        self._subscriptions = subscriptions
        self._order = Order()
        self._following: Counter[Key] = Counter()

    @property
    def waiting(self) -> int:
        """How many tasks are not answered yet, here and there."""
        return sum(desk.waiting for desk in self._desks)

    def submit(self, task: Task) -> None:
        """Let a task be done where it belongs; raises Overloaded, Draining or Internal."""
        operation = task.operation
        workers = len(self._desks)
        owners = [owner(key, workers) for key in operation.keys]
        if isinstance(operation, Fork) and owners[0] != owners[-1]:
            self._fork(task, operation)
        elif isinstance(operation, ListSessions) or len(set(owners)) > 1:
            shared = parts(operation, owners, workers)
            assert shared is not None, operation  # noqa: S101 - nothing else has several sessions
            self._share(task, shared)
            self._order.hold(task, is_shared=True)
        else:
            self._desks[owners[0] if owners else self._own].submit(task)
            if isinstance(operation, Follow):
                self._follow(task, operation.key)
            self._order.hold(task, is_shared=False)

    def on_unfollowed(self, key: Key) -> None:
        """Nobody here follows a session any more."""
        link = self._links.get(owner(key, len(self._desks)))
        # Somebody may be about to: the owner hears of it before this, and would forget that one too.
        if link is not None and not self._following[key] and key not in self._subscriptions:
            link.unfollow(key)

    def _share(self, task: Task, shared: Parts) -> None:
        """Let each worker do its part; raises the first refusal where none of them takes it."""
        answers: dict[int, Task] = {}

        def on_answer(worker: int, part: Task) -> None:
            answers[worker] = part
            if len(answers) == len(shared.operations):
                try:
                    task.answer(shared.join(answers))
                except Refusal as refusal:
                    task.refuse(refusal)
                task.reply_to(task)

        for worker, operation in shared.operations.items():
            part = Task(operation, partial(on_answer, worker), task.line)
            try:
                self._desks[worker].submit(part)
            except Refusal as refusal:
                part.refuse(refusal)
                answers[worker] = part
        if len(answers) == len(shared.operations):
            raise next(iter(answers.values())).error or AssertionError("only what is refused is answered at once")

    def _fork(self, task: Task, fork: Fork) -> None:
        """Leave one worker and come to another. In between the fork is nowhere: it fails as a whole, or is made as a whole."""

        def on_export(exported: Task) -> None:
            if exported.error is not None:
                on_import(exported)
                return
            imported = Task(Import(fork.fork, parse_export(exported.reply)), on_import, task.line)
            try:
                self._desks[owner(fork.fork, len(self._desks))].submit(imported)
            except Refusal as refusal:
                imported.refuse(refusal)
                on_import(imported)

        def on_import(imported: Task) -> None:
            task.reply, task.error, task.is_answered = imported.reply, imported.error, True
            task.reply_to(task)

        self._desks[owner(fork.key, len(self._desks))].submit(Task(Export(fork.key), on_export, task.line))

    def _follow(self, task: Task, key: Key) -> None:
        self._following[key] += 1
        task.reply_to = partial(self._followed, key, task.reply_to)

    def _followed(self, key: Key, reply_to: Callable[[Task], None], task: Task) -> None:
        try:
            reply_to(task)
        finally:
            self._following[key] -= 1
            if not self._following[key]:
                del self._following[key]
            self.on_unfollowed(key)
