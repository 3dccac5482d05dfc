"""Views of codes against closed forms: rules whose codes, neighbours, clusters and errors are known beforehand."""

import pytest
import torch
from torch import Tensor

from dlcli.batch import Images, Table
from dlcli.data.loader import Resident
from dlcli.model import Model
from dlcli.models.vqvae import VQVAE
from dlcli.nets.vqvae import Codebook, MapDecoder, MapEncoder, Prior
from dlcli.seeing.codes import anomaly, arithmetic, clusters, compression, interpolation, jpeg, neighbours, traversal
from dlcli.seeing.codes.others import digits, photographs
from dlcli.seeing.codes.reconstruction import squared
from dlcli.seeing.codes.scene import Codes, means
from dlcli.seeing.codes.views import OF_CODES

SIDE = 6
NAMES = ["cat", "dog", "owl"]


class Flat(Model):
    """Codes are coordinates on given axes (Z, D) around a mean (D,)."""

    def __init__(self, axes: Tensor, mean: Tensor):
        super().__init__()
        self.axes, self.mean = axes, mean

    def embed(self, batch):
        return (batch.x.flatten(1) - self.mean) @ self.axes.T

    def decode(self, codes):
        return self.mean + codes @ self.axes


class Bump(Model):
    """A code is the place of a bump on a line of pixels."""

    places = torch.arange(SIDE * SIDE).float()

    def embed(self, batch):
        x = batch.x.flatten(1)
        return (x * self.places).sum(1, keepdim=True) / x.sum(1, keepdim=True)

    def decode(self, codes):
        return (-(self.places - codes).square() / 8).exp().view(-1, 1, SIDE, SIDE)


def blobs(count: int = 60, spread: float = 0.02) -> Images:
    """Return pictures that lie close to one of three, one class each, the classes taking turns."""
    centres = torch.rand(3, SIDE * SIDE, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    y = torch.arange(count) % 3
    x = centres[y] + spread * torch.randn(count, SIDE * SIDE)
    return Images(x.clamp(0, 1).view(-1, 1, SIDE, SIDE), y)


def rotated(data: Images, width: int = SIDE * SIDE) -> Flat:
    """Return a rule whose codes are the pixels seen from another side."""
    axes = torch.linalg.qr(torch.randn(SIDE * SIDE, SIDE * SIDE)).Q
    return Flat(axes[:width], data.x.flatten(1).mean(0))


def scene(model: Model, data: Images, **more) -> Codes:
    """Return a model with its examples, the same for training and split."""
    return Codes(model=model, sample=data, train=data, names=NAMES, **more)


def test_codes_go_in_parts_and_come_back_in_the_shape_of_the_examples():
    data = blobs(1203)
    codes = scene(rotated(data), data)
    assert codes.z.shape == (1203, SIDE * SIDE)
    assert torch.allclose(codes.rebuilt, data.x, atol=1e-5)
    assert torch.allclose(codes.code(data.x[:7]), codes.z[:7], atol=1e-5)
    away, kind = codes.nearest(data.x[:9])
    assert away.max() < 1e-3
    assert torch.equal(kind, data.y[:9])
    moved = data.x[:1] + 0.1
    apart = (data.x - moved).flatten(1).square().mean(1).sqrt()
    assert codes.nearest(moved)[0].item() == pytest.approx(apart.min().item(), abs=1e-5)


def test_means_by_class_are_zero_where_there_is_no_example():
    found = means(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 2]), 3)
    assert found.flatten().tolist() == [2, 0, 5]


def test_the_way_through_linear_codes_is_fading_and_through_the_right_codes_is_not():
    data = blobs()
    away = interpolation.distances(scene(rotated(data, 5), data))
    assert torch.allclose(away["through codes"], away["fading"], atol=1e-5)
    x = Bump().decode(torch.linspace(4, 31, 50)[torch.randperm(50)][:, None])
    away = interpolation.distances(scene(Bump(), Images(x, torch.arange(50) % 3)))
    assert away["through codes"].max() < 0.05
    assert away["fading"][4] > 2 * away["through codes"].max()
    assert away["fading"][0] == pytest.approx(away["through codes"][0].item())
    mixed = interpolation.shuffled(torch.arange(40.0).view(20, 2))
    assert mixed[:, 0].sort().values.tolist() == list(range(0, 40, 2))
    assert not torch.equal(mixed[:, 0] + 1, mixed[:, 1])
    walk = interpolation.walk(torch.tensor([[0.0, 2.0]]), torch.tensor([[4.0, 0.0]]), 3)
    assert walk.tolist() == [[[0, 2], [2, 1], [4, 0]]]


def test_sums_of_codes_that_are_pixels_are_sums_of_pixels_and_arrive():
    data = blobs()
    codes = scene(rotated(data), data)
    table = arithmetic.draw(codes)["change of class"]
    assert table["by codes"] == pytest.approx(table["by pixels"], abs=1e-3)
    assert [row["arrives"] for row in table.values()] == [1, 1, 1]
    assert table["by codes"]["distance"] < 0.1


