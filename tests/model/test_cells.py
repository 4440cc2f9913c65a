"""The cells compute what their papers say, and their fast training code has the right gradients."""

import numpy as np
import pytest
import torch

from model.cells import CELLS, GRU
from model.kernel import SMALL, ChoGRU, one_thread
from model.recurrences import Recurrence

T, B, INPUTS, N = 7, 3, 5, 4


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def published_gru(x, W, U, b):
    """Cho et al. 2014, eq. 5-8, one line an equation; gates z, r, candidate."""
    W_z, W_r, W_h = np.split(W, 3, axis=1)
    U_z, U_r, U_h = np.split(U, 3, axis=1)
    b_z, b_r, b_h = np.split(b, 3)
    h, outputs = np.zeros((x.shape[1], N)), []
    for x_t in x:
        r = sigmoid(x_t @ W_r + h @ U_r + b_r)
        z = sigmoid(x_t @ W_z + h @ U_z + b_z)
        c = np.tanh(x_t @ W_h + (r * h) @ U_h + b_h)
        h = z * h + (1 - z) * c
        outputs.append(h)
    return np.stack(outputs)


@pytest.fixture
def x():
    return torch.from_numpy(np.random.default_rng(1).standard_normal((T, B, INPUTS))).float()


def built(name, seed=0):
    torch.manual_seed(seed)
    cell = CELLS[name](INPUTS, N)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return cell


def test_the_gru_is_the_published_one(x):
    cell = built("gru")
    W, U, b = (p.detach().double().numpy() for p in (cell.W, cell.U, cell.b))
    np.testing.assert_allclose(cell(x).detach(), published_gru(x.double().numpy(), W, U, b), atol=1e-6)


def test_the_reset_gate_acts_before_the_product_in_one_and_after_it_in_the_other(x):
    before, after = built("gru"), built("gru-reset-after")
    after.load_state_dict(before.state_dict() | {"b_recurrent": torch.zeros(3 * N)})
    assert not torch.allclose(before(x), after(x), atol=1e-3)


@pytest.mark.parametrize("name", CELLS)
def test_serving_steps_as_training_runs(name, x):
    cell = built(name)
    recurrence = Recurrence.of(name, {key: w.detach().numpy() for key, w in cell.state_dict().items()}, "")
    outputs, _ = recurrence.sequence(x.numpy(), np.zeros((B, cell.vectors * N), np.float32))
    np.testing.assert_allclose(outputs, cell(x).detach(), atol=1e-6)


@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_that_goes_on_from_a_state_is_served_as_it_is_trained(name, x):
    cell = built(name)
    recurrence = Recurrence.of(name, {key: w.detach().numpy() for key, w in cell.state_dict().items()}, "")
    start = torch.rand(B, cell.vectors * N, generator=torch.Generator().manual_seed(2)) * 2 - 1
    outputs, _ = recurrence.sequence(x.numpy(), start.numpy())
    np.testing.assert_allclose(outputs, cell(x, start).detach(), atol=1e-6)
    assert not np.allclose(outputs[0], cell(x)[0].detach(), atol=1e-3)


@pytest.mark.parametrize("name", [name for name in CELLS if name != "rnn"])
def test_gates_explain_the_outputs(name, x):
    cell = built(name)
    recurrence = Recurrence.of(name, {key: w.detach().numpy() for key, w in cell.state_dict().items()}, "")
    start = np.zeros((B, cell.vectors * N), np.float32)
    outputs, _ = recurrence.sequence(x.numpy(), start)
    update, reset = recurrence.gates(x.numpy(), outputs, start)
    assert update.shape == reset.shape == (T, B, N)
    assert ((update > 0) & (update < 1) & (reset > 0) & (reset < 1)).all()


def test_the_hand_written_backward_is_the_gradient():
    torch.manual_seed(0)
    inputs = [
        torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        for shape in ((T, B, INPUTS), (INPUTS, 3 * N), (N, 3 * N), (3 * N,))
    ]
    start = torch.rand(B, N, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *given: ChoGRU.apply(*given, start), inputs)


def test_a_plain_network_has_no_gates_and_looks_at_all_of_the_past(x):
    cell = built("rnn")
    recurrence = Recurrence.of("rnn", {key: w.detach().numpy() for key, w in cell.state_dict().items()}, "")
    start = np.zeros((B, N), np.float32)
    update, reset = recurrence.gates(x.numpy(), cell(x).detach().numpy(), start)
    assert update.shape == reset.shape == (T, B, N)
    assert (update == 0).all()
    assert (reset == 1).all()


def test_the_kernel_gives_back_the_threads_that_it_takes_away(x):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread(SMALL):
            assert torch.get_num_threads() == 1
        with one_thread(SMALL + 1):
            assert torch.get_num_threads() == 2
        built("gru")(x).sum().backward()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_a_fresh_gru_leans_towards_remembering():
    assert (GRU(INPUTS, N).b[:N] == 1).all()
