"""Each augmentation against a loop over pictures and pixels, and for any batch the same."""

import math

import pytest
import torch
import torch.nn.functional as F

from dlcli.batch import Images, Masks
from dlcli.data.augment import Affine, Bernoulli, Chain, Crop, Cutout, Flip, Noise, Rotate, Shift
from dlcli.data.colour import Jitter
from dlcli.data.randaugment import RandAugment
from dlcli.data.randomness import Counter, normal
from dlcli.data.warp import AlternatingFlip, Elastic
from dlcli.errors import ConfigError

ALL = [
    Shift(pixels=2),
    Crop(padding=3),
    Flip(),
    Affine(degrees=20.0, pixels=1.5, scale=0.2),
    Rotate(degrees=40.0),
    Noise(std=0.3),
    Cutout(size=3),
    Bernoulli(),
    Chain(steps=[Crop(padding=2), Flip(), Cutout(size=2)]),
    Elastic(pixels=1.0),
    AlternatingFlip(),
    Jitter(brightness=0.3, contrast=0.3, saturation=0.5, hue=0.1),
    RandAugment(count=2, magnitude=20.0),
]
NAMES = [type(step).__name__ for step in ALL]


def pictures(count=17, channels=3, height=8, width=6):
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))


def counter(index=None):
    return Counter(3, 1, torch.arange(17) if index is None else index)


def on(step, x, draw):
    """Return pictures after a step; what they show must stay."""
    batch = step(Images(x, torch.arange(len(x))), draw)
    assert torch.equal(batch.y, torch.arange(len(x)))
    return batch.x


def given(*columns):
    """Return a draw that hands out the given numbers, one column of (B, N) a call."""
    calls = iter(columns)
    return lambda count: torch.as_tensor(next(calls)).view(-1, count)


@pytest.mark.parametrize("step", ALL, ids=NAMES)
def test_shape_range_and_source_are_kept(step):
    x = pictures()
    before = x.clone()
    changed = on(step, x, counter())
    assert changed.shape == x.shape
    assert changed.dtype == x.dtype
    assert 0 <= changed.min() <= changed.max() <= 1
    assert torch.equal(x, before)
    assert not torch.equal(changed, x)


@pytest.mark.parametrize("step", ALL, ids=NAMES)
def test_company_does_not_matter(step):
    x, whole = pictures(), on(ALL[ALL.index(step)], pictures(), counter())
    order = torch.randperm(17)
    assert torch.equal(on(step, x[order], counter(order)), whole[order])
    for size in (1, 4):
        for first in range(0, 17, size):
            rows = torch.arange(first, min(first + size, 17))
            assert torch.equal(on(step, x[rows], counter(rows)), whole[rows])


@pytest.mark.parametrize(
    "step", [Shift(pixels=0), Crop(padding=0), Rotate(degrees=0.0), Noise(std=0.0), Cutout(size=0)]
)
def test_nothing_asked_nothing_done(step):
    assert torch.allclose(on(step, pictures(), counter()), pictures(), atol=1e-6)
    assert on(Chain(), pictures(), counter()).equal(pictures())


def _moved(picture, down, right, at):
    """Look up each pixel `down` below and `right` beside its own place, as `at` says beyond the border."""
    _, height, width = picture.shape
    out = torch.zeros_like(picture)
    for row in range(height):
        for column in range(width):
            r, c = at(row + down, height), at(column + right, width)
            if r is not None and c is not None:
                out[:, row, column] = picture[:, r, c]
    return out


def test_shift_by_a_loop():
    x, draw = pictures(), counter()
    down, right = ((draw(1) * 5).long().flatten() - 2 for _ in range(2))
    expected = [
        _moved(p, d, r, lambda i, n: i if 0 <= i < n else None)
        for p, d, r in zip(x, down.tolist(), right.tolist(), strict=True)
    ]
    assert torch.equal(on(Shift(pixels=2), x, counter()), torch.stack(expected))
    assert set(down.tolist()) == set(right.tolist()) == {-2, -1, 0, 1, 2}


def test_crop_by_a_loop():
    x, draw = pictures(), counter()
    down, right = ((draw(1) * 7).long().flatten() - 3 for _ in range(2))
    expected = [
        _moved(p, d, r, lambda i, n: (n - 1) - abs((n - 1) - abs(i)))
        for p, d, r in zip(x, down.tolist(), right.tolist(), strict=True)
    ]
    assert torch.equal(on(Crop(padding=3), x, counter()), torch.stack(expected))


def test_flip_by_a_loop():
    x, heads = pictures(), counter()(1).flatten() < 0.5
    expected = [p[:, :, range(5, -1, -1)] if h else p for p, h in zip(x, heads, strict=True)]
    assert torch.equal(on(Flip(), x, counter()), torch.stack(expected))
    assert 0 < heads.sum() < 17


def _sampled(picture, row, column):
    """Interpolate between the four pixels about a place; black beyond the border."""
    top, left = math.floor(row), math.floor(column)
    total = torch.zeros(picture.shape[0])
    for r in (top, top + 1):
        for c in (left, left + 1):
            if 0 <= r < picture.shape[1] and 0 <= c < picture.shape[2]:
                total += picture[:, r, c] * (1 - abs(row - r)) * (1 - abs(column - c))
    return total


