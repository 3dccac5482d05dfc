"""Published architectures: numbers of weights, shapes of maps, least sizes, and other sizes through global pooling."""

import pytest
import torch
from torch import nn

from dlcli.errors import ConfigError
from dlcli.nets.alexnet import AlexNet, LocalResponse
from dlcli.nets.blocks import Blocks, Parts
from dlcli.nets.googlenet import MODULES, GoogLeNet, Inception
from dlcli.nets.kernels import FixedKernels, KernelNet
from dlcli.nets.layers import Picture
from dlcli.nets.lectures import HomeworkCNN, LargeNet
from dlcli.nets.lecun import TABLE, LeNet1998
from dlcli.nets.nin import NIN
from dlcli.nets.resnet import ResNet
from dlcli.nets.vgg import VGG
from dlcli.nets.xception import Xception


def weights(module: nn.Module) -> int:
    """Count the trained numbers."""
    return sum(p.numel() for p in module.parameters())


def picture(size: int, channels: int = 3) -> Picture:
    """Return square pictures without statistics."""
    return Picture(channels=channels, height=size, width=size)


PUBLISHED = {  # net, options, pixels, classes, weights
    "alexnet": (AlexNet, {}, 224, 1000, 60_965_224),
    "alexnet small": (AlexNet, {"form": "small"}, 32, 10, 2_472_266),
    "nin": (NIN, {}, 32, 10, 966_986),
    "nin imagenet": (NIN, {"form": "imagenet"}, 224, 1000, 7_595_176),
    "vgg11": (VGG, {"depth": 11}, 224, 1000, 132_863_336),
    "vgg13": (VGG, {"depth": 13}, 224, 1000, 133_047_848),
    "vgg16": (VGG, {"depth": 16}, 224, 1000, 138_357_544),
    "vgg19": (VGG, {"depth": 19}, 224, 1000, 143_667_240),
    "vgg11 bn": (VGG, {"depth": 11, "norm": "batch"}, 224, 1000, 132_868_840),
    "vgg13 bn": (VGG, {"depth": 13, "norm": "batch"}, 224, 1000, 133_053_736),
    "vgg16 bn": (VGG, {"depth": 16, "norm": "batch"}, 224, 1000, 138_365_992),
    "vgg19 bn": (VGG, {"depth": 19, "norm": "batch"}, 224, 1000, 143_678_248),
    "vgg16 bn small": (VGG, {"depth": 16, "norm": "batch", "form": "small"}, 32, 10, 14_728_266),
    "googlenet": (GoogLeNet, {"auxiliaries": False}, 224, 1000, 6_998_552),
    "googlenet heads": (GoogLeNet, {}, 224, 1000, 13_378_280),
    "xception": (Xception, {}, 299, 1000, 22_855_952),
    "resnet18": (ResNet, {"depth": 18, "form": "imagenet"}, 224, 1000, 11_689_512),
    "resnet34": (ResNet, {"depth": 34, "form": "imagenet"}, 224, 1000, 21_797_672),
    "resnet50": (ResNet, {"depth": 50, "form": "imagenet"}, 224, 1000, 25_557_032),
    "resnet101": (ResNet, {"depth": 101, "form": "imagenet"}, 224, 1000, 44_549_160),
    "resnet152": (ResNet, {"depth": 152, "form": "imagenet"}, 224, 1000, 60_192_808),
    "resnet18 small": (ResNet, {"depth": 18}, 32, 10, 11_173_962),
    "resnet18 small pre": (
        ResNet,
        {"depth": 18, "preactivation": True},
        32,
        10,
        11_171_146 + 2 * 512,
    ),  # the others leave out the last norm
    "resnet50 small": (ResNet, {"depth": 50}, 32, 10, 23_520_842),
    "resnet20": (ResNet, {"depth": 20}, 32, 10, 269_722),
    "resnet32": (ResNet, {"depth": 32}, 32, 10, 464_154),
    "resnet44": (ResNet, {"depth": 44}, 32, 10, 658_586),
    "resnet56": (ResNet, {"depth": 56}, 32, 10, 853_018),
    "resnet110": (ResNet, {"depth": 110}, 32, 10, 1_727_962),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_net_has_its_weights_and_one_logit_per_class(name):
    kind, options, size, classes, expected = PUBLISHED[name]
    with torch.device("meta"):
        net = kind(picture=picture(size), classes=classes, **options).eval()
        assert net(torch.zeros(2, 3, size, size)).shape == (2, classes)
    assert weights(net) == expected


def shapes(net: nn.Module, kind: type, size: int) -> list[tuple[int, ...]]:
    """Return the distinct output shapes of all modules of a kind, in the order of their calls."""
    seen: list[tuple[int, ...]] = []
    for module in net.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda m, given, result: seen.append(tuple(result.shape[1:])))
    with torch.device("meta"):
        net(torch.zeros(1, 3, size, size))
    return [shape for before, shape in zip([(), *seen], seen, strict=False) if shape != before]


