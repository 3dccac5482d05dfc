"""The crops of two photographs: counts, and that no pixel is in two splits."""

import pytest
import torch

from dlcli.data.photographs import Photographs, crops
from dlcli.errors import ConfigError


def test_counts_and_colours():
    splits = Photographs().load(None)
    assert (splits.train.size, splits.valid.size, splits.test.size) == (1150, 104, 104)
    assert splits.train.x.shape[1:] == (3, 32, 32)
    assert splits.train.x.dtype == torch.uint8
    assert torch.bincount(splits.test.y).tolist() == [52, 52]
    assert (splits.train.x[:, 0] != splits.train.x[:, 2]).float().mean() > 0.5


def test_crops_are_places_of_the_picture():
    picture = torch.arange(20 * 30 * 3).view(20, 30, 3)
    found = crops(picture, 10, 5)
    assert found.shape == (3 * 5, 3, 10, 10)
    torch.testing.assert_close(found[6], picture[5:15, 5:15].permute(2, 0, 1))


def test_crops_that_do_not_fit():
    with pytest.raises(ConfigError, match="8 to 128 pixels"):
        Photographs(size=200).load(None)