def test_affine_by_a_loop():
    x, (degrees, pixels, scale) = pictures(4), (25.0, 1.5, 0.3)
    out = on(Affine(degrees=degrees, pixels=pixels, scale=scale), x, Counter(3, 1, torch.arange(4)))
    for b, (turn, right, down, zoom) in enumerate((2 * Counter(3, 1, torch.arange(4))(4) - 1).tolist()):
        angle, factor = math.radians(turn * degrees), 1 + scale * zoom
        for row in range(8):
            for column in range(6):
                v, u = row - 3.5 - down * pixels, column - 2.5 - right * pixels
                source_row = (math.sin(angle) * u + math.cos(angle) * v) / factor + 3.5
                source_column = (math.cos(angle) * u - math.sin(angle) * v) / factor + 2.5
                assert torch.allclose(out[b, :, row, column], _sampled(x[b], source_row, source_column), atol=1e-4)


def test_a_quarter_turn_is_rot90():
    x = pictures(2, height=7, width=7)
    turned = on(Rotate(degrees=90.0), x, given(torch.tensor([[1.0, 0.5, 0.5, 0.5], [0.0, 0.5, 0.5, 0.5]])))
    assert torch.allclose(turned[0], x[0].rot90(1, (1, 2)), atol=1e-5)  # counter-clockwise
    assert torch.allclose(turned[1], x[1].rot90(-1, (1, 2)), atol=1e-5)


def test_whole_shift_of_affine_moves_the_content_right_and_down():
    x = pictures(1)
    moved = on(Affine(degrees=0.0, pixels=2.0, scale=0.0), x, given(torch.tensor([[0.5, 1.0, 0.75, 0.5]])))
    expected = torch.zeros_like(x)
    expected[:, :, 1:, 2:] = x[:, :, :-1, :-2]
    assert torch.allclose(moved, expected, atol=1e-5)


def test_affine_equals_torch_affine_grid():
    x, values = pictures(5), Counter(0, 0, torch.arange(5))(4)
    angle = (2 * values[:, 0] - 1) * math.radians(30)
    zoom = 1 + 0.2 * (2 * values[:, 3] - 1)
    ratio = 8 / 6  # affine_grid turns the square [-1, 1], so the sides enter
    cos, sin, zero = angle.cos() / zoom, angle.sin() / zoom, torch.zeros(5)
    theta = torch.stack([cos, -sin * ratio, zero, sin / ratio, cos, zero], 1).view(5, 2, 3)
    expected = F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)
    step = Affine(degrees=30.0, pixels=0.0, scale=0.2)
    assert torch.allclose(on(step, x, Counter(0, 0, torch.arange(5))), expected, atol=1e-5)


def test_noise_adds_and_clips():
    x = pictures()
    z = normal(counter(), 3 * 8 * 6).view_as(x)
    assert torch.equal(on(Noise(std=0.3), x, counter()), (x + 0.3 * z).clamp(0, 1))
    grey = torch.full((500, 1, 8, 8), 0.5)
    assert abs(on(Noise(std=0.1), grey, Counter(0, 0, torch.arange(500))).std() - 0.1) < 0.002


