"""What a classifier reads in a picture, each view by a second route: closed forms, finite differences, plants."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlcli.batch import Images
from dlcli.errors import ConfigError
from dlcli.nets.cnn import SmallCNN
from dlcli.nets.committee import Views
from dlcli.nets.layers import Picture
from dlcli.nets.lenet import LeNet5
from dlcli.nets.mlp import MLP, Linear
from dlcli.seeing.filters import first_filters
from dlcli.seeing.gradcam import gradcam
from dlcli.seeing.occlusion import occlusion, places
from dlcli.seeing.saliency import saliency
from dlcli.seeing.scene import Scene, answers, calls, known, output
from dlcli.seeing.strongest import maximize, strengths

NAMES = ["cat", "dog", "owl"]


def scene(net: nn.Module, size: int = 12, channels: int = 1, **kept) -> Scene:
    """Return a net with twenty random pictures, six of which are to be explained."""
    sample = Images(torch.rand(20, channels, size, size), torch.arange(20) % 3)
    few = Images(sample.x[:6], sample.y[:6])
    return Scene(model=net.eval(), batch=few, sample=sample, names=NAMES, **kept)


def small(**kept) -> SmallCNN:
    """Return an untrained convolutional net for pictures of 12x12."""
    return SmallCNN(picture=Picture(channels=1, height=12, width=12), classes=3, widths=(4, 8), **kept).eval()


def pooled(channels: int = 5) -> nn.Sequential:
    """Return convolution, ReLU, average over all places, linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3)
    )


def test_saliency_of_a_linear_net_is_its_largest_absolute_weight_over_the_channels():
    net, x = Linear(inputs=3 * 4 * 5, outputs=2), torch.rand(2, 3, 4, 5)
    expected = net.layers[1].weight[1].view(3, 4, 5).abs().amax(0)
    assert torch.allclose(saliency(lambda x: net(x)[:, 1], x), expected.expand(2, 4, 5))


def test_saliency_agrees_with_finite_differences():
    net, x, step = small().double(), torch.rand(1, 1, 12, 12, dtype=torch.float64), 1e-6
    found = saliency(lambda x: net(x)[:, 2], x)[0]
    for row, column in ((0, 0), (5, 7), (11, 3)):
        moved = x.clone()
        moved[..., row, column] += step
        change = (net(moved)[0, 2] - net(x)[0, 2]).item() / step
        assert found[row, column].item() == pytest.approx(abs(change), rel=1e-4)


def test_saliency_leaves_net_and_pictures_alone():
    net, x = small(), torch.rand(2, 1, 12, 12)
    saliency(lambda x: net(x)[:, 0], x)
    assert not x.requires_grad
    assert all(p.grad is None for p in net.parameters())


def test_saliency_behind_a_step_function_is_zero_and_no_error():
    net = MLP(inputs=16, widths=[8], outputs=3, activation="step")
    assert not saliency(lambda x: net(x)[:, 0], torch.rand(2, 1, 4, 4)).any()


def test_gradcam_with_average_pooling_is_the_class_activation_map():
    net, x, classes = pooled(), torch.rand(4, 1, 6, 7), torch.tensor([0, 1, 2, 1])
    maps = net[:2](x)
    expected = torch.einsum("bk,bkhw->bhw", net[4].weight[classes], maps).relu() / 42
    assert torch.allclose(gradcam(net, "1", x, classes), expected, atol=1e-6)


def test_gradcam_finds_a_planted_spot():
    net = pooled(1)
    with torch.no_grad():
        net[0].weight.copy_(torch.ones(1, 1, 3, 3))
        net[0].bias.fill_(-4.0)
        net[4].weight.copy_(torch.tensor([[1.0], [-1.0], [0.0]]))
    x = torch.zeros(1, 1, 9, 9)
    x[..., 1:4, 5:8] = 1
    (heat,) = gradcam(net, "1", x, torch.tensor([0]))
    assert divmod(heat.argmax().item(), 9) == (2, 6)
    assert not heat[5:].any()
    assert not gradcam(net, "1", x, torch.tensor([1])).any()  # what speaks against a class is not shown


