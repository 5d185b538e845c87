import pytest

from sonde.eval.metric_names import arrow, higher_is_better, shown, title_of


@pytest.mark.parametrize(
    "name", ["delta1", "delta0.5", "delta1_ppd", "boundary_f1", "boundary_recall", "aurg_abs_rel"]
)
def test_shares_of_right_pixels_are_better_when_high(name):
    assert higher_is_better(name) and arrow(name) == "up"


@pytest.mark.parametrize("name", ["abs_rel", "rmse", "delta1_error", "flywin", "chamfer_m", "ause"])
def test_errors_are_better_when_low(name):
    assert not higher_is_better(name) and arrow(name) == "down"


def test_numbers_are_short_and_missing_ones_a_dash():
    assert [shown(v) for v in (0.123456, 12345.6, 0, None, float("nan"))] == [
        "0.1235",
        "12346",
        "0",
        "-",
        "-",
    ]
    assert (title_of("abs_rel"), title_of("own_thing")) == ("AbsRel", "own thing")
