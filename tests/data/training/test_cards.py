import random

import mini_d2
import pytest

from nearfar.data.catalog import DATASETS, open_dataset
from nearfar.data.training.cards import TRAINING
from nearfar.errors import NearfarError

TREES = [(card.name, tree) for card in TRAINING for tree in card.fixture]


def test_licences_are_sorted_as_their_owners_say():
    commercial = {card.name: card.commercial for card in TRAINING}
    assert [name for name, value in commercial.items() if value] == [
        "hypersim", "urbansyn", "tartanair"
    ]  # fmt: skip
    assert [name for name, value in commercial.items() if value is False] == [
        "vkitti2", "pointodyssey"
    ]  # fmt: skip
    assert all(DATASETS[card.name] is card for card in TRAINING)


@pytest.mark.parametrize(("name", "tree"), TREES)
def test_what_a_card_promises_is_in_the_records(tmp_path, name, tree):
    getattr(mini_d2, f"write_{tree}")(tmp_path)
    card = DATASETS[name]
    data = open_dataset(name, tmp_path / "tars" if tree.endswith("_tar") else tmp_path, split="all")
    found = [data.record(i) for i in range(len(data.sample_ids))]
    assert found and all(record.depth_kind == "metric" for record in found)
    if tree not in ("webdataset", "hypersim_marigold"):  # shards may hold anything
        assert all((record.sky_HW is not None) == card.has_sky for record in found)
        assert all((record.pose_44 is not None) == card.has_pose for record in found)


@pytest.mark.parametrize(("name", "tree"), TREES)
def test_damaged_files_are_one_clear_error(tmp_path, name, tree):
    """Every file in turn, cut and with scrambled bytes: it still reads, or one error says why."""
    getattr(mini_d2, f"write_{tree}")(tmp_path)
    root = tmp_path / "tars" if tree.endswith("_tar") else tmp_path
    dice, refused = random.Random(tree), 0
    for path in sorted(p for p in root.rglob("*") if p.is_file())[:24]:
        whole = path.read_bytes()
        scrambled = bytearray(whole)
        for _ in range(12):
            scrambled[dice.randrange(min(len(whole), 400))] = dice.randrange(256)
        for content in (whole[: dice.randrange(len(whole))], bytes(scrambled)):
            path.write_bytes(content)
            try:
                data = open_dataset(name, root, split="all")
                for i in range(min(2, len(data.sample_ids))):
                    data.record(i)
            except NearfarError as error:
                refused += 1
                assert "\n" not in str(error) and str(error).count(": ") >= 1
        path.write_bytes(whole)
    assert refused > 0
