import numpy as np
import pytest

from nearfar.errors import DataError
from nearfar.eval.parts import AveragePart
from nearfar.eval.samples import SKIPPED, SampleRow, SampleTable
from nearfar.eval.statistics import bootstrap_interval
from nearfar.eval.summaries import column, difference, range_name, subsets, summaries

IMAGES = AveragePart(over="images", weights={})
SCENES = AveragePart(over="scenes", weights={})
PLANES = AveragePart(over="images", weights={"m": "planes"})


def rows(values, scenes, **notes):
    return tuple(
        SampleRow(
            index=i,
            sample_id=str(i),
            scene=str(s),
            place="indoor" if i % 2 else "outdoor",
            values={"m": v},
            notes={name: numbers[i] for name, numbers in notes.items()},
        )
        for i, (v, s) in enumerate(zip(values, scenes, strict=True))
    )


def table(*given, **notes):
    return SampleTable(metrics=("m",), notes=tuple(notes), rows=rows(*given, **notes))


def test_orders_of_averaging():
    one = table([1.0, 2.0, 6.0], ["a", "a", "b"], planes=[1, 1, 2])
    assert summaries(one, IMAGES)["m"].mean == 3.0
    assert summaries(one, SCENES)["m"].mean == (1.5 + 6.0) / 2
    pooled = summaries(one, PLANES)["m"]
    assert pooled.mean == (1 + 2 + 6 + 6) / 4 and pooled.n == 3
    assert summaries(one, SCENES)["m"].n == 3


def test_interval_resamples_scenes():
    values = np.random.default_rng(1).normal(size=40)
    scenes = np.repeat(np.arange(10), 4)
    found = summaries(table(values, scenes), IMAGES)["m"]
    names = [str(s) for s in scenes]
    want = bootstrap_interval(values, generator=np.random.default_rng(0), scenes=names)
    assert found.ci95 == (want.low, want.high)
    assert found.ci95[0] < found.mean < found.ci95[1]
    assert found.std == pytest.approx(values.std(ddof=1))


def test_one_scene_has_no_interval():
    found = summaries(table([1.0, 2.0], ["a", "a"]), IMAGES)["m"]
    assert found.ci95 == (None, None) and found.median == 1.5


def test_undefined_and_skipped_values_are_left_out_and_counted():
    given = rows([1.0, float("nan"), 3.0], "abc")
    given += (SampleRow(index=9, sample_id="9", scene="d", status=SKIPPED, values={"m": 50.0}),)
    part = column(given, "m", IMAGES)
    assert part.values_N.tolist() == [1.0, 3.0] and part.undefined == 1
    assert summaries(SampleTable(metrics=("m", "x"), notes=(), rows=given), IMAGES).keys() == {"m"}


def test_groups_by_scene_place_and_range():
    found = subsets(table([1.0, 2.0, 6.0], ["a", "a", "b"], median_m=[1.0, 3.0, 30.0]), IMAGES)
    assert found["scene"]["a"]["m"].mean == 1.5
    assert found["place"]["outdoor"]["m"].mean == 3.5
    assert list(found["range"]) == ["0-2 m", "2-5 m", "20- m"]
    assert subsets(table([1.0], ["a"]), IMAGES) == {}


def test_range_names():
    assert [range_name(m) for m in (0.5, 2.0, 7, 15, 99, None)] == [
        "0-2 m",
        "2-5 m",
        "5-10 m",
        "10-20 m",
        "20- m",
        "",
    ]


def test_difference_pairs_by_sample():
    a = rows([1.0, 2.0, 3.0, 4.0], "abcd")
    b = tuple(reversed(rows([1.5, 2.5, 3.4, 4.6], "abcd")))
    found = difference(a, b, "m", IMAGES)
    assert found.mean == pytest.approx(0.5) and found.low > 0.3
    over = difference(a, b, "m", SCENES)
    assert over.mean == pytest.approx(0.5)
    with pytest.raises(DataError, match="no sample"):
        difference(a, (), "m", IMAGES)