def test_a_class_that_was_not_learned_is_no_aim():
    data = blobs()
    learned = Images(*(column[data.y != 1] for column in data))
    codes = Codes(model=rotated(data), sample=data, train=learned, names=NAMES)
    found = arithmetic.draw(codes)
    assert [label.get_text() for label in found["arithmetic"].axes[0].get_yticklabels()] == ["cat", "owl"]
    assert found["change of class"]["by codes"]["arrives"] == 1


def test_neighbours_are_those_of_scikit_learn():
    from sklearn.neighbors import NearestNeighbors

    points, y = torch.randn(80, 4), torch.arange(80) % 3
    near = NearestNeighbors(n_neighbors=6).fit(points.numpy()).kneighbors(points.numpy())[1][:, 1:]
    assert torch.equal(neighbours.order(points, 5), torch.from_numpy(near))
    worked = neighbours.purity(torch.tensor([[1, 2], [0, 2], [1, 0]]), torch.tensor([0, 0, 1]))
    assert (worked["nearest 1"], worked["nearest 5"]) == pytest.approx((2 / 3, 1 / 3))
    found = neighbours.purity(neighbours.order(points, 10), y)
    assert found["nearest 5"] == pytest.approx((y[near] == y[:, None]).double().mean().item())


def test_neighbours_by_angle_ignore_lengths():
    data = blobs()
    codes = scene(rotated(data), data)
    codes.__dict__["z"] = torch.tensor([[1.0, 0.0], [9.0, 0.1], [1.0, 0.9]])
    codes.__dict__["x"] = data.x[:3]
    spaces = neighbours.spaces(codes)
    assert neighbours.order(spaces["codes"], 1)[0].item() == 2
    assert neighbours.order(spaces["codes, angle"], 1)[0].item() == 1


def test_clusters_that_lie_apart_are_found_and_agreement_has_its_known_values():
    data = blobs()
    table = clusters.draw(scene(rotated(data, 8), data))["k-means"]
    assert set(table) == {"pixels", "8 principal components", "codes"}
    assert all(value == pytest.approx(1) for row in table.values() for value in row.values())
    crossed = clusters.agreement(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]))
    assert crossed == pytest.approx({"NMI": 0, "ARI": -0.5, "purity": 0.5})
    same = torch.zeros(6, 2)  # collapsed codes: one place, three clusters asked for
    assert clusters.group(same, 3).cluster.tolist() == [0] * 6
    collapsed = scene(Flat(torch.zeros(2, SIDE * SIDE), torch.zeros(SIDE * SIDE)), data)
    assert set(clusters.draw(collapsed)) == {"clusters", "k-means"}


def test_principal_components_are_those_of_the_covariance():
    data = blobs(200, 0.1)
    codes = scene(rotated(data, 4), data)
    back = codes.lift(codes.project(data.x))
    flat = data.x.flatten(1).double()
    left = torch.linalg.eigvalsh((flat - flat.mean(0)).T @ (flat - flat.mean(0)) / len(flat))[:-4]
    assert squared(back, data.x).mean().item() == pytest.approx(left.sum().item(), rel=0.01)  # pixels are clamped
    assert scene(rotated(data), data).principal is None  # as many numbers as pixels are no code


def test_codes_on_the_principal_axes_cost_and_lose_what_components_do():
    data = blobs(200, 0.1)
    first = scene(rotated(data, 4), data)
    axes = torch.from_numpy(first.principal.components_).float()
    table = compression.draw(scene(Flat(axes, data.x.flatten(1).mean(0)), data))["bytes and errors"]
    for detail in ("", ", rounded"):
        assert table[f"code{detail}"] == pytest.approx(table[f"components{detail}"], rel=1e-3)
    assert (table["code"]["bytes"], table["code, rounded"]["bytes"], table["code"]["ratio"]) == (16, 4, 36 / 16)
    assert table["code"]["psnr"] == pytest.approx(-10 * torch.tensor(table["code"]["mse"]).log10().item(), rel=1e-5)
    assert table["JPEG"]["bytes"] <= 16


def test_codes_of_indices_take_few_bits_and_cannot_be_rounded():
    data = Images(torch.rand(12, 1, 8, 8), torch.zeros(12).long())
    model = VQVAE(
        encoder=MapEncoder(channels=1, widths=[4], latent=3),
        decoder=MapDecoder(channels=1, height=8, width=8, widths=[4], latent=3),
        codebook=Codebook(codes=20, latent=3),
        prior=Prior(codes=20, height=8, width=8, widths=[4], hidden=5),
    ).eval()
    assert model.bits == 4 * 4 * 5
    way, packed = compression.ways(scene(model, data))
    assert (way.name, packed.name) == ("code", "JPEG")
    back = way.back(data.x)
    assert back.bytes == 10
    torch.testing.assert_close(back.x, model.rebuild(data.x).clamp(0, 1))


