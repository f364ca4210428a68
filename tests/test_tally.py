"""What is gathered between two lines lies where the players are, also what a stop has carried over."""

import torch

from sparring.tally import Tally


def test_what_is_carried_over_a_stop_goes_where_the_new_numbers_are():
    tally = Tally()
    tally.load({"D/loss": torch.ones(2), "term/l1": torch.ones(3)})
    tally.add({"D/loss": torch.ones(4, device="meta")}, at=0)
    saved = tally.save()
    assert {name: len(values) for name, values in saved.items()} == {"D/loss": 3, "term/l1": 3}
    assert {values.device.type for values in saved.values()} == {"meta"}
    tally.clear()
    tally.load({"D/loss": torch.ones(2)})
    assert tally.save()["D/loss"].tolist() == [1, 1]