def test_the_maps_have_the_sizes_of_the_papers():
    with torch.device("meta"):
        alexnet = AlexNet(picture=picture(224), classes=1000)
        vgg = VGG(picture=picture(224), classes=1000)
        resnet = ResNet(picture=picture(224), classes=1000, depth=34, form="imagenet").blocks
        googlenet = GoogLeNet(picture=picture(224), classes=1000)
        xception = Xception(picture=picture(299), classes=1000)
    assert shapes(alexnet, nn.MaxPool2d, 224) == [(96, 27, 27), (256, 13, 13), (256, 6, 6)]
    halved = [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]
    assert shapes(vgg, nn.MaxPool2d, 224) == halved
    seen = []
    resnet.register_forward_hook(lambda m, given, result: seen.extend([given[0].shape[1:], result.shape[1:]]))
    with torch.device("meta"):
        resnet(torch.zeros(1, 64, 56, 56))
    assert seen == [(64, 56, 56), (512, 7, 7)]
    maps = [(256, 28), (480, 28), (512, 14), (512, 14), (512, 14), (528, 14), (832, 14), (832, 7), (1024, 7)]
    with torch.device("meta"):
        found = [tuple(x.shape[1:3]) for _, x in googlenet.maps(torch.zeros(1, 3, 224, 224))]
        assert found == maps
        assert [x.shape for x in googlenet.heads(torch.zeros(1, 3, 224, 224))] == [(1, 1000)] * 3
        assert xception.features(torch.zeros(1, 3, 299, 299)).shape == (1, 2048, 10, 10)


def test_modules_of_googlenet_have_the_weights_of_the_papers_table():
    with torch.device("meta"):
        net = GoogLeNet(picture=picture(224), classes=1000, auxiliaries=False)
    found = {name: weights(module) for name, module in net.inceptions.items()}
    # the paper's table counts in units of 1024, and agrees with its own widths in these rows only
    for name, count in {"3a": 159, "3b": 380, "4a": 364, "4b": 437}.items():
        assert found[name] / 1024 == pytest.approx(count, rel=0.01), name
    fan_in = 192
    for name, (one, few, three, fewer, five, pooled) in MODULES.items():
        maps = one + few + three + fewer + five + pooled
        assert found[name] == fan_in * (one + few + fewer + pooled) + 9 * few * three + 25 * fewer * five + maps
        fan_in = one + three + five + pooled


def test_a_naive_module_keeps_all_maps_that_it_pools():
    x, sizes = torch.rand(2, 192, 5, 5), (64, 96, 128, 16, 32, 32)
    reduced, naive = (Inception(fan_in=192, sizes=sizes, module=name) for name in ("reduced", "naive"))
    assert reduced(x).shape == (2, 256, 5, 5)
    assert naive(x).shape == (2, 64 + 128 + 32 + 192, 5, 5)
    assert weights(naive) == 192 * (64 + 9 * 128 + 25 * 32) + 64 + 128 + 32
    torch.testing.assert_close(naive(x)[:, -192:], nn.functional.max_pool2d(x, 3, 1, 1))
    with pytest.raises(ConfigError, match="unknown inception module 'naiv': did you mean 'naive'"):
        Inception(fan_in=8, sizes=sizes, module="naiv")


