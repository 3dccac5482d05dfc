"""Nets for raw waveforms: published sizes, any length, filters that find a tone."""

import pytest
import torch

from dlcli.errors import ConfigError
from dlcli.nets.waveform import STAGES, Waveform


@pytest.mark.parametrize(("depth", "published"), [(3, 0.2e6), (5, 0.5e6), (11, 1.8e6), (18, 3.7e6)])
def test_sizes_are_those_of_the_paper(depth, published):
    with torch.device("meta"):
        net = Waveform(channels=1, length=32000, classes=10, depth=depth).eval()
        count = sum(p.numel() for p in net.parameters())
        assert count == pytest.approx(published, abs=0.06e6)
        assert net(torch.zeros(2, 1, 32000)).shape == net(torch.zeros(2, 1, 9000)).shape == (2, 10)


@pytest.mark.parametrize("depth", STAGES)
def test_the_shortest_recording_passes_and_a_shorter_one_is_refused(depth):
    least = 64 if depth == 3 else 1024
    net = Waveform(channels=1, length=least, classes=2, depth=depth, scale=0.125).eval()
    assert net(torch.rand(1, 1, least)).shape == (1, 2)
    with pytest.raises(ConfigError, match=f"at least {least}"):
        Waveform(channels=1, length=least - 1, classes=2, depth=depth)


def test_an_unknown_depth_is_named():
    with pytest.raises(ConfigError, match="depth=7: choose one of 3, 5, 11, 18"):
        Waveform(channels=1, length=8000, classes=2, depth=7)
