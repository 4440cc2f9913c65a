"""The processes that fit one forecaster together: started by `torchrun`, or a single one, which talks to nobody.

Every process reads the data, draws the same windows and learns from its share of them; gradients are averaged over all windows
(torch's DistributedDataParallel over gloo, since a fit computes on the CPU), so all hold the same weights after every step.
The first one validates, prints and writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, cast

from training.errors import InputError

if TYPE_CHECKING:  # torch takes seconds to import, a single process's refusal should not
    from torch import Tensor, nn

PATIENCE = timedelta(minutes=10)  # for another process, before it counts as lost
Some = TypeVar("Some")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Team:
    """A process's place among the `size` that fit together. Every method that talks must be called by all of them, in one order."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process validates, prints and writes."""
        return self.rank == 0

    def together(self, work: Callable[[], Result]) -> Result:
        """What the work gives in this process; raises InputError in all where it does so in any."""
        if self.size == 1:
            return work()
        result, complaint = None, ""
        try:
            result = work()
        except InputError as error:
            complaint = str(error)
        found = self.gather(complaint)
        for rank, text in enumerate(found):
            if text:
                raise InputError(text if all(found) else f"{text} (in process {rank + 1} of {self.size})")
        return cast("Result", result)

    def gather(self, value: Some) -> list[Some]:
        """The value of every process, by rank."""
        if self.size == 1:
            return [value]
        from torch import distributed  # noqa: PLC0415 - see above

        found: list[Some | None] = [None] * self.size
        distributed.all_gather_object(found, value)
        return cast("list[Some]", found)

    def sum(self, value: float) -> float:
        """The sum of a number over all processes, the same to the last bit in each."""
        if self.size == 1:
            return value
        import torch  # noqa: PLC0415 - see above

        total = torch.tensor(value, dtype=torch.float64)
        torch.distributed.all_reduce(total)
        return float(total)

    def first(self, value: Some) -> Some:
        """The first process's value."""
        if self.size == 1:
            return value
        from torch import distributed  # noqa: PLC0415 - see above

        held = [value]
        distributed.broadcast_object_list(held, 0)
        return held[0]

    def share(self, drawn: Tensor) -> Tensor:
        """The process's part of what all have drawn alike."""
        return drawn[self.rank :: self.size]

    def joined(self, module: nn.Module) -> nn.Module:
        """The module, with gradients that are the mean over all processes."""
        if self.size == 1:
            return module
        from torch.nn.parallel import DistributedDataParallel  # noqa: PLC0415 - see above

        return DistributedDataParallel(module, forward_sync_buffers=False)


ALONE = Team()


class LostError(RuntimeError):
    """Another process of the team has ended."""


@contextmanager
def gathered() -> Iterator[Team]:
    """The team that `torchrun` started this process in, within the block; alone where it did not.

    Raises LostError where another process of the team is. This one should end at once then: whatever waits for the other one in
    gloo's threads may abort a process that takes itself apart in order.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:  # torchrun's own way to tell, read by torch as well
        yield ALONE
        return
    from torch import distributed  # noqa: PLC0415 - see above

    distributed.init_process_group("gloo", timeout=PATIENCE)
    team = Team(distributed.get_rank(), distributed.get_world_size())
    with ExitStack() as ending:
        ending.callback(distributed.destroy_process_group)
        try:
            yield team
        except RuntimeError as error:
            if "gloo" not in str(error):
                raise
            ending.pop_all()  # what is broken cannot be taken apart
            place = f"process {team.rank + 1} of {team.size}"
            raise LostError(f"{place} has lost another one and ends; see why that one ended ({error})") from error
