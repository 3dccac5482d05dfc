"""Codes drawn from the latent space."""

import pytest
import torch

from dlcli.errors import ConfigError
from dlcli.samplers import Interpolation, Manifold, Prior, Text


def test_temperature_scales_the_prior():
    z = Prior(temperature=0.5)(20_000, 3)
    assert z.std().item() == pytest.approx(0.5, abs=0.01)
    assert z.mean().item() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_an_interpolation_starts_and_ends_at_its_codes(path):
    ends = torch.randn(4, 6)
    z = Interpolation(steps=5, path=path)(10, 6, lambda count: ends[:count])
    torch.testing.assert_close(z[[0, 4, 5, 9]], ends)
    if path == "linear":
        torch.testing.assert_close(z[2], ends[:2].mean(0))


def test_the_arc_keeps_the_length_that_the_line_loses():
    ends = torch.eye(2)
    arc, line = (
        Interpolation(steps=3, path=path)(3, 2, lambda count: ends)[1].norm().item() for path in ("spherical", "linear")
    )
    assert arc == pytest.approx(1.0)
    assert line == pytest.approx(0.5**0.5)


def test_parallel_codes_give_no_nan():
    z = Interpolation(steps=4)(4, 2, lambda count: torch.ones(2, 2))
    torch.testing.assert_close(z, torch.ones(4, 2))


def test_the_number_of_samples_need_not_fill_the_last_walk():
    assert Interpolation(steps=8)(11, 3).shape == (11, 3)


def test_the_manifold_has_equal_mass_between_its_lines():
    z = Manifold()(25, 2)
    shares = torch.special.ndtr(z.double())
    torch.testing.assert_close(
        shares[:5, 1], torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64), atol=1e-6, rtol=0
    )
    assert Manifold()(7, 2).shape == (7, 2)


def test_wrong_choices_say_what_to_do():
    with pytest.raises(ConfigError, match=r"latent=16; train one with model\.latent=2"):
        Manifold()(4, 16)
    with pytest.raises(ConfigError, match="unknown path 'geodesic': choose linear or spherical"):
        Interpolation(path="geodesic")
    with pytest.raises(ConfigError, match="at least 2 steps"):
        Interpolation(steps=1)


def test_a_sampler_of_text_says_what_cannot_be():
    for options, said in (
        ({"prompt": "a", "file": "b"}, "one beginning only"),
        ({"temperature": -0.1}, r"sampler\.temperature=-0\.1: 0 \(the most probable token\) or a number above"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"length": 0}, r"sampler\.length=0: must be 1 or more"),
        ({"top_k": 0}, "top_k=0"),
        ({"beam": 0}, "beam=0"),
        ({"top_p": 0.0}, r"sampler\.top_p=0\.0: a probability, above 0 and up to 1"),
        ({"repetition": 0.5}, r"sampler\.repetition=0\.5: 1 \(no penalty\) or more"),
    ):
        with pytest.raises(ConfigError, match=said):
            Text(**options)
    with pytest.raises(ConfigError, match="sampler=text is for models that write"):
        Text()(3, 4)


@pytest.mark.parametrize("option", [{"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.9}, {"repetition": 1.5}])
def test_a_sampler_of_text_knows_whether_it_changes_the_probabilities(option):
    assert Text(**option).altered
    assert Text(prompt="a", beam=3, length=5, **option).altered
    assert not Text(prompt="a", beam=3, length=5, label="b").altered


def test_a_text_begins_with_its_prompt():
    assert Text(prompt="ROMEO:").given() == "ROMEO:"
    assert Text().given() == ""
