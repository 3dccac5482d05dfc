"""Support vector machines: against scikit-learn's solver, their own duality gap, and what the engine does with them."""

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.svm import SVC, LinearSVC

from dlcli.batch import Table
from dlcli.errors import ConfigError, DataError
from dlcli.model import Clock
from dlcli.models.svm import SVM
from dlcli.nets.svm import CHUNK, KernelMachine


def cancer() -> Table:
    """Return 569 tumours: 30 features, standardized, and whether they are benign."""
    x, y = load_breast_cancer(return_X_y=True)
    return Table(torch.tensor((x - x.mean(0)) / x.std(0)).float(), torch.tensor(y).long())


def digits(count: int = 300) -> Table:
    """Return the first handwritten digits of 8x8 pixels in [0, 1]."""
    x, y = load_digits(return_X_y=True)
    return Table(torch.tensor(x[:count] / 16).float(), torch.tensor(y[:count]).long())


def machine(data: Table, cost: float = 1.0, room: int = 2000, sweeps: int = 3, **kernel) -> SVM:
    """Return a machine that knows nothing yet."""
    classes = int(data.y.max()) + 1
    net = KernelMachine(inputs=data.x.shape[1], outputs=classes, room=room, **kernel)
    return SVM(net=net, classes=classes, cost=cost, sweeps=sweeps)


def train(model: SVM, data: Table, epochs: int, size: int = 100) -> SVM:
    """Run the shortest loop that obeys the contract; no step is asked for."""
    batches = list(zip(data.x.split(size), data.y.split(size), strict=True))
    for epoch in range(epochs):
        for i, (x, y) in enumerate(batches):
            step = epoch * len(batches) + i
            assert list(model.updates(Table(x, y), Clock(step, epochs * len(batches), epoch))) == []
    return model.eval()


