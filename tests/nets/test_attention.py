"""Attention by two routes: the formula, torch's kernels and torch's own layers with copied weights."""

import pytest
import torch
from torch import nn

from dlcli.errors import ConfigError
from dlcli.nets.attention import Block, Cache, MultiHead, attend, attention_weights
from dlcli.nets.positions import Positions, rotate, sinusoids

EXACT = {"atol": 1e-6, "rtol": 0}


def heads(*shape):
    return tuple(torch.randn(*shape) for _ in range(3))


def test_the_lecture_s_numbers_scaled_scores():
    """112 and 96 by the root of 64 are 14 and 12, whose softmax is 0.88 and 0.12; unscaled it would be 1 and 0."""
    query = torch.full((1, 1, 1, 64), 1.0)
    key = torch.stack([torch.full((64,), 112 / 64), torch.full((64,), 96 / 64)])[None, None]
    weights = attention_weights(query, key).flatten()
    assert weights.tolist() == pytest.approx([0.8808, 0.1192], abs=1e-4)
    assert torch.tensor([112.0, 96.0]).softmax(0)[1].item() == pytest.approx(1.1e-7, rel=0.03)


def test_the_lecture_s_numbers_look_ahead_mask():
    scores = torch.tensor([[0.5, 0.3, 0.1], [0.3, 0.6, 0.2], [0.1, 0.2, 0.3]])
    weights = attention_weights(scores[None, None] * 3**0.5, torch.eye(3)[None, None], causal=True)[0, 0]
    expected = [[1, 0, 0], [0.4256, 0.5744, 0], [0.3006, 0.3322, 0.3672]]
    assert torch.allclose(weights, torch.tensor(expected), atol=5e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("steps", "keys"), [(6, 6), (2, 6), (1, 6)])
def test_the_formula_equals_torch_s_kernel(causal, padded, steps, keys):
    torch.manual_seed(0)
    query, (key, value, _) = torch.randn(3, 2, steps, 8), heads(3, 2, keys, 8)
    mask = torch.arange(keys) < torch.tensor([[6], [5], [5]]) if padded else None
    by_formula = attention_weights(query, key, mask, causal) @ value
    assert torch.allclose(attend(query, key, value, mask, causal), by_formula, **EXACT)
    weights = attention_weights(query, key, mask, causal)
    assert torch.allclose(weights.sum(-1), torch.ones(()), **EXACT)
    if causal:  # the last query sees every key, the first of them the keys up to its own place
        assert weights[0, 0, 0, keys - steps + 1 :].eq(0).all()
    if padded:
        assert weights[1:, :, :, 5].eq(0).all()


def twin(width=16, count=4, bias=True):
    theirs = nn.MultiheadAttention(width, count, bias=bias, batch_first=True)
    ours = MultiHead(width=width, heads=count, bias=bias)
    nn.init.normal_(theirs.out_proj.weight)
    copy_attention(theirs, ours)
    return ours, theirs


@torch.no_grad()
def copy_attention(theirs, ours):
    ours.inputs.weight.copy_(theirs.in_proj_weight)
    ours.output.weight.copy_(theirs.out_proj.weight)
    if ours.inputs.bias is not None:
        nn.init.normal_(theirs.in_proj_bias)
        nn.init.normal_(theirs.out_proj.bias)
        ours.inputs.bias.copy_(theirs.in_proj_bias)
        ours.output.bias.copy_(theirs.out_proj.bias)


@pytest.mark.parametrize("bias", [True, False])
def test_many_heads_equal_torch_with_copied_weights(bias):
    torch.manual_seed(1)
    ours, theirs = twin(bias=bias)
    x, source = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    close = {"atol": 2e-6, "rtol": 0}
    found, weights = theirs(x, x, x, average_attn_weights=False)
    assert torch.allclose(ours(x), found, **close)
    assert torch.allclose(ours.weights(x), weights, **close)
    ahead = torch.ones(5, 5, dtype=torch.bool).triu(1)
    assert torch.allclose(ours(x, causal=True), theirs(x, x, x, attn_mask=ahead)[0], **close)
    found, weights = theirs(x, source, source, key_padding_mask=~mask, average_attn_weights=False)
    assert torch.allclose(ours(x, source, mask), found, **close)
    assert torch.allclose(ours.weights(x, source, mask), weights, **close)


def test_in_cross_attention_the_decoder_asks_and_the_encoder_answers():
    """One lecture slide has it the other way round; then the output would have a row for each source token."""
    net = MultiHead(width=8, heads=2)
    x, source = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    assert net(x, source).shape == (1, 3, 8)
    assert net.weights(x, source).shape == (1, 2, 3, 5)
    query, key, _ = net.project(x, source, None)
    weight, bias = net.inputs.weight, net.inputs.bias
    assert torch.allclose(query, net.split(x @ weight[:8].T + bias[:8]), **EXACT)
    assert torch.allclose(key, net.split(source @ weight[8:16].T + bias[8:16]), **EXACT)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_block_equals_torch_s_encoder_layer_with_copied_weights(norm, activation):
    torch.manual_seed(2)
    theirs = nn.TransformerEncoderLayer(
        16, 4, 32, dropout=0.0, activation=activation, norm_first=norm == "pre", batch_first=True
    )
    ours = Block(width=16, heads=4, hidden=32, norm=norm, activation=activation)
    copy_attention(theirs.self_attn, ours.attention)
    ours.perceptron[0].load_state_dict(theirs.linear1.state_dict())
    ours.perceptron[2].load_state_dict(theirs.linear2.state_dict())
    for mine, their in zip(ours.norms, (theirs.norm1, theirs.norm2), strict=True):
        nn.init.normal_(their.weight)
        mine.load_state_dict(their.state_dict())
    x, mask = torch.randn(2, 6, 16), torch.arange(6) < torch.tensor([[6], [3]])
    real = mask[..., None]
    theirs_out = theirs(x, src_key_padding_mask=~mask)
    assert torch.allclose(ours(x, mask) * real, theirs_out * real, atol=5e-6, rtol=0)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