def test_cutout_by_a_loop():
    for size in (3, 4):
        x, draw = pictures(), counter()
        rows, columns = (draw(1) * 8).long().flatten().tolist(), (draw(1) * 6).long().flatten().tolist()
        expected = x.clone()
        for picture, row, column in zip(expected, rows, columns, strict=True):
            top, left = row - size // 2, column - size // 2
            picture[:, max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = 0
        assert torch.equal(on(Cutout(size=size), x, counter()), expected)


def test_bernoulli_is_fair_to_each_grey():
    x = torch.tensor([0.0, 0.25, 0.9, 1.0]).view(1, 1, 2, 2).expand(4000, 1, 2, 2)
    drawn = on(Bernoulli(), x, Counter(0, 0, torch.arange(4000)))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    share = drawn.mean((0, 1)).flatten()
    assert share[0] == 0
    assert share[3] == 1
    assert torch.allclose(share[1:3], torch.tensor([0.25, 0.9]), atol=4 * 0.5 / 4000**0.5)


def test_steps_of_a_chain_draw_anew():
    x = torch.full((17, 1, 6, 6), 0.5)
    twice = on(Chain(steps=[Bernoulli(), Noise(std=0.0)]), x, counter())
    assert torch.equal(twice, on(Bernoulli(), x, counter()))
    draw = counter()
    assert not torch.equal(on(Bernoulli(), x, draw), on(Bernoulli(), x, draw))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Shift(pixels=-1), "augment.pixels=-1 is out of range"),
        (lambda: Affine(scale=1.0), "augment.scale=1.0 .* at least 0 and below 1.0"),
        (lambda: Noise(std=-0.1), "augment.std=-0.1"),
        (lambda: on(Crop(padding=6), pictures(), counter()), "augment.padding=6 exceeds pictures of 8 x 6.*at most 5"),
    ],
)
def test_ranges(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def masked(count=17, height=8, width=6):
    """Return pictures whose first channel is their mask, and whose weights are a function of it."""
    y = torch.randint(0, 3, (count, height, width), generator=torch.Generator().manual_seed(0))
    return Masks((y / 2)[:, None].repeat(1, 2, 1, 1), y, 1.0 + y)


@pytest.mark.parametrize("step", [Shift(pixels=2), Crop(padding=3), Flip(), AlternatingFlip()])
def test_masks_and_weights_move_with_the_pictures(step):
    batch = step(masked(), counter())
    assert torch.equal(batch.x[:, 0], batch.y / 2)
    assert torch.equal(batch.w, 1.0 + batch.y)
    assert batch.y.dtype == torch.int64
    assert not torch.equal(batch.y, masked().y)


@pytest.mark.parametrize(
    "step", [Affine(degrees=40.0, pixels=2.0, scale=0.2), Rotate(degrees=90.0), Elastic(pixels=1.5)]
)
def test_interpolated_pictures_keep_whole_classes(step):
    data = masked(height=32, width=32)
    smooth = F.avg_pool2d(data.y[:, None].float(), 9, 1, 4, count_include_pad=False).round().long()[:, 0]
    batch = step(Masks(smooth[:, None] / 2, smooth, 1.0 + smooth), counter())
    assert set(batch.y.unique().tolist()) <= {0, 1, 2}
    assert torch.equal(batch.w, 1.0 + batch.y)
    assert ((batch.x[:, 0] - batch.y / 2).abs() > 0.26).float().mean() < 0.01  # only where two classes meet


def test_what_changes_grey_values_leaves_masks_alone():
    batch = Noise(std=0.1)(masked(), counter())
    assert torch.equal(batch.y, masked().y)
    assert not torch.equal(batch.x, masked().x)
    with pytest.raises(ConfigError, match="moves pictures but not their masks"):
        RandAugment()(masked(), counter())


def test_flips_alternate_and_half_begin_mirrored():
    x = pictures(200)
    epochs = [on(AlternatingFlip(), x, Counter(5, epoch, torch.arange(200))) for epoch in range(4)]
    assert torch.equal(epochs[0], epochs[2])
    assert torch.equal(epochs[1], epochs[3])
    assert torch.equal(epochs[1], epochs[0].flip(-1))
    assert 70 < (epochs[0] == x).flatten(1).all(1).sum() < 130


def test_elastic_equals_a_displacement_by_hand():
    x = pictures(3, height=9, width=9)
    coarse = 1.5 * normal(Counter(0, 0, torch.arange(3)), 18).view(3, 2, 3, 3)
    field = F.interpolate(coarse, size=(9, 9), mode="bicubic", align_corners=True)
    assert torch.allclose(field[:, :, ::4, ::4], coarse, atol=1e-5)  # the vectors stand at the corners and midpoints
    out = on(Elastic(pixels=1.5), x, Counter(0, 0, torch.arange(3)))
    for row, column in ((0, 0), (4, 4), (8, 3), (5, 7)):
        expected = _sampled(x[1], row + field[1, 0, row, column].item(), column + field[1, 1, row, column].item())
        assert torch.allclose(out[1, :, row, column], expected, atol=1e-4)


def test_jitter_in_its_parts():
    x, half = pictures(2) * 0.5 + 0.25, torch.full((2, 4), 0.5)

    def part(index, **options):
        values = half.clone()
        values[:, index] = 1.0
        return Jitter(**{"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0} | options).change(
            x, given(values)
        )

    grey = (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    assert torch.allclose(part(0, brightness=0.2), 1.2 * x, atol=1e-6)
    mean = grey.mean((1, 2, 3), keepdim=True)
    assert torch.allclose(part(1, contrast=0.2), 1.2 * x - 0.2 * mean, atol=1e-6)
    assert torch.allclose(part(2, saturation=0.2), (1.2 * x - 0.2 * grey).clamp(0, 1), atol=1e-5)
    turned = part(3, hue=0.25)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    inside = ((turned > 0) & (turned < 1)).all(1)
    assert torch.allclose((turned * weights).sum(1)[inside], grey[:, 0][inside], atol=1e-5)  # as bright as before
    flat = torch.full((2, 3, 4, 4), 0.4)
    assert torch.allclose(
        Jitter(saturation=0.9, hue=0.4, brightness=0.0, contrast=0.0).change(flat, counter(torch.arange(2))),
        flat,
        atol=1e-5,
    )


def test_jitter_of_grey_pictures_is_brightness_and_contrast():
    x = pictures(2, channels=1) * 0.5 + 0.25
    values = torch.tensor([[1.0, 1.0, 0.3, 0.3]] * 2)
    bright = 1.1 * x
    expected = 1.1 * bright - 0.1 * bright.mean((1, 2, 3), keepdim=True)
    assert torch.allclose(Jitter(brightness=0.1, contrast=0.1).change(x, given(values)), expected, atol=1e-6)
