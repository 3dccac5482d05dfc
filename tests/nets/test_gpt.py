"""GPT and the recurrent writers: published sizes, cached steps, first weights, padded vocabularies."""

import pytest
import torch

from dlcli.errors import ConfigError
from dlcli.nets.gpt import GPT
from dlcli.nets.writer import ClassWriter, Writer


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_gpt_2_has_the_published_number_of_parameters():
    with torch.device("meta"):
        net = GPT(vocab=50_257, context=1024, width=768, depth=12, heads=12)
    assert count(net) == 124_439_808


def test_gpt_3_has_96_layers_with_heads_of_128():
    """One lecture slide says 12 layers, which would make 21.7 billion in place of 175; 12 is GPT-1's depth."""
    with torch.device("meta"):
        net = GPT(vocab=50_257, context=2048, width=12_288, depth=96, heads=96)
        shallow = GPT(vocab=50_257, context=2048, width=12_288, depth=12, heads=96)
    assert count(net) == pytest.approx(174.6e9, rel=1e-3)
    assert count(shallow) < 23e9
    assert 12_288 // net.blocks[0].attention.heads == 128


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary", "none"])
def test_a_cache_gives_the_same_logits(positions):
    torch.manual_seed(0)
    net = GPT(vocab=11, context=12, width=16, depth=2, heads=2, positions=positions).eval()
    x = torch.randint(11, (3, 12))
    whole, _ = net(x)
    state, found = None, []
    for part in x.split([5, 1, 1, 3, 2], dim=1):
        logits, state = net(part, state)
        found.append(logits)
    assert torch.allclose(torch.cat(found, dim=1), whole, atol=1e-5, rtol=0)
    again, _ = net(x[:, :1], None)
    assert torch.allclose(again, whole[:, :1], atol=1e-5, rtol=0)


def test_a_state_may_be_used_twice():
    torch.manual_seed(0)
    net = GPT(vocab=11, context=12, width=16, depth=2, heads=2).eval()
    x = torch.randint(11, (2, 6))
    _, state = net(x)
    first, _ = net(x[:, :1], state)
    second, _ = net(x[:, :1], state)
    assert torch.equal(first, second)
    assert state[0].length == 6


def test_what_comes_later_changes_nothing_before_it():
    torch.manual_seed(1)
    net = GPT(vocab=11, context=8, width=16, depth=2, heads=2).eval()
    x = torch.randint(11, (1, 8))
    y = x.clone()
    y[0, 5] = (y[0, 5] + 1) % 11
    assert torch.equal(net(x)[0][:, :5], net(y)[0][:, :5])
    assert not torch.equal(net(x)[0][:, 5:], net(y)[0][:, 5:])


def test_first_weights_are_those_of_gpt_2():
    torch.manual_seed(2)
    net = GPT(vocab=1000, context=64, width=128, depth=8, heads=4)
    assert net.embedding.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert net.blocks[3].attention.inputs.weight.std().item() == pytest.approx(0.02, rel=0.02)
    for layer in (net.blocks[3].attention.output, net.blocks[3].perceptron[-1]):
        assert layer.weight.std().item() == pytest.approx(0.02 / 16**0.5, rel=0.02)
        assert layer.bias.eq(0).all()
    logits, _ = net.eval()(torch.randint(1000, (2, 64)))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.randint(1000, (128,)))
    assert loss.item() == pytest.approx(torch.tensor(1000.0).log().item(), abs=0.1)


def test_a_padded_vocabulary_adds_rows_that_are_never_asked():
    net = GPT(vocab=65, context=8, width=16, depth=1, heads=2, multiple=64)
    assert net.embedding.weight.shape == (128, 16)
    logits, _ = net(torch.randint(65, (2, 8)))
    assert logits.shape == (2, 8, 65)
    logits.square().sum().backward()
    assert net.embedding.weight.grad[65:].eq(0).all()
    assert net.embedding.weight.grad[:65].ne(0).any()
    with pytest.raises(ConfigError, match="multiple=0"):
        GPT(vocab=65, context=8, multiple=0)


def test_attention_shares_sum_to_one_and_never_look_ahead():
    net = GPT(vocab=11, context=8, width=16, depth=3, heads=2).eval()
    shares = net.attention(torch.randint(11, (2, 8)))
    assert shares.shape == (2, 3, 2, 8, 8)
    assert torch.allclose(shares.sum(-1), torch.ones(()), atol=1e-6)
    assert shares.triu(1).eq(0).all()


@pytest.mark.parametrize("cell", ["vanilla", "lstm", "gru", "gru_lecture"])
def test_a_writer_step_by_step_gives_what_all_at_once_gives(cell):
    torch.manual_seed(3)
    net = Writer(vocab=11, cell=cell, embedding=6, width=8, depth=2)
    x = torch.randint(11, (3, 7))
    whole, _ = net(x)
    state, found = net.start(3), []
    for part in x.split(1, dim=1):
        logits, state = net(part, state)
        found.append(logits)
    assert torch.allclose(torch.cat(found, dim=1), whole, atol=1e-6)


def test_unit_vectors_read_the_first_layer_as_a_table():
    torch.manual_seed(4)
    hot = Writer(vocab=11, cell="gru", embedding=0, width=8)
    table = Writer(vocab=11, cell="gru", embedding=11, width=8)
    table.load_state_dict(hot.state_dict() | {"embedding.weight": torch.eye(11)})
    x = torch.randint(11, (2, 5))
    assert torch.allclose(hot(x)[0], table(x)[0], atol=1e-6)


def test_tied_weights_are_one_tensor():
    net = Writer(vocab=11, cell="gru", embedding=8, width=8, tied=True)
    assert net.output.weight is net.embedding.weight
    assert count(Writer(vocab=11, cell="gru", embedding=8, width=8)) - count(net) == 88
    with pytest.raises(ConfigError, match="tied needs an embedding as wide as the state: embedding=4, width=8"):
        Writer(vocab=11, embedding=4, width=8, tied=True)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_class_writer_starts_from_its_class(cell):
    torch.manual_seed(5)
    net = ClassWriter(classes=3, vocab=11, cell=cell, embedding=6, width=8, depth=2)
    x, y = torch.randint(11, (2, 5)), torch.tensor([0, 2])
    whole, _ = net(x, None, y)
    first, state = net(x[:, :2], None, y)
    second, _ = net(x[:, 2:], state, y)
    assert torch.allclose(torch.cat((first, second), dim=1), whole, atol=1e-6)
    assert not torch.allclose(net(x, None, y.flip(0))[0], whole, atol=1e-3)