def gap(model: SVM, data: Table) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the primal and the dual of each machine, (C,) each, from their formulas."""
    net, n = model.net, data.size
    alike = net.alike(data.x, data.x).double()
    beta, sides = net.beta[:n].double(), model.sides(data.y).double()
    f = alike @ beta
    squares = (beta * f).sum(0)
    return squares / 2 + model.cost * (1 - sides * f).clamp_min(0).sum(0), (sides * beta).sum(0) - squares / 2


def test_a_linear_machine_is_that_of_scikit_learn():
    data = Table(*(column[:200] for column in cancer()))
    model = machine(data, cost=0.1, kernel="polynomial", gamma=30.0, degree=1, sweeps=100)
    train(model, data, epochs=1, size=200)
    # the kernel a b + 1, and 1 more for the bias: liblinear penalizes a bias that is scaled by sqrt(2) just so
    twin = LinearSVC(loss="hinge", C=0.1, intercept_scaling=2**0.5, max_iter=200_000, tol=1e-6, random_state=0)
    twin.fit(data.x.numpy(), data.y.numpy())
    theirs = torch.from_numpy(twin.decision_function(data.x.numpy())).float()
    torch.testing.assert_close(model(data.x)[:, 1], theirs, atol=5e-3, rtol=0)
    torch.testing.assert_close(model(data.x)[:, 0], -theirs, atol=5e-3, rtol=0)  # the other class is its mirror


def test_a_gaussian_machine_agrees_with_libsvm():
    data, gamma = digits(), 0.1
    model = train(machine(data, cost=5.0, gamma=64 * gamma), data, epochs=20)
    twin = SVC(kernel="rbf", gamma=gamma, C=5.0).fit(data.x.numpy(), (data.y == 3).numpy())
    theirs = torch.from_numpy(twin.decision_function(data.x.numpy())).float()
    # libsvm does not penalize the bias, ours is a part of the kernel: alike, not equal
    assert (model(data.x)[:, 3] - theirs).abs().max() < 0.2
    assert ((model(data.x)[:, 3] > 0) == (theirs > 0)).all()


@pytest.mark.parametrize("kernel", [{"gamma": 2.0}, {"kernel": "polynomial", "gamma": 2.0, "degree": 3}])
def test_the_dual_rises_to_the_primal(kernel):
    data = Table(*(column[:200] for column in cancer()))
    early = gap(train(machine(data, **kernel), data, epochs=1), data)
    late = gap(train(machine(data, **kernel), data, epochs=30), data)
    assert (late[1] >= early[1] - 1e-6).all()
    assert (early[0] - early[1] > 1e-3 * early[0]).any()
    torch.testing.assert_close(late[1], late[0], rtol=5e-3, atol=0)


def test_multipliers_stay_in_their_box_and_only_support_vectors_count():
    data = cancer()
    model = train(machine(data, cost=0.5), data, epochs=5)
    a = model.sides(data.y) * model.net.beta[: data.size]
    assert a.min() == 0
    assert a.max() == 0.5
    support = model.net.support()
    assert 50 < len(support) < data.size
    f = model.net.alike(data.x, data.x[support]) @ model.net.beta[support]
    torch.testing.assert_close(model(data.x), f, atol=1e-4, rtol=1e-4)


def test_kernels_by_their_formulas():
    a, b = torch.randn(5, 4), torch.randn(7, 4)
    net = KernelMachine(inputs=4, outputs=2, room=3, gamma=0.8)
    torch.testing.assert_close(net.alike(a, b), torch.exp(-0.2 * torch.cdist(a, b).square()) + 1)
    net = KernelMachine(inputs=4, outputs=2, room=3, kernel="polynomial", gamma=0.8, degree=2)
    torch.testing.assert_close(net.alike(a, b), (0.2 * a @ b.T + 1) ** 2 + 1)


def test_many_support_vectors_are_weighed_in_chunks():
    net = KernelMachine(inputs=3, outputs=2, room=CHUNK + 50)
    net.keep(torch.randn(CHUNK + 50, 3))
    net.beta.normal_()
    x = torch.randn(9, 3)
    torch.testing.assert_close(net(x), net.alike(x, net.examples) @ net.beta, atol=2e-3, rtol=1e-4)


def test_the_gradient_reaches_the_input():
    data = digits(200)
    model = train(machine(data), data, epochs=3)
    x = data.x[:3].double().requires_grad_()
    model.double()
    assert torch.autograd.gradcheck(model.net, x)


def test_other_programs_get_the_same_answers():
    data = digits(200)
    model = train(machine(data, room=250), data, epochs=2)
    traced = torch.export.export(model.net, (data.x[:8],)).module()
    torch.testing.assert_close(traced(data.x[:8]), model(data.x[:8]), atol=1e-5, rtol=1e-5)


def test_every_epoch_gives_each_example_its_turn():
    data = digits(250)
    model = train(machine(data, room=300), data, epochs=1)
    for _ in range(2):
        turns = torch.cat([model.block(100) for _ in range(3)])
        assert turns.sort().values.equal(torch.arange(250))
        assert not turns.equal(torch.arange(250))


def test_all_pieces_of_the_first_batch_are_kept():
    data, model = digits(200), machine(digits(200))
    for x, y in zip(data.x.split(50), data.y.split(50), strict=True):  # as accumulate=4 cuts it
        model.updates(Table(x, y), Clock(0, 1))
    assert int(model.net.count) == 200
    assert model.net.examples[:200].equal(data.x)


def test_report_counts_and_draws_support_vectors():
    data = digits()
    model = train(machine(data, cost=1.0), data, epochs=4)
    with torch.no_grad():
        report = model.report(model.measure(data))
    assert report["support"]["examples"] == 300
    assert report["support"]["vectors"] == len(model.net.support())
    assert 0 < report["support"]["at_cost"] < report["support"]["vectors"]
    assert "support_vectors" not in report  # rows of a table are no pictures
    with torch.no_grad():
        report = model.report(model.measure(Table(data.x.view(-1, 1, 8, 8), data.y)))
    assert hasattr(report["support_vectors"](), "savefig")


def test_what_does_not_fit_is_refused():
    data = digits(100)
    with pytest.raises(DataError, match=r"more than 60 training examples.*room"):
        train(machine(data, room=60), data, epochs=1, size=50)
    with pytest.raises(ConfigError, match="cost=0"):
        machine(data, cost=0)
    with pytest.raises(ConfigError, match="gamma=-1"):
        machine(data, gamma=-1)
    with pytest.raises(ConfigError, match="did you mean 'gaussian'"):
        machine(data, kernel="gausian")
