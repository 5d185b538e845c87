import torch
from micro_run import MicroNetwork

from nearfar.train.ema import MovingAverage


def filled(value: float) -> MicroNetwork:
    network = MicroNetwork()
    set_all(network, value)
    return network


@torch.no_grad()
def set_all(network, value):
    for tensor in network.state_dict(keep_vars=True).values():
        tensor.fill_(value)


def test_average_follows_the_formula_with_early_forgetting():
    network = filled(0.0)
    average = MovingAverage(network, 0.5)
    expected = 0.0
    for step, value in enumerate([1.0, 3.0, 5.0, 2.0] * 5):
        set_all(network, value)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    state = average.state_dict()
    torch.testing.assert_close(state["conv1.weight"], torch.full((8, 3, 3, 3), expected))
    torch.testing.assert_close(state["norm.running_var"], torch.full((8,), expected))
    assert state["norm.num_batches_tracked"] == 2  # counters are copied, not averaged


def test_applied_swaps_and_restores_even_after_an_error():
    network = filled(0.0)
    average = MovingAverage(network, 0.9)
    set_all(network, 4.0)
    try:
        with average.applied():
            assert network.conv1.weight.max() == 0
            raise RuntimeError
    except RuntimeError:
        pass
    assert network.conv1.weight.min() == 4


def test_zero_decay_is_the_network_itself():
    network = filled(1.0)
    average = MovingAverage(network, 0.0)
    set_all(network, 2.0)
    average.update(0)
    with average.applied():
        assert average.state_dict()["conv1.weight"].min() == 2


def test_save_load_reset():
    network = filled(1.0)
    average = MovingAverage(network, 0.9)
    set_all(network, 7.0)
    other = MovingAverage(network, 0.9)
    other.load_state_dict(average.state_dict())
    assert other.state_dict()["conv1.weight"].max() == 1
    other.reset()
    assert other.state_dict()["conv1.weight"].min() == 7


def test_broken_statistics_heal():
    network = filled(1.0)
    average = MovingAverage(network, 0.9)
    network.norm.running_mean.fill_(float("nan"))
    average.heal_buffers(network)
    assert network.norm.running_mean.tolist() == [1.0] * 8