def test_gradcam_works_with_frozen_weights_and_says_nothing_of_layers_without_maps():
    net = small().requires_grad_(False)
    x, classes = torch.rand(2, 1, 12, 12), torch.tensor([0, 1])
    assert gradcam(net, "stages.1.0", x, classes).shape == (2, 6, 6)
    assert gradcam(net, "head.2", x, classes) is None


def test_occlusion_of_a_linear_net_is_what_the_covered_weights_add():
    net, image, colour = Linear(inputs=36, outputs=1), torch.rand(1, 6, 6), torch.tensor([[[0.3]]])
    weight = net.layers[1].weight[0].view(6, 6)
    part = (weight * (image[0] - 0.3)).detach()
    apart = occlusion(lambda x: net(x)[:, 0], image, 2, 2, colour)
    sums = F.avg_pool2d(part[None, None], 2, 2)[0, 0] * 4
    assert torch.allclose(apart, sums.repeat_interleave(2, 0).repeat_interleave(2, 1), atol=1e-5)
    assert torch.allclose(occlusion(lambda x: net(x)[:, 0], image, 1, 1, colour), part, atol=1e-5)


def test_occlusion_finds_the_only_place_that_matters_and_covers_every_pixel():
    heat = occlusion(lambda x: x[:, 0, 7, 2], torch.ones(1, 11, 10), 3, 2, torch.zeros(1, 1, 1))
    assert (heat > 0).nonzero().amin(0).tolist() == [6, 0]  # of the squares at rows 6, columns 0 and 2
    assert (heat > 0).nonzero().amax(0).tolist() == [8, 4]
    assert divmod(heat.argmax().item(), 10)[0] in (6, 7, 8)
    assert heat.isfinite().all()
    assert places(11, 3, 2) == [0, 2, 4, 6, 8]
    assert places(10, 3, 2) == [0, 2, 4, 6, 7]
    assert places(3, 3, 2) == [0]


def test_the_input_that_excites_a_linear_unit_most_lies_along_its_weights():
    weight = torch.randn(3, 2, 4, 4)
    made = maximize(
        lambda x: (x * weight).sum((1, 2, 3)), torch.full((3, 2, 4, 4), 0.5), 0.3, steps=40, rate=0.5, blur=0
    )
    expected = 0.5 + 0.3 * weight / weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert torch.allclose(made, expected, atol=1e-5)


def test_made_inputs_are_pictures_and_excite_their_units_more_than_real_ones():
    net = small()
    torch.manual_seed(1)
    real = net(torch.rand(50, 1, 12, 12)).amax(0)
    made = maximize(lambda x: net(x).diagonal(), torch.full((3, 1, 12, 12), 0.5), 4.0, steps=60, rate=0.2, blur=0.2)
    assert made.min() >= 0
    assert made.max() <= 1
    assert (net(made).diagonal() > real).all()


def test_the_strongest_picture_of_a_matched_filter_is_the_one_that_holds_its_pattern():
    torch.manual_seed(2)
    net, pattern = pooled(2), torch.eye(3)
    with torch.no_grad():
        net[0].weight[1] = pattern - pattern.mean()
        net[0].bias.zero_()
    view = scene(net)
    view.sample.x.mul_(0.3)
    view.sample.x[13, 0, 4:7, 2:5] = pattern
    found = strengths(view)
    assert found.shape == (20, 2)
    assert found[:, 1].argmax() == 13
    assert found[13, 1].item() == pytest.approx((net[0].weight[1, 0] * pattern).sum().item(), rel=1e-5)


def test_filters_are_the_weights_of_whatever_reads_the_picture_first():
    name, weight = first_filters(scene(small()))
    assert name == "stages.0.0.0"
    assert weight.shape == (4, 1, 3, 3)
    net = MLP(inputs=144, widths=[7], outputs=3)
    name, weight = first_filters(scene(net))
    assert name == "layers.1"
    slope = torch.autograd.functional.jacobian(lambda x: net.layers[:2](x)[0], torch.rand(1, 1, 12, 12))
    assert torch.allclose(weight, slope[:, 0], atol=1e-6)


