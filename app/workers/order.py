"""The answers of a session leave in the order of its requests, also where one of them waits for several workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from app.engine.session import Key
from app.engine.task import Task


class Turn:
    """A task whose answer others must not overtake, or that must not overtake another one's."""

    __slots__ = ("ahead", "answered", "behind", "keys", "reply_to")

    def __init__(self, keys: Iterable[Key], reply_to: Callable[[Task], None], ahead: int) -> None:
        self.keys = keys
        self.reply_to = reply_to
        self.ahead = ahead
        self.behind: list[Turn] = []
        self.answered: Task | None = None


class Order:
    """Turns by session. There are none as long as every task is the matter of one worker, which answers in order by itself."""

    def __init__(self) -> None:
        self._last: dict[Key, Turn] = {}

    def __len__(self) -> int:
        return len(self._last)

    def hold(self, task: Task, *, is_shared: bool) -> None:
        """Note a task that was just submitted; `is_shared` says that several workers have a part in it."""
        if not (self._last or is_shared):
            return
        keys = task.operation.keys
        ahead = {id(turn): turn for key in keys if (turn := self._last.get(key))}
        if not (ahead or is_shared):
            return
        turn = Turn(keys, task.reply_to, len(ahead))
        for one in ahead.values():
            one.behind.append(turn)
        self._last.update(dict.fromkeys(keys, turn))
        task.reply_to = lambda answered: self._answer(turn, answered)

    def _answer(self, turn: Turn, task: Task) -> None:
        turn.answered = task
        ready = deque([turn] if not turn.ahead else [])
        while ready:
            ready.extend(self._leave(ready.popleft()))

    def _leave(self, turn: Turn) -> list[Turn]:
        """Give an answer; the turns that are answered and have nobody ahead of them any more."""
        for key in turn.keys:
            if self._last.get(key) is turn:
                del self._last[key]
        for one in turn.behind:
            one.ahead -= 1
        assert turn.answered is not None  # noqa: S101 - nobody leaves before
        turn.reply_to(turn.answered)
        return [one for one in turn.behind if one.answered is not None and one.ahead == 0]