def test_nets_of_the_lectures():
    assert weights(LargeNet(picture=picture(32), classes=10)) == 380 + 1260 + 8032 + 330 == 10_002
    homework = HomeworkCNN(picture=picture(16, 1), classes=3)
    assert [weights(layer) for layer in homework.layers if weights(layer)] == [208, 730, 3220, 63]


def test_the_lenet_of_1998_has_sixty_thousand_weights():
    net = LeNet1998(picture=picture(32, 1), classes=10)
    found = [weights(layer) for layer in net.layers if weights(layer)]
    assert found == [156, 12, 1516, 32, 48_120, 10_164, 850]
    assert sum(found[:-1]) == 60_000
    assert len({frozenset(row) for row in TABLE}) == 16
    assert [sum(number in row for row in TABLE) for number in range(6)] == [10] * 6


def test_local_response_normalization_is_torchs_with_alpha_per_map():
    x = torch.randn(2, 12, 4, 4)
    expected = nn.functional.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2.0)
    torch.testing.assert_close(LocalResponse()(x), expected)


SMALL = {
    "alexnet": lambda p: AlexNet(picture=p, classes=7, form="small", scale=0.25),
    "largenet": lambda p: LargeNet(picture=p, classes=7),
    "homework": lambda p: HomeworkCNN(picture=p, classes=7),
    "lenet": lambda p: LeNet1998(picture=p, classes=7),
    "nin": lambda p: NIN(picture=p, classes=7, scale=0.1),
    "vgg": lambda p: VGG(picture=p, classes=7, depth=11, form="small", norm="group", scale=0.1),
    "googlenet": lambda p: GoogLeNet(picture=p, classes=7, form="small", scale=0.1),
    "naive": lambda p: GoogLeNet(picture=p, classes=7, form="small", module="naive", norm="batch", scale=0.1),
    "xception": lambda p: Xception(picture=p, classes=7, form="small", scale=0.05, depth=1),
    "resnet18": lambda p: ResNet(picture=p, classes=7, depth=18, scale=0.125),
    "resnet50": lambda p: ResNet(picture=p, classes=7, depth=50, scale=0.125, preactivation=True),
    "resnet8": lambda p: ResNet(picture=p, classes=7, depth=8, shortcut="highway", norm="layer"),
    "kernels": lambda p: KernelNet(picture=p, classes=7),
}
OWN_SIZE = {"largenet", "homework", "kernels"}  # they end in a linear layer on all places


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 32, 32), (1, 29, 38)])
def test_every_small_form_takes_small_pictures_and_learns_in_all_its_weights(name, channels, height, width):
    net = SMALL[name](
        Picture(channels=channels, height=height, width=width, mean=[0.5] * channels, std=[0.2] * channels)
    )
    x = torch.rand(3, channels, height, width)
    heads = net.heads(x) if hasattr(net, "heads") else [net(x)]
    assert {head.shape for head in heads} == {(3, 7)}
    sum(nn.functional.cross_entropy(head, torch.tensor([0, 1, 2])) for head in heads).backward()
    assert [key for key, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    if name not in OWN_SIZE:
        net.eval()
        assert net(torch.rand(2, channels, height + 9, width + 2)).shape == (2, 7)


def test_heads_end_with_the_main_one():
    net = GoogLeNet(picture=picture(28, 1), classes=4, form="small", scale=0.1).eval()
    x = torch.rand(2, 1, 28, 28)
    assert len(net.heads(x)) == 3
    torch.testing.assert_close(net.heads(x)[-1], net(x))
    assert len(GoogLeNet(picture=picture(28, 1), classes=4, form="small", scale=0.1, auxiliaries=False).heads(x)) == 1


LEAST = [
    (AlexNet, {}, 63),
    (AlexNet, {"form": "small"}, 13),
    (NIN, {"form": "small"}, 4),
    (NIN, {"form": "imagenet"}, 51),
    (VGG, {}, 32),
    (VGG, {"form": "small"}, 8),
    (GoogLeNet, {}, 32),
    (GoogLeNet, {"form": "small"}, 8),
    (Xception, {}, 71),
    (Xception, {"form": "small"}, 8),
    (ResNet, {"depth": 18}, 8),
    (ResNet, {"depth": 20}, 4),
    (ResNet, {"depth": 50, "form": "imagenet"}, 32),
    (LargeNet, {}, 16),
    (HomeworkCNN, {}, 10),
    (KernelNet, {}, 4),
]


@pytest.mark.parametrize(("kind", "options", "least"), LEAST)
def test_a_picture_below_the_least_size_is_refused_and_the_least_size_works(kind, options, least):
    with torch.device("meta"):
        net = kind(picture=picture(least), classes=2, **options).eval()
        assert net(torch.zeros(1, 3, least, least)).shape == (1, 2)
        with pytest.raises(ConfigError, match=rf"pictures of {least - 1}x{least - 1} .* at least {least}x{least}"):
            kind(picture=picture(least - 1), classes=2, **options)


def test_a_wrong_number_of_channels_and_a_wrong_depth_are_named():
    with pytest.raises(ConfigError, match="pictures with 1 channels given to a net for 3"):
        ResNet(picture=picture(8), classes=2, depth=8)(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ConfigError, match=r"depth=21: take 18, 34, 50, 101, 152, or 6 n \+ 2"):
        ResNet(picture=picture(8), classes=2, depth=21)
    with pytest.raises(ConfigError, match="depth=12: VGG comes with 11, 13, 16, 19 layers"):
        VGG(picture=picture(32), classes=2, depth=12)
    with pytest.raises(ConfigError, match="unknown form 'imagnet': did you mean 'imagenet'"):
        AlexNet(picture=picture(32), classes=2, form="imagnet")
    with pytest.raises(ConfigError, match=r"kernels=\[\]: name at least one of blur"):
        FixedKernels(channels=1, kernels=[])


def test_fixed_kernels_answer_to_what_they_are_made_for():
    x = torch.zeros(1, 1, 8, 8)
    x[..., 4:] = 1  # a vertical edge
    blur, vertical, horizontal, blob = FixedKernels(channels=1)(x)[0, :, 2:6, 2:6]
    torch.testing.assert_close(vertical, torch.tensor([0.0, 4, 4, 0]).expand(4, 4))
    assert not horizontal.any()
    torch.testing.assert_close(blur, torch.tensor([0, 1 / 3, 2 / 3, 1]).expand(4, 4))
    flat = FixedKernels(channels=2, kernels=["blob", "blur"])(torch.ones(1, 2, 5, 5))[0, :, 2, 2]
    assert flat.tolist() == pytest.approx([0, 1, 0, 1], abs=1e-6)
    assert not list(FixedKernels(channels=1).parameters())
    assert blob.abs().max() == 3


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("name", ["full", "separable", "pointwise", "transposed", "causal"])
def test_blocks_take_signals_pictures_and_volumes(dims, name):
    parts = {"dims": dims, "convolution": name, "norm": "layer", "pooling": "mean"}
    if name == "causal" and dims > 1:
        with pytest.raises(ConfigError, match="runs along time"):
            Blocks(channels=2, classes=3, parts=Parts(**parts))
        return
    net = Blocks(channels=2, classes=3, widths=[4, 6], parts=Parts(**parts))
    for size in (8, 11):
        assert net(torch.rand(2, 2, *[size] * dims)).shape == (2, 3)
    with pytest.raises(ConfigError, match="dims must be 1, 2 or 3"):
        Parts(dims=4)