def test_a_block_with_cross_attention_equals_torch_s_decoder_layer():
    torch.manual_seed(3)
    theirs = nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
    ours = Block(width=16, heads=4, hidden=32, norm="post", activation="relu", cross=True)
    copy_attention(theirs.self_attn, ours.attention)
    copy_attention(theirs.multihead_attn, ours.cross)
    ours.perceptron[0].load_state_dict(theirs.linear1.state_dict())
    ours.perceptron[2].load_state_dict(theirs.linear2.state_dict())
    x, source = torch.randn(2, 4, 16), torch.randn(2, 6, 16)
    mask = torch.arange(6) < torch.tensor([[6], [3]])
    ahead = torch.ones(4, 4, dtype=torch.bool).triu(1)
    expected = theirs(x, source, tgt_mask=ahead, memory_key_padding_mask=~mask)
    assert torch.allclose(ours(x, None, True, source, mask), expected, atol=5e-6, rtol=0)


@pytest.mark.parametrize("positions", [None, "rotary"])
@pytest.mark.parametrize("cross", [False, True])
def test_token_by_token_with_a_cache_gives_what_all_at_once_gives(positions, cross):
    torch.manual_seed(4)
    block = Block(width=16, heads=2, cross=cross, positions=positions)
    x, source = torch.randn(2, 7, 16), torch.randn(2, 5, 16) if cross else None
    mask = torch.arange(5) < torch.tensor([[5], [3]]) if cross else None
    whole = block(x, causal=True, source=source, source_mask=mask)
    cache = Cache()
    steps = [block(x[:, t : t + 1], None, True, source, mask, cache) for t in range(7)]
    assert cache.length == 7
    assert torch.allclose(torch.cat(steps, dim=1), whole, **EXACT)
    cache = Cache()
    halves = [block(part, None, True, source, mask, cache) for part in x.split(4, dim=1)]
    assert torch.allclose(torch.cat(halves, dim=1), whole, **EXACT)
    turned = cache.rows(torch.tensor([1, 0]))
    assert torch.equal(turned.key, cache.key.flip(0))
    assert not cross or torch.equal(turned.source.value, cache.source.value.flip(0))
    forked = cache.fork()
    forked.extend(cache.key, cache.value)
    assert (forked.length, cache.length) == (14, 7)


def test_rotary_scores_depend_on_distances_alone():
    torch.manual_seed(5)
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    scores = [(rotate(query, start + 3) * rotate(key, start)).sum().item() for start in (0, 1, 50)]
    assert scores == pytest.approx([scores[0]] * 3, abs=1e-5)
    assert (rotate(query, 4) * rotate(key, 0)).sum().item() != pytest.approx(scores[0], abs=1e-3)
    assert rotate(query, 7).norm().item() == pytest.approx(query.norm().item(), abs=1e-5)
    pair = rotate(torch.tensor([[[[1.0, 0.0]]]]), 2)[0, 0, 0]  # base^0: one radian a step
    assert pair.tolist() == pytest.approx([torch.cos(torch.tensor(2.0)).item(), torch.sin(torch.tensor(2.0)).item()])


def test_sinusoids_are_those_of_the_paper():
    table = sinusoids(50, 8)
    for t, i in ((0, 0), (3, 1), (49, 3)):
        angle = torch.tensor(t / 10_000 ** (2 * i / 8))
        assert table[t, 2 * i].item() == pytest.approx(angle.sin().item(), abs=1e-6)
        assert table[t, 2 * i + 1].item() == pytest.approx(angle.cos().item(), abs=1e-6)
    assert sinusoids(4, 5).shape == (4, 5)


def test_positions_by_kind():
    x = torch.zeros(1, 3, 8)
    assert torch.equal(Positions(kind="sinusoidal", context=9, width=8)(x, 2)[0], sinusoids(9, 8)[2:5])
    learned = Positions(kind="learned", context=9, width=8)
    assert torch.equal(learned(x, 2)[0], learned.table[2:5])
    assert learned.table.requires_grad
    for kind in ("none", "rotary"):
        silent = Positions(kind=kind, context=9, width=8)
        assert torch.equal(silent(x), x)
        assert not list(silent.parameters())
    assert not Positions(kind="sinusoidal", context=9, width=8).state_dict()
    with pytest.raises(ConfigError, match="10 tokens given to a net for at most 9"):
        learned(x, 7)


def test_mistakes_are_told():
    with pytest.raises(ConfigError, match="heads=3 do not divide width=8"):
        MultiHead(width=8, heads=3)
    with pytest.raises(ConfigError, match="width=6 / heads=2 is odd"):
        MultiHead(width=6, heads=2, positions="rotary")
    with pytest.raises(ConfigError, match="unknown norm of a block 'between'"):
        Block(width=8, heads=2, norm="between")