def test_eight_bits_are_255_steps_between_the_known_ends():
    known = torch.tensor([[0.0, 5.0], [255.0, 5.0]])
    rounded = compression.coarse(torch.tensor([[3.4, 5.0], [-7.0, 6.0], [999.0, 5.0]]), known)
    assert rounded[:, 0].tolist() == pytest.approx([3, 0, 255])
    assert rounded[:, 1].tolist() == pytest.approx([5, 5, 5])


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 13, 9), (1, 8, 8)])
def test_jpeg_keeps_pictures_apart_and_within_the_budget(channels, height, width):
    greys = torch.linspace(0.1, 0.9, 7).view(-1, 1, 1, 1).expand(-1, channels, height, width)
    found = jpeg.pack(greys, 1e6)
    assert found.x.shape == greys.shape
    assert (found.x - greys).abs().max() < 0.01  # a neighbour on the sheet would show
    x = photographs(60, (channels, height, width))
    costs, errors = [], []
    for budget in (15, 60, 200):
        found = jpeg.pack(x, budget)
        costs.append(found.bytes)
        errors.append((found.x - x).square().mean().item())
        assert found.bytes <= budget or budget == 15
    assert costs == sorted(costs)
    assert errors == sorted(errors, reverse=True)


def test_other_pictures_have_the_shape_that_is_asked_for():
    for make in (digits, photographs):
        for shape in ((1, 28, 28), (3, 10, 14), (4, 8, 8)):
            x = make(5, shape)
            assert x.shape == (5, *shape)
            assert 0 <= x.min() < x.max() <= 1


def test_strangers_off_the_learned_plane_are_found():
    data = blobs()
    learned = Images(*(column[data.y != 2] for column in data))
    axes = torch.linalg.svd(learned.x.flatten(1) - learned.x.flatten(1).mean(0)).Vh[:3]
    codes = Codes(
        model=Flat(axes, learned.x.flatten(1).mean(0)), sample=data, train=learned, names=NAMES, without=[2],
        split=Resident(data, size=25, shuffle=False), measured={"loss": (data.y == 2).float()},
    )  # fmt: skip
    found = anomaly.draw(codes)
    assert found["area under the ROC"] == {"owl": {"loss": 1, "squared error": 1, "components": 1}}
    assert "owl against the classes that were learned" in found["anomaly"].axes[0].get_title()
    codes.measured["loss"] = torch.zeros(60)
    assert anomaly.draw(codes)["area under the ROC"]["owl"]["loss"] == 0.5


def test_the_number_that_moves_most_comes_first():
    axes = torch.eye(SIDE * SIDE)[:3]
    data = blobs()
    x = data.x.flatten(1).clone()
    x[:, :3] = 0.5 + torch.randn(60, 3) * torch.tensor([0.01, 0.1, 0.03])
    codes = scene(Flat(axes, torch.full((SIDE * SIDE,), 0.5)), Images(x.clamp(0, 1).view(-1, 1, SIDE, SIDE), data.y))
    assert traversal.strongest(codes).tolist() == [1, 2, 0]


def test_every_view_can_be_drawn_and_says_what_it_lacks():
    data = blobs()
    codes = scene(rotated(data, 2), data, split=Resident(data, size=60, shuffle=False))
    assert OF_CODES["anomaly"].lacks(codes) == (
        "the training knew all classes; leave one out with `dl train without=[CLASS]`"
    )
    for name in set(OF_CODES) - {"anomaly"}:
        assert OF_CODES[name].lacks(codes) is None
        for value in OF_CODES[name].draw(codes).values():
            if hasattr(value, "canvas"):
                value.canvas.draw()  # which fails on colours and texts that cannot be drawn
            elif isinstance(value, dict):
                columns = [set(row) for row in value.values()]
                assert all(column == columns[0] for column in columns)  # or it could not be printed
    assert "a code has 5 numbers, not two" in OF_CODES["plane"].lacks(scene(rotated(data, 5), data))


def test_rows_have_clusters_and_neighbours_but_no_pictures():
    rows = Table(torch.randn(40, 5), torch.arange(40) % 3)
    codes = scene(Flat(torch.eye(5)[:2], torch.zeros(5)), rows, split=Resident(rows, size=40, shuffle=False))
    fitting = {name for name, view in OF_CODES.items() if view.lacks(codes) is None}
    assert fitting == {"neighbours", "clusters"}
    assert set(OF_CODES["clusters"].draw(codes)) == {"k-means"}
    assert set(OF_CODES["neighbours"].draw(codes)) == {"neighbours of the same class"}
    numbers = Table(torch.randn(40, 5), torch.randn(40, 1))
    codes = scene(Flat(torch.eye(5)[:2], torch.zeros(5)), numbers, split=Resident(numbers, size=40, shuffle=False))
    assert OF_CODES["clusters"].lacks(codes) == "the data do not name one class for each example"
