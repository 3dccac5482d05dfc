"""Nets that translate: the formulas written out, torch's twins, padding, and one token at a time."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlcli.errors import ConfigError
from dlcli.nets.attention import attention_weights
from dlcli.nets.seq2seq import Seq2Seq, backwards
from dlcli.nets.transformer import Transformer

X = torch.tensor([[5, 6, 7, 8, 9], [4, 3, 7, 0, 0], [9, 0, 0, 0, 0]])
Y = torch.tensor([[1, 5, 6, 7], [1, 8, 2, 0], [1, 4, 4, 2]])


def recurrent(**options) -> Seq2Seq:
    torch.manual_seed(0)
    return Seq2Seq(**{"vocab": 9, "source_vocab": 10, "width": 8, **options}).eval()


def transformer(**options) -> Transformer:
    torch.manual_seed(0)
    sizes = {"vocab": 9, "source_vocab": 10, "width": 8, "heads": 2, "hidden": 16, "depth": 2}
    return Transformer(**{**sizes, **options}).eval()


NETS = {
    "gru": lambda: recurrent(),
    "lstm, two layers": lambda: recurrent(cell="lstm", depth=2),
    "one way": lambda: recurrent(bidirectional=False, attention="dot"),
    "constant": lambda: recurrent(bidirectional=False, attention="constant"),
    "constant, both ways": lambda: recurrent(cell="lstm", attention="constant"),
    "none": lambda: recurrent(cell="lstm", bidirectional=False, attention="none", depth=2),
    "bilinear": lambda: recurrent(attention="bilinear"),
    "cosine": lambda: recurrent(attention="cosine"),
    "mlp": lambda: recurrent(attention="mlp"),
    "lecture's gru": lambda: recurrent(cell="gru_lecture"),
    "one vocabulary": lambda: recurrent(vocab=10, source_vocab=None),
    "transformer": lambda: transformer(),
    "transformer, pre": lambda: transformer(norm="pre"),
    "transformer, one vocabulary": lambda: transformer(vocab=10, source_vocab=None),
}


@pytest.fixture(params=NETS)
def net(request):
    return NETS[request.param]()


def test_token_by_token_is_the_same_as_all_at_once(net):
    source, state, steps = net.encode(X), None, []
    for word in Y.split(1, dim=1):
        logits, state = net.decode(word, source, state)
        steps.append(logits)
    assert torch.allclose(torch.cat(steps, dim=1), net.decode(Y, source)[0], atol=1e-5)


def test_what_follows_the_end_of_a_source_changes_nothing(net):
    for p in net.parameters():
        nn.init.normal_(p, std=0.2)  # the vector of the padding too
    together = net.decode(Y, net.encode(X))[0]
    for i, length in enumerate((5, 3, 1)):
        alone = net.decode(Y[i : i + 1], net.encode(X[i : i + 1, :length]))[0]
        assert torch.allclose(together[i : i + 1], alone, atol=1e-5)


def test_nothing_is_known_of_the_tokens_to_come(net):
    source, other = net.encode(X), Y.clone()
    other[:, 2:] = 3
    assert torch.allclose(net.decode(Y, source)[0][:, :2], net.decode(other, source)[0][:, :2], atol=1e-6)


def test_rows_pick_examples_with_all_that_belongs_to_them(net):
    order = torch.tensor([2, 0, 0])
    source = net.encode(X)
    assert torch.allclose(net.decode(Y[order], source.rows(order))[0], net.decode(Y, source)[0][order], atol=1e-5)


def test_attention_is_shared_among_the_real_tokens_of_the_source(net):
    shares = net.attention(Y, net.encode(X))
    if shares is None:
        assert getattr(net, "score", True) is None
        return
    heads = net.decoder[-1].cross.heads if isinstance(net, Transformer) else 1
    assert shares.shape == (3, heads, 4, 5)  # rows ask: the decoder; columns are asked: the encoder
    assert torch.allclose(shares.sum(-1), torch.ones(3, heads, 4))
    assert shares[1, :, :, 3:].eq(0).all()
    assert shares[2, :, :, 0].eq(1).all()
    assert heads == 1 or not torch.allclose(shares[:, 0], shares[:, 1], atol=1e-3)


def test_a_net_without_source_tokens_still_answers(net):
    assert net.decode(Y[:1], net.encode(torch.zeros(1, 3, dtype=torch.long)))[0].isfinite().all()


def test_bahdanaus_step_by_the_formula():
    net = recurrent()
    source = net.encode(X)
    state = source.first[-1]  # (B, D)
    query = net.score.query(state)[:, None]  # (B, 1, D)
    energy = net.score.score((query + net.key(source.outputs)).tanh())[..., 0]
    share = energy.masked_fill(X == 0, -torch.inf).softmax(1)
    context = (share[..., None] * source.outputs).sum(1)
    word = net.embedding(Y[:, 0])
    cell = nn.GRUCell(24, 8)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data = getattr(net.decoder.layers, f"{name}_l0").data
    new = cell(torch.cat((word, context), 1), state)
    logits = net.mix(torch.cat((new, context, word), 1)).tanh() @ net.embedding.weight.T
    assert torch.allclose(net.attention(Y, source)[:, 0, 0], share, atol=1e-6)
    assert torch.allclose(net.decode(Y[:, :1], source)[0][:, 0], logits, atol=1e-6)


def test_an_encoder_of_one_direction_reads_backwards():
    turned = X.gather(1, backwards(torch.tensor([5, 3, 1]), 5))
    assert turned.tolist() == [[9, 8, 7, 6, 5], [7, 3, 4, 0, 0], [9, 0, 0, 0, 0]]
    net = recurrent(bidirectional=False, attention="none")
    _, state = net.encoder.layers(net.reading(turned[:1]))
    assert torch.allclose(net.encode(X).first[:, :1], state, atol=1e-6)


def test_the_form_of_2017_has_the_size_of_the_paper():
    with torch.device("meta"):
        base = Transformer(vocab=37000)
        block = base.encoder[0]
    assert sum(p.numel() for p in base.parameters()) == 63_082_496  # the paper says 65 million
    assert block.attention.heads == 512 // 64 == 8
    assert block.perceptron[0].out_features == 4 * 512 == 2048


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_it_equals_torchs_layers_with_copied_weights(norm):
    net = transformer(norm=norm, dropout=0.0)
    options = {"dropout": 0.0, "batch_first": True, "norm_first": norm == "pre"}
    encoder = [nn.TransformerEncoderLayer(8, 2, 16, **options) for _ in range(2)]
    decoder = [nn.TransformerDecoderLayer(8, 2, 16, **options) for _ in range(2)]
    for ours, theirs in zip([*net.encoder, *net.decoder], [*encoder, *decoder], strict=True):
        copy(ours, theirs)
    pad, hidden = X == 0, net.embed(X, net.reading)
    for layer in encoder:
        hidden = layer(hidden, src_key_padding_mask=pad)
    hidden, written = net.norms[0](hidden), net.embed(Y, net.embedding)
    ahead = torch.ones(4, 4, dtype=torch.bool).triu(1)
    for layer in decoder:
        written = layer(written, hidden, tgt_mask=ahead, memory_key_padding_mask=pad)
    expected = net.norms[1](written) @ net.embedding.weight.T
    assert torch.allclose(net.decode(Y, net.encode(X))[0], expected, atol=1e-5)


def copy(block, layer) -> None:
    """Give torch's layer the weights of a block."""
    pairs = [(block.attention, layer.self_attn), *([(block.cross, layer.multihead_attn)] if block.cross else [])]
    for ours, theirs in pairs:
        theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.inputs.weight.data, ours.inputs.bias.data
        theirs.out_proj.weight.data, theirs.out_proj.bias.data = ours.output.weight.data, ours.output.bias.data
    for ours, theirs in ((block.perceptron[0], layer.linear1), (block.perceptron[2], layer.linear2)):
        theirs.weight.data, theirs.bias.data = ours.weight.data, ours.bias.data


