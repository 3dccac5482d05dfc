"""Recurrent cells by two routes: our equations against torch's kernels and against the formulas written out."""

import pytest
import torch
from torch import nn

from dlcli.errors import ConfigError
from dlcli.nets.recurrent import Recurrent

TWINS = {"vanilla": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def parts(state):
    return [state] if isinstance(state, torch.Tensor) else list(state)


def close(a, b, tolerance=1e-6):
    return all(torch.allclose(x, y, atol=tolerance, rtol=0) for x, y in zip(parts(a), parts(b), strict=True))


@pytest.mark.parametrize("cell", TWINS)
@pytest.mark.parametrize(("depth", "both"), [(1, False), (2, True)])
def test_our_equations_equal_torch_with_copied_weights(cell, depth, both):
    torch.manual_seed(0)
    twin = TWINS[cell](5, 7, depth, batch_first=True, bidirectional=both)
    ours = Recurrent(cell=cell, inputs=5, width=7, depth=depth, bidirectional=both, fused=False)
    ours.layers.load_state_dict(twin.state_dict())
    x = torch.randn(3, 9, 5, requires_grad=True)
    start = torch.randn(depth * (1 + both), 3, 7)
    state = (start, start.flip(0)) if cell == "lstm" else start
    for given in (None, state):
        (mine, end), (theirs, their_end) = ours(x, given), twin(x, given)
        assert close(mine, theirs)
        assert close(end, their_end)
        slopes = [torch.autograd.grad(y.square().sum(), x)[0] for y in (mine, theirs)]
        assert close(*slopes, 1e-5)


@pytest.mark.parametrize("cell", TWINS)
@pytest.mark.parametrize("both", [False, True])
def test_lengths_leave_out_the_padding_on_both_routes(cell, both):
    torch.manual_seed(1)
    fused = Recurrent(cell=cell, inputs=4, width=6, depth=2, bidirectional=both)
    ours = Recurrent(cell=cell, inputs=4, width=6, depth=2, bidirectional=both, fused=False)
    ours.load_state_dict(fused.state_dict())
    x, lengths = torch.randn(4, 8, 4), torch.tensor([8, 3, 0, 5])
    (mine, end), (theirs, their_end) = ours(x, None, lengths), fused(x, None, lengths)
    assert close(mine, theirs)
    assert close(end, their_end)
    assert mine[1, 3:].eq(0).all()
    alone, alone_end = fused(x[1:2, :3])
    assert close(mine[1:2, :3], alone)
    assert close([p[:, 1:2] for p in parts(end)], parts(alone_end))


@pytest.mark.parametrize("cell", [*TWINS, "gru_lecture"])
@pytest.mark.parametrize("skip", [0, 3])
def test_a_text_in_two_halves_gives_what_it_gives_whole(cell, skip):
    torch.manual_seed(2)
    net = Recurrent(cell=cell, inputs=4, width=5, depth=2, skip=skip)
    x = torch.randn(2, 10, 4)
    whole, end = net(x)
    first, state = net(x[:, :4])
    second, last = net(x[:, 4:], state)
    assert close(torch.cat((first, second), dim=1), whole)
    assert close(end, last)
    assert close(net.start(2), [p * 0 for p in parts(end)] if len(parts(end)) > 1 else end * 0)


def test_the_lecture_writes_the_gate_of_the_gru_the_other_way_round():
    """With r = 1 everywhere the two forms differ only in the sign of z."""
    torch.manual_seed(3)
    torchs, lectures = (Recurrent(cell=cell, inputs=3, width=4, fused=False) for cell in ("gru", "gru_lecture"))
    with torch.no_grad():
        for name, weight in torchs.layers.named_parameters():
            if "bias" in name:
                weight[:4] = 30.0  # the reset gate is open
            twin = lectures.layers.get_parameter(name)
            twin.copy_(weight)
            twin[4:8] = -weight[4:8]
    x = torch.randn(2, 6, 3)
    assert close(torchs(x)[0], lectures(x)[0])
    plain = Recurrent(cell="gru", inputs=3, width=4, fused=False)
    plain.load_state_dict(lectures.state_dict())
    assert not close(plain(x)[0], lectures(x)[0], 1e-3)


def test_the_lecture_s_gru_by_hand():
    net = Recurrent(cell="gru_lecture", inputs=1, width=1)
    values = {"weight_ih_l0": [0.5, -1.0, 2.0], "weight_hh_l0": [1.5, 0.25, -0.75]}
    with torch.no_grad():
        for name, numbers in values.items():
            net.layers.get_parameter(name).copy_(torch.tensor(numbers)[:, None])
        net.layers.bias_ih_l0.zero_()
        net.layers.bias_hh_l0.zero_()
    x, h = 0.8, 0.3
    r = torch.tensor(0.5 * x + 1.5 * h).sigmoid()
    z = torch.tensor(-1.0 * x + 0.25 * h).sigmoid()
    new = torch.tanh(2.0 * x - 0.75 * (r * h))
    expected = (1 - z) * h + z * new
    found, _ = net(torch.tensor([[[x]]]), torch.tensor([[[h]]]))
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_lecture_s_shapes_of_a_deep_gru_in_both_directions():
    net = Recurrent(cell="gru", inputs=64, width=256, depth=4, bidirectional=True)
    outputs, state = net(torch.randn(2, 5, 64))
    assert outputs.shape == (2, 5, 512)
    assert state.shape == (8, 2, 256) == net.start(2).shape
    assert net.last(state).shape == (2, 512) == (2, net.outputs)
    assert torch.equal(net.last(state)[:, :256], outputs[:, -1, :256])
    assert torch.equal(net.last(state)[:, 256:], outputs[:, 0, 256:])


def test_a_skip_reads_the_state_of_so_many_steps_ago():
    torch.manual_seed(4)
    net = Recurrent(cell="vanilla", inputs=2, width=3, skip=2)
    x = torch.randn(1, 6, 2)
    w, u = net.layers.weight_ih_l0, net.layers.weight_hh_l0
    bias = net.layers.bias_ih_l0 + net.layers.bias_hh_l0
    states = [torch.zeros(3), torch.zeros(3)]
    for t in range(6):
        states.append(torch.tanh(w @ x[0, t] + u @ (states[-1] + states[-2]) + bias))
    assert close(net(x)[0][0], torch.stack(states[2:]))


def test_a_gated_cell_and_a_skip_carry_the_gradient_further_than_a_plain_one():
    def reach(cell, skip=0):
        torch.manual_seed(5)
        net = Recurrent(cell=cell, inputs=8, width=32, skip=skip)
        x = torch.randn(16, 60, 8, requires_grad=True)
        (slope,) = torch.autograd.grad(net(x)[0][:, -1].sum(), x)
        norms = slope.norm(dim=-1).mean(0)
        return (norms[0] / norms[-1]).item()

    assert reach("vanilla") < reach("gru")
    assert reach("vanilla") < reach("vanilla", skip=5)


def test_dropout_lies_between_the_layers_and_only_there():
    torch.manual_seed(6)
    x = torch.randn(2, 5, 4)
    for fused in (True, False):
        deep = Recurrent(cell="gru", inputs=4, width=8, depth=2, dropout=0.5, fused=fused)
        assert not torch.equal(deep(x)[0], deep(x)[0])
        assert torch.equal(deep.eval()(x)[0], deep(x)[0])
        flat = Recurrent(cell="gru", inputs=4, width=8, dropout=0.5, fused=fused)
        assert torch.equal(flat(x)[0], flat(x)[0])


def test_mistakes_are_told():
    with pytest.raises(ConfigError, match=r"did you mean 'lstm'.*vanilla, lstm, gru, gru_lecture"):
        Recurrent(cell="lstn", inputs=2, width=2)
    with pytest.raises(ConfigError, match="skip=1: a step sees the last state anyway"):
        Recurrent(cell="gru", inputs=2, width=2, skip=1)


@pytest.mark.parametrize(("cell", "names"), [("lstm", "write keep show"), ("gru", "reset stay"), ("vanilla", "")])
def test_gates_are_those_of_the_last_layer_read_forwards(cell, names):
    torch.manual_seed(3)
    net, x = Recurrent(cell=cell, inputs=4, width=5, depth=2, bidirectional=True), torch.randn(2, 6, 4)
    found = net.gates(x)
    assert list(found) == names.split()
    assert all(share.shape == (2, 6, 5) and 0 < share.min() < share.max() < 1 for share in found.values())
    if cell == "gru":  # with the gate known, the step is known
        below = net.layers.__class__(4, 5, batch_first=True, bidirectional=True)
        below.load_state_dict({n: p for n, p in net.layers.state_dict().items() if "l0" in n})
        middle, outputs = below(x)[0], net(x)[0][..., :5]
        before = torch.cat((torch.zeros(2, 1, 5), outputs[:, :-1]), 1)
        weights = net.layers
        into = middle @ weights.weight_ih_l1.T + weights.bias_ih_l1
        read = before @ weights.weight_hh_l1.T + weights.bias_hh_l1
        new = (into[..., 10:] + found["reset"] * read[..., 10:]).tanh()
        torch.testing.assert_close((1 - found["stay"]) * new + found["stay"] * before, outputs, atol=1e-6, rtol=1e-5)