def test_a_filter_is_what_its_map_shows_of_a_single_bright_pixel():
    net = pooled()
    x = torch.zeros(1, 1, 7, 7)
    x[..., 3, 3] = 1
    maps = output(net, "0", x)[0][0] - net[0].bias.view(-1, 1, 1)
    _, weight = first_filters(scene(net))
    assert torch.allclose(maps[:, 2:5, 2:5], weight[:, 0].flip((1, 2)), atol=1e-6)  # torch correlates


def test_outputs_are_noted_before_what_works_in_place_changes_them():
    net, x = small(), torch.rand(2, 1, 12, 12)
    norm, _ = output(net, "stages.0.0.1", x)
    assert (norm < 0).any()
    assert torch.equal(output(net, "stages.0.0.2", x)[0], norm.relu())
    assert net.stages[0][0][2].inplace
    assert not any(module._forward_hooks for module in net.modules())


def test_of_several_looks_at_a_picture_the_one_as_it_is_counts():
    net, x = pooled(), torch.rand(2, 1, 6, 6)
    both = Views(net=net, kind="mirror")
    assert torch.equal(output(both, "net.1", x)[0], net[:2](x))


def test_a_layer_that_never_runs_cannot_be_looked_at():
    net = nn.ModuleDict({"idle": nn.ReLU()})
    net.forward = lambda x: x
    with pytest.raises(ConfigError, match="layer=idle: it puts out no tensor when the model runs"):
        output(net, "idle", torch.rand(1, 1, 2, 2))


def test_layers_are_listed_as_they_run_and_the_last_convolution_comes_with_its_activation():
    view = scene(small())
    assert [call.name for call in view.calls[:4]] == ["picture", "stages.0.0.0", "stages.0.0.1", "stages.0.0.2"]
    assert (view.chosen, view.before) == ("stages.1.0.2", "stages.1.0.0")
    view = scene(LeNet5(picture=Picture(channels=1, height=12, width=12), classes=3))
    assert (view.chosen, view.before) == ("layers.5", "layers.4")
    view = scene(MLP(inputs=144, widths=[9, 9], outputs=3))
    assert (view.chosen, view.before) == ("layers.4", "layers.3")
    assert scene(Linear(inputs=144, outputs=3)).chosen == "layers.1"
    assert scene(small(), layer="stages.0").chosen == "stages.0"


def test_a_layer_without_parts_that_gives_several_things_is_passed_over():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair, self.head = Pair(), nn.Flatten()

        def forward(self, x):
            return self.head(self.pair(x)[0])

    assert [call.name for call in calls(Net(), torch.rand(1, 1, 2, 2))] == ["head"]


def test_an_unknown_layer_is_told_with_the_nearest_and_all_names():
    with pytest.raises(ConfigError, match=r"layer=stages.1.0.3: no such layer; did you mean stages.1.0.\d\? layers: "):
        known(small(), "stages.1.0.3")
    with pytest.raises(ConfigError, match=r"\.\.\. \(80 in all\)"):
        known(nn.Sequential(*[nn.ReLU() for _ in range(80)]), "zebra")


def test_one_logit_stands_for_two_classes():
    logit = torch.randn(5, 1)
    assert torch.allclose(answers(logit).softmax(1)[:, 1:], logit.sigmoid())
    assert torch.equal(answers(logit).argmax(1), (logit[:, 0] > 0).long())


def test_captions_name_the_answer_and_the_truth_where_they_differ():
    net = Linear(inputs=144, outputs=3)
    with torch.no_grad():
        net.layers[1].weight.zero_()
        net.layers[1].bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    assert scene(net).captions[:3] == ["dog\n(cat)", "dog", "dog\n(owl)"]