def test_vectors_of_tokens_are_the_weights_of_the_output():
    net = transformer(vocab=10, source_vocab=None)
    source, seen = net.encode(X), []
    net.norms[1].register_forward_hook(lambda _, __, output: seen.append(output))
    logits = net.decode(Y, source)[0]
    assert torch.allclose(logits, F.linear(seen[0], net.embedding.weight))
    assert net.reading is None


def test_the_matrix_of_the_lecture_comes_from_its_scores():
    rows = torch.tensor([[0.8, 0.1, 0.05, 0.05], [0.1, 0.6, 0.2, 0.1], [0.05, 0.2, 0.65, 0.1], [0.2, 0.1, 0.1, 0.6]])
    query, key = 2 * torch.eye(4), rows.log().T  # scores are divided by sqrt(4)
    assert torch.allclose(attention_weights(query, key), rows, atol=1e-6)


def test_unknown_kinds_are_named():
    with pytest.raises(ConfigError, match="unknown attention 'aditive': did you mean 'additive'"):
        recurrent(attention="aditive")
    with pytest.raises(ConfigError, match="unknown norm of a block 'before'"):
        transformer(norm="before")
    with pytest.raises(ConfigError, match="1025 tokens given to a net for at most 1024"):
        transformer().encode(torch.ones(1, 1025, dtype=torch.long))
