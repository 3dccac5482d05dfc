"""Encoders: blocks, sets, sparse attention, vision transformer, Conformer and BERT."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlcli.errors import ConfigError
from dlcli.nets.attention import MultiHead, attend
from dlcli.nets.bert import Bert, BertText
from dlcli.nets.bigbird import BigBird, neighbours, pattern, sparse_attend
from dlcli.nets.conformer import Conformer, ConformerBlock, Frames
from dlcli.nets.encoder import Encoder, LectureBlock
from dlcli.nets.layers import Picture
from dlcli.nets.vit import ViT


@pytest.mark.parametrize("block", ["pre", "post", "lecture"])
def test_a_set_in_another_order_gives_the_same_vectors_in_that_order(block):
    net, x, order = (
        Encoder(context=7, width=16, block=block, positions="none").eval(),
        torch.randn(2, 7, 16),
        [*(3, 0, 6, 1, 5, 2, 4)],
    )
    torch.testing.assert_close(net(x[:, order]), net(x)[:, order], atol=1e-6, rtol=1e-5)
    placed = Encoder(context=7, width=16, block=block).eval()
    assert (placed(x[:, order]) - placed(x)[:, order]).abs().max() > 1e-3


def test_the_lectures_block_refuses_what_it_cannot_follow():
    for options in ({"positions": "rotary"}, {"hidden": 8}):
        with pytest.raises(ConfigError, match=r"use positions=learned and hidden=0, or block=post"):
            Encoder(context=7, width=16, block="lecture", **options)


def test_the_lectures_encoder_layer_is_its_formula():
    block, x = LectureBlock(width=8, heads=4).eval(), torch.randn(2, 5, 8)
    heads = MultiHead(width=8, heads=4)
    theirs = block.attention
    maps = [m(x) for m in (block.query, block.key, block.value)]
    query, key, value = (
        heads.split(F.linear(m, w, b))
        for m, w, b in zip(maps, theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3), strict=True)
    )
    found = theirs.out_proj(attend(query, key, value).transpose(1, 2).flatten(2))  # the tensor, not torch's pair
    once = block.norm(block.input(x) + found)
    torch.testing.assert_close(block(x), block.norm(once + block.think(once)), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 13, 40])
def test_every_token_sees_the_global_ones_its_neighbours_and_random_others(length):
    index = neighbours(length)
    assert index.shape == (length, 7)
    assert not neighbours(length, seed=0).ne(index).any()
    seen = pattern(index)
    assert seen[:2].all()  # global tokens see all, and all see them
    assert seen[:, :2].all()
    for token, row in enumerate(index.tolist()[2:], 2):
        real = [place for place in row if place >= 0]
        assert len(set(real)) == len(real)
        window = {place for place in (token - 1, token, token + 1) if 2 <= place < length}
        assert window <= set(real)
        random = set(real) - window - {0, 1}
        assert len(random) == min(2, length - 2 - len(window))  # two, or as many as there are


def test_another_seed_draws_others_and_bad_windows_are_refused():
    assert neighbours(40, seed=1).ne(neighbours(40)).any()
    with pytest.raises(ConfigError, match=r"window=2.*an odd window"):
        neighbours(8, window=2)


@pytest.mark.parametrize("length", [3, 5, 17, 64])
@pytest.mark.parametrize("filled", [False, True])
def test_gathered_sparse_attention_is_dense_attention_under_the_mask(length, filled):
    query, key, value = torch.randn(3, 2, 4, length, 8)
    index = neighbours(length)
    mask = torch.ones(2, length, dtype=torch.bool)
    mask[1, length - length // 3 :] = not filled
    seen = pattern(index)[None, None] & mask[:, None, None]
    dense = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    found = sparse_attend(query, key, value, index, mask if filled else None)
    torch.testing.assert_close(found.mT[..., mask[1]], dense.mT[..., mask[1]], atol=1e-6, rtol=1e-5)
    assert found.isfinite().all()


def test_sparse_heads_take_the_weights_of_dense_ones():
    sparse, dense = BigBird(context=20, width=16, heads=4).eval(), MultiHead(width=16, heads=4).eval()
    dense.load_state_dict(sparse.state_dict())
    x = torch.randn(2, 12, 16)
    index = sparse.index[:12]
    seen = pattern(torch.where(index < 12, index, -1))
    query, key, value = dense.project(x, None, None)
    found = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    torch.testing.assert_close(sparse(x), dense.output(found.transpose(1, 2).flatten(2)), atol=1e-6, rtol=1e-5)
    weights = sparse.weights(x)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 12))
    assert not weights[..., ~seen].any()
    with pytest.raises(ConfigError, match="one whole text"):
        sparse(x, causal=True)


def vit(**options):
    """Return a small vision transformer for pictures of 8x8."""
    encoder = Encoder(context=16, width=16, depth=2, heads=2, positions=options.pop("positions", "learned"))
    return ViT(picture=Picture(channels=1, height=8, width=8), encoder=encoder, classes=5, patch=2, **options).eval()


def test_patches_are_squares_mapped_by_one_matrix():
    net, x = vit(), torch.rand(3, 1, 8, 8)
    patches = x.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4).flatten(1, 3)  # (3, 16, 4)
    expected = patches @ net.patches.weight.flatten(1).T + net.patches.bias
    torch.testing.assert_close(net.patches(x).flatten(2).mT, expected)


@pytest.mark.parametrize("pool", ["class", "mean"])
def test_a_vision_transformer_without_positions_sees_a_set_of_patches(pool):
    x = torch.rand(3, 1, 8, 8)
    moved = x.roll((2, 4), (2, 3))  # whole patches change places
    blind, seeing = vit(pool=pool, positions="none"), vit(pool=pool)
    torch.testing.assert_close(blind(moved), blind(x), atol=1e-5, rtol=1e-5)
    nn.init.normal_(seeing.encoder.positions.table)
    assert (seeing(moved) - seeing(x)).abs().max() > 1e-3


def test_patches_must_fit_the_picture_and_the_encoder():
    picture = Picture(channels=1, height=28, width=28)
    with pytest.raises(ConfigError, match="patch=3 does not divide pictures of 28x28"):
        ViT(picture=picture, encoder=Encoder(context=49), classes=2, patch=3)
    with pytest.raises(ConfigError, match="patch=2 makes 196 tokens of a picture, the encoder takes 49"):
        ViT(picture=picture, encoder=Encoder(context=49), classes=2, patch=2)


def test_a_conformer_block_is_its_equations():
    block, x = ConformerBlock(width=16, heads=4, kernel=5).eval(), torch.randn(2, 9, 16)
    norms = block.norms
    x1 = x + 0.5 * block.before(norms[0](x))
    x2 = x1 + block.attention(norms[1](x1))
    x3 = x2 + block.convolution(norms[2](x2))
    expected = norms[4](x3 + 0.5 * block.after(norms[3](x3)))
    torch.testing.assert_close(block(x), expected)


def test_a_conformer_hears_waves_and_spectrograms():
    waves = Conformer(frames=Frames(inputs=1, width=16, window=16, stride=8, mean=[0.0], std=[0.4]), classes=5)
    assert waves(torch.randn(2, 1, 256)).shape == (2, 5)
    bands = Conformer(frames=Frames(inputs=64, width=16, window=3, stride=2, mean=[0.2], std=[0.3]), classes=10)
    assert bands(torch.rand(2, 1, 64, 64)).shape == (2, 10)
    with pytest.raises(ConfigError, match="inputs=1, but 64 numbers come at a time"):
        waves(torch.rand(2, 1, 64, 64))
    with pytest.raises(ConfigError, match=r"kernel=4.*odd"):
        ConformerBlock(width=16, heads=4, kernel=4)


def test_bert_reads_two_segments_and_writes_with_the_vectors_it_reads():
    net = Bert(encoder=Encoder(context=12, width=16, block="post"), vocab=30).eval()
    x = torch.tensor([[2, 7, 8, 3, 9, 10, 3, 0], [2, 7, 8, 3, 0, 0, 0, 0]])
    words, pair = net(x)
    assert words.shape == (2, 8, 30)
    assert pair.shape == (2, 2)
    found = net.read(x)
    torch.testing.assert_close(words, net.transform(found) @ net.embedding.weight.T + net.bias)
    before = net.read(x)
    with torch.no_grad():
        net.segment.weight[1] += torch.randn(16)  # a second segment matters only where there is one
    assert (net.read(x)[0] - before[0]).abs().max() > 1e-3
    torch.testing.assert_close(net.read(x)[1, :4], before[1, :4])


def test_the_classifier_of_texts_takes_the_trunk_of_bert():
    trunk = {"encoder": Encoder(context=12, width=16, block="post"), "vocab": 30}
    bert = Bert(**trunk)
    text = BertText(**trunk, classes=2)
    theirs = {name: p.shape for name, p in bert.state_dict().items()}
    new = [name for name, p in text.state_dict().items() if theirs.get(name) != p.shape]
    assert new == ["head.weight", "head.bias"]
