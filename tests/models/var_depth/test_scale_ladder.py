import torch

from nearfar.models.var_depth.scale_ladder import coordinates


def run(network, photo, *, keep=None, scales=3):
    features = network.features(photo, None)
    pooled, u, found = torch.zeros(1, 16), None, []
    for scale in range(scales):
        side = network.config.tokenizer.scales[scale]
        inputs = None if scale == 0 else torch.ones(len(photo), 4, side, side)
        said = network.ladder(
            features, pooled, inputs_BChw=inputs, u_BChw=u, scale=scale, keep_B=keep
        )
        u = said.u_BChw
        found.append(said)
    return found


def test_each_scale_has_its_grid_and_every_place_its_tokens(micro, photo):
    found = run(micro(), photo)
    for side, said in zip((1, 2, 3), found):
        assert said.u_BChw.shape == (2, 16, side, side)
        assert said.entry_BLD.shape == (2, side * side, 32)
        assert list(said.before) == [1]  # entry at block 0, then before every block


def test_it_carries_earlier_scales_on(micro, photo):
    network = micro()
    first = run(network, photo)[2].entry_BLD
    with torch.no_grad():
        network.ladder.start.bias += 1  # u_0 alone
    assert (run(network, photo)[2].entry_BLD - first).abs().max() > 1e-4


def test_fine_features_enter_above_half_the_grid_only(micro, photo):
    network = micro()
    torch.nn.init.normal_(
        network.ladder.skip_fine.weight, generator=torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        before = network.ladder._photo(network.features(photo, None), 5)
        after = network.ladder._photo(network.features(photo, None), 6)
        network.ladder.skip_fine.weight.zero_()
        assert torch.equal(network.ladder._photo(network.features(photo, None), 5), before)
        assert not torch.equal(network.ladder._photo(network.features(photo, None), 6), after)


def test_a_moved_photo_moves_what_is_added(micro):
    network = micro()
    photo = torch.zeros(1, 3, 40, 40)
    photo[..., :20] = 1
    last = run(network, photo, scales=10)[9].entry_BLD[0].norm(dim=-1).view(10, 10)
    turned = run(network, photo.flip(-1), scales=10)[9].entry_BLD[0].norm(dim=-1).view(10, 10)
    same = torch.corrcoef(torch.stack([last.flatten(), turned.flip(-1).flatten()]))[0, 1]
    other = torch.corrcoef(torch.stack([last.flatten(), turned.flatten()]))[0, 1]
    assert same > other + 0.2


def test_without_a_photo_nothing_is_added(micro, photo):
    for said in run(micro(), photo, keep=torch.tensor([True, False])):
        assert said.entry_BLD[1].abs().max() == 0 < said.entry_BLD[0].abs().max()
        assert said.before[1][1].abs().max() == 0


def test_coordinates_are_cell_centers():
    found = coordinates(2, like=torch.zeros(1))
    assert found[0, 0].tolist() == [[-0.5, 0.5], [-0.5, 0.5]]
    assert found[0, 1].tolist() == [[-0.5, -0.5], [0.5, 0.5]]
