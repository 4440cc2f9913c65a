"""Several forecasters of one architecture as one: it sees a series once, and its quantiles are the mean of theirs.

The members differ in their weights alone, so everything that is known without learning is computed and kept once; their
recurrences lie side by side in the state, as further layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.forecaster import Forecaster, Tracked


class Ensemble(nn.Module):
    """The mean of forecasters; raises ValueError where they are of different architectures."""

    def __init__(self, members: Sequence[Forecaster]) -> None:
        super().__init__()
        self.architecture = members[0].architecture
        if any(member.architecture != self.architecture for member in members):
            raise ValueError("the members of an ensemble have different architectures; fit them on the same data")
        self.members = nn.ModuleList(members)

    def track(self, values: Tensor) -> Tracked:
        """As `Forecaster.track`."""
        tracked: Tracked = self.members[0].track(values)  # type: ignore[operator]  # a ModuleList forgets what it holds
        return tracked

    def forward(self, tracked: Tracked, time: Tensor, covariates: Tensor) -> Tensor:
        """Outputs of the members' recurrences side by side, (T, R, members·N)."""
        return torch.cat([member(tracked, time, covariates) for member in self.members], 2)

    def forecast(self, outputs: Tensor, origin: Tracked, time: Tensor, future_covariates: Tensor) -> Tensor:
        """As `Forecaster.forecast`, from the outputs of all members (R, members·N); the mean is what does not go below zero."""
        parts = zip(self.members, outputs.chunk(len(self.members), 1), strict=True)
        found = [member.unbounded(part, origin, time, future_covariates) for member, part in parts]  # type: ignore[operator]
        quantiles: Tensor = self.members[0].floored(torch.stack(found).mean(0), origin)  # type: ignore[operator]
        return quantiles


AnyForecaster = Forecaster | Ensemble


def weights_of(forecaster: AnyForecaster) -> list[dict[str, Tensor]]:
    """The weights of each member, of which a single forecaster is one."""
    members = forecaster.members if isinstance(forecaster, Ensemble) else [forecaster]
    return [member.state_dict() for member in members]
