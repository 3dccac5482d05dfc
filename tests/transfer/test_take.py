"""Weights of another run: by name and shape, with everything that belongs to them."""

import pytest
import torch
from torch import nn

from dlcli.engine.lora import attach, merged
from dlcli.engine.transfer import Taken, take
from dlcli.errors import CheckpointError, ConfigError
from dlcli.models.contrastive import ContrastiveDivergence
from dlcli.models.principal import PCA
from dlcli.nets.cnn import SmallCNN
from dlcli.nets.layers import Picture
from dlcli.nets.lenet import LeNet5
from dlcli.nets.rbm import RBM

GREY = {"channels": 1, "height": 28, "width": 28}


def lenet(seed, classes=10, mean=0.1):
    torch.manual_seed(seed)
    return LeNet5(picture=Picture(**GREY, mean=[mean], std=[0.3]), classes=classes)


def test_a_net_of_the_same_form_takes_all_and_computes_the_same():
    ours, theirs = lenet(1, mean=0.5), lenet(0)
    taken = take(ours, theirs.state_dict(), "there")
    assert len(taken.names) == 12
    assert str(taken) == "12 of 12 tensors taken"
    x = torch.rand(3, 1, 28, 28)
    assert ours(x).equal(theirs(x))


def test_normalization_can_stay_our_own():
    ours, theirs = lenet(1, mean=0.5), lenet(0)
    taken = take(ours, theirs.state_dict(), "there", only=["layers.*"])
    assert taken.left == {"picture.mean": "left out", "picture.std": "left out"}
    assert ours.picture.mean.item() == 0.5
    assert ours.layers[1].weight.equal(theirs.layers[1].weight)


def test_another_number_of_classes_leaves_the_head_and_says_so():
    ours, theirs = lenet(1, classes=47), lenet(0)
    head = ours.layers[12].weight.clone()
    taken = take(ours, theirs.state_dict(), "there")
    assert str(taken) == (
        "10 of 12 tensors taken; not taken: layers.12.weight (10 x 84 there, 47 x 84 here), "
        "layers.12.bias (10 there, 47 here)"
    )
    assert ours.layers[12].weight.equal(head)


def test_statistics_of_batch_norms_come_along():
    torch.manual_seed(0)
    theirs, ours = (SmallCNN(picture=Picture(**GREY), classes=classes, widths=[4, 8]) for classes in (10, 3))
    theirs(torch.rand(16, 1, 28, 28))  # moves the statistics
    take(ours, theirs.state_dict(), "there")
    assert all(m.running_mean.any() for m in ours.modules() if isinstance(m, nn.BatchNorm2d))


def test_modules_of_other_names():
    theirs = nn.ModuleDict({"encoder": nn.Linear(3, 4), "decoder": nn.Linear(4, 3)})
    ours = nn.ModuleDict({"net": nn.Linear(3, 4), "network": nn.Linear(3, 4)})
    before = ours["network"].weight.clone()
    take(ours, theirs.state_dict(), "there", names={"encoder": "net"})
    assert ours["net"].weight.equal(theirs["encoder"].weight)
    assert ours["network"].weight.equal(before)


def test_from_a_net_with_lora_into_one_with_lora():
    theirs, ours = lenet(0), lenet(1)
    attach(theirs, rank=2, alpha=4.0, layers=["*"])
    for name, p in theirs.named_parameters():
        if name.endswith("up"):
            nn.init.normal_(p, std=0.2)
    attach(ours, rank=3, alpha=4.0, layers=["layers.8"])
    assert len(take(ours, merged(theirs.state_dict()), "there").names) == 12
    x = torch.rand(3, 1, 28, 28)
    assert (ours(x) - theirs(x)).abs().max() <= 1e-6


def test_nothing_that_fits_shows_both_sides():
    with pytest.raises(ConfigError) as caught:
        take(nn.Linear(3, 4), lenet(0).state_dict(), "outputs/a/b")
    text = str(caught.value)
    assert "init_from=outputs/a/b: no weight fits by name and shape" in text
    assert "there: layers.1.bias (6), layers.1.weight (6 x 1 x 5 x 5)" in text
    assert "here: bias (4), weight (4 x 3)" in text
    assert "init_names={encoder:net}" in text


def test_a_name_that_the_source_does_not_have_is_told():
    with pytest.raises(ConfigError, match="init_names: there has no module 'encoder'; it has layers, picture"):
        take(lenet(0), lenet(1).state_dict(), "there", names={"encoder": "net"})


def test_normalization_and_biases_alone_are_nothing():
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.picture, self.layers = lenet(0).picture, nn.ModuleDict({"12": nn.Linear(3, 10)})

    with pytest.raises(ConfigError, match="no weight fits"):
        take(Other(), lenet(0).state_dict(), "there")


def test_weights_that_are_no_numbers_are_refused():
    weights = lenet(0).state_dict()
    weights["layers.4.weight"][0] = torch.nan
    with pytest.raises(CheckpointError, match=r"there: layers.4.weight is not finite"):
        take(lenet(1), weights, "there")


def test_other_types_are_not_taken():
    weights = nn.Linear(2, 2).state_dict()
    weights["bias"] = weights["bias"].double()
    assert take(nn.Linear(2, 2), weights, "there").left == {"bias": "torch.float64 there, torch.float32 here"}


def test_a_pattern_that_fits_nothing_here():
    with pytest.raises(ConfigError, match="init_only: nothing is named like head"):
        take(lenet(1), lenet(0).state_dict(), "there", only=["head.*"])


def test_long_lists_are_cut():
    assert str(Taken(["a"], {str(i): "not there" for i in range(6)})).endswith("3 (not there) and 2 more")


def test_what_a_rule_remembers_of_its_data_stays_behind():
    theirs, ours = (ContrastiveDivergence(net=RBM(visible=6, hidden=4)) for _ in range(2))
    with torch.no_grad():
        theirs.keep(torch.rand(5, 6).round())
    assert theirs.seen == 5
    taken = take(ours, theirs.state_dict(), "there", local=ours.local)
    assert ours.net.weight.equal(theirs.net.weight)
    assert ours.net.visible_bias.equal(theirs.net.visible_bias)
    assert "kept" not in {*taken.names, *taken.left}
    assert (int(ours.seen), ours.kept.any().item()) == (0, False)


def test_a_rule_that_descends_nothing_starts_from_no_other_run():
    model = PCA(shape=[4], latent=2)
    with pytest.raises(ConfigError, match="init_from=there: PCA descends no loss and starts from no other run"):
        take(model, model.state_dict(), "there")
