"""An ensemble is fitted member by member, and can be taken up again within any of them."""

import copy

import torch

from model.ensemble import Ensemble
from tests.training.test_fit import config, panel
from training.ensemble import EnsembleFit, begin
from training.loop import Fit


def weights(forecaster):
    return torch.cat([w.flatten() for w in forecaster.parameters()])


def test_members_are_what_fits_with_the_same_seeds_would_be():
    together = begin(*panel(), config(ensemble=2, seed=3))
    course = list(together)
    assert [progress.step for progress in course] == list(range(1, 9))
    assert {progress.steps for progress in course} == {8}
    for member, seed in zip(together.best().members, (3, 4), strict=True):
        alone = Fit(*panel(), config(seed=seed))
        for _ in alone:
            pass
        assert torch.equal(weights(member), weights(alone.best()))


def test_one_member_is_an_ordinary_fit():
    assert isinstance(begin(*panel(), config()), Fit)


def test_an_ensemble_taken_up_again_ends_where_it_would_have():
    whole = EnsembleFit(*panel(), config(ensemble=2))
    for _ in whole:
        pass
    first = iter(part := EnsembleFit(*panel(), config(ensemble=2)))
    for _ in range(6):
        next(first)
    again = EnsembleFit(*panel(), config(ensemble=2))
    again.restore(copy.deepcopy(part.checkpoint()))
    assert [progress.step for progress in again] == [7, 8]
    assert torch.equal(weights(again.best()), weights(whole.best()))
    assert again.best_loss == whole.best_loss


def test_an_ensemble_that_is_stopped_has_the_members_that_were_begun():
    fit = EnsembleFit(*panel(), config(ensemble=3))
    course = iter(fit)
    for _ in range(6):
        next(course)
    fit.judge()
    assert isinstance(fit.best(), Ensemble)
    assert len(fit.best().members) == 2
    assert 0.3 < fit.done < 0.7


def test_a_budget_is_for_all_members():
    fit = EnsembleFit(*panel(), config(ensemble=3, budget="9s"))
    assert fit.current.config.budget == 3
