import math

import pytest
import torch

from nearfar.train import watch
from nearfar.train.watch import Clock, Watcher


@pytest.fixture
def now(monkeypatch):
    times = [100.0]
    monkeypatch.setattr(watch.time, "perf_counter", lambda: times[0])
    return times


def test_speed_time_left_and_means(now):
    clock = Clock(batch=8, steps=10, started=90.0)
    for loss in (1.0, 3.0):
        now[0] += 2.0
        assert clock.took_step({"loss": loss, "part": torch.tensor(loss)}, waited_s=0.5) == 2.0
    now[0] += 2.0
    clock.took_step(None, waited_s=2.0)  # a skipped step takes time but has no values
    report = clock.report(3, 3.0)
    assert report.samples_per_s == pytest.approx(4.0) and report.seconds_left == pytest.approx(14)
    record = clock.record()
    assert record == {"loss": 2.0, "part": 2.0, "samples_per_s": 4.0, "data_share": 0.5}
    assert math.isfinite(clock.record()["samples_per_s"])  # nothing in between


def test_saving_restarts_its_own_clock(now):
    clock = Clock(batch=1, steps=1, started=90.0)
    now[0] += 5
    assert (clock.since_save(), clock.session()) == (5, 15)
    clock.saved()
    now[0] += 1
    assert (clock.since_save(), clock.session()) == (1, 16)


def test_the_plain_watcher_never_stops_a_run():
    assert Watcher().should_stop() is False
