"""Cells are compared under equal conditions, and what is found can be read as text, page and document."""

import json

import pytest
import torch

from tests.training.conftest import rows, start
from tests.training.test_fit import config, panel
from training.compare import adding, race
from training.compare.contestants import TITLES, contestants, learn
from training.config import FitConfig
from training.options import COMPARED_ALIKE, Comparison, parse

ASKED = ("compare", "--target", "load", "--horizon", "6", "--series", "site")
SMALL = ("--units", "8", "--window", "48", "--burn-in", "24", "--steps", "60", "--probe-steps", "25", "--seeds", "2")
NAMED = ("--data", "a.csv", "--target", "y", "--horizon", "1")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What a short comparison with two seeds prints and writes."""
    place = tmp_path_factory.mktemp("comparison")
    (place / "history.csv").write_text("\n".join(rows()) + "\n")
    program = start(*ASKED, *SMALL, "--data", place / "history.csv", "--report", place)
    said, complaint = program.communicate(timeout=110)
    assert program.returncode == 0, complaint
    page = (place / "comparison.html").read_text()
    return said, page, json.loads((place / "comparison.json").read_text())


def test_every_cell_is_fitted_alike_and_judged(found):
    said, _, document = found
    assert [row["cell"] for row in document["cells"]] == list(TITLES)
    for row in document["cells"]:
        assert [course["steps"] for course in row["courses"]] == [[50, 60]] * 2
        assert all(0 < wql < 1 for wql in row["wql"])
        assert row["wql"][0] != row["wql"][1]  # another seed is another fit
        assert all(
            seconds <= course["seconds"][-1]
            for seconds, course in zip(row["best_seconds"], row["courses"], strict=True)
        )
        assert all(one["observation_us"] < one["forecast_us"] for one in row["latency"])
        assert row["title"] in said


def test_sizes_are_those_of_the_cells(found):
    _, _, document = found
    I, N = 64, 8  # noqa: E741 - the letters of the formula
    gate = I * N + N * N + N
    sizes = {row["cell"]: (row["cell_parameters"], row["hidden_floats"]) for row in document["cells"]}
    assert sizes == {
        "gru": (3 * gate, N),
        "gru-reset-after": (3 * gate + 3 * N, N),
        "lstm": (4 * gate, 2 * N),
        "rnn": (gate, N),
    }


def test_the_page_needs_no_network_and_shows_every_cell(found):
    _, page, document = found
    assert "http" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "").replace(
        'xmlns:xlink="http://www.w3.org/1999/xlink"', ""
    )
    assert page.count("<svg") == 3
    assert all(row["title"] in page for row in document["cells"])


def test_all_attempts_and_runners_are_in_the_document(found):
    _, _, document = found
    attempts = {(one["cell"], one["length"]) for one in document["adding"]["attempts"]}
    assert attempts == {(cell, length) for cell in TITLES for length in adding.LENGTHS}
    assert set(document["kernel"]["milliseconds"]) == {"ours", "torch.nn.GRU", "torch.nn.LSTM"}
    assert all(ratio > 0 for ratio in document["kernel"]["ratios"].values())


def test_a_contestant_learns_what_it_would_alone():
    competing = contestants(*panel(), config(steps=3), seed=5)
    assert list(learn(competing)) == [3]
    alone = contestants(*panel(), config(steps=3), seed=5)[2]
    assert list(learn([alone])) == [3]
    for ours, theirs in zip(competing[2].fit.averaged.parameters(), alone.fit.averaged.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_adding_problem_asks_for_the_sum_of_one_value_of_each_half():
    x, sums = adding.sequences(51, 400, torch.Generator().manual_seed(0))
    values, marks = x.unbind(2)
    assert (marks[:25].sum(0) == 1).all()
    assert (marks[25:].sum(0) == 1).all()
    assert torch.equal((values * marks).sum(0), sums)
    assert ((sums - 1) ** 2).mean() == pytest.approx(adding.BASELINE, rel=0.15)


def test_a_gru_solves_a_short_adding_problem_and_then_stops():
    attempt = adding.attempt("gru", 10, 2_000, seed=0)
    assert attempt.solved_at < 1_000
    assert list(attempt.error)[-1] < 2_000
    assert attempt.best < adding.STOP


def test_an_attempt_ends_with_its_steps():
    attempt = adding.attempt("rnn", 50, 2 * adding.EVALUATE_EVERY, seed=0)
    assert list(attempt.error) == [adding.EVALUATE_EVERY, 2 * adding.EVALUATE_EVERY]
    assert attempt.solved_at is None


def test_a_race_leaves_the_threads_as_they_were():
    threads = torch.get_num_threads()
    raced = race.race(5, 2, 3, 4, rounds=2)
    assert torch.get_num_threads() == threads
    assert all(forward > 0 and backward > 0 for forward, backward in raced.milliseconds.values())


def test_a_comparison_takes_the_options_of_a_fit_that_mean_something_to_it():
    request = parse(["compare", *NAMED, "--steps", "7", "--seeds", "3"])
    assert isinstance(request, Comparison)
    assert (request.config.steps, request.seeds, request.probe_steps) == (7, 3, 1000)
    for field in COMPARED_ALIKE:
        assert field in FitConfig.model_fields


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cell", "lstm"), "unknown option '--cell'"),
        (("--seeds", "0"), "--seeds: must be a whole number from 1 on; got '0'"),
        (("--probe-steps", "many"), "--probe-steps: must be a whole number from 0 on; got 'many'"),
        (("--report", __file__), f"{__file__}: cannot be written (File exists); name another --report"),
    ],
)
def test_an_option_that_a_comparison_cannot_use_is_named(options, said, history):
    program = start(*ASKED, "--data", history, *options)
    _, complaint = program.communicate(timeout=60)
    assert program.returncode == 2
    assert complaint.startswith(f"python -m training: {said}")
    assert complaint.count("\n") == 1
