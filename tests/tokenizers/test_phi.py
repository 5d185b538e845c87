import pytest
from golden_tokenizers import table

from nearfar.errors import ConfigError
from nearfar.tokenizers.phi import phi_of_scales


@pytest.mark.parametrize("phi_count", [3, 4])
def test_golden_maps_are_exact(phi_count):
    maps = table("phi_map")[f"phi_count_{phi_count}"]
    assert len(maps) == 15
    for scale_count, expected in maps.items():
        assert list(phi_of_scales(int(scale_count), phi_count)) == expected


def test_one_for_all_and_one_for_each():
    assert phi_of_scales(10, 1) == (0,) * 10
    assert phi_of_scales(5, 0) == (0, 1, 2, 3, 4)
    assert phi_of_scales(7, 7) == tuple(range(7))  # released code stores that as "not shared"
    assert phi_of_scales(1, 4) == (0,)


@pytest.mark.parametrize(("scale_count", "phi_count"), [(0, 4), (3, -1), (17, 4)])
def test_impossible_counts(scale_count, phi_count):
    with pytest.raises(ConfigError):
        phi_of_scales(scale_count, phi_count)
