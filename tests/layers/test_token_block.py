import torch

from nearfar.layers.token_block import TokenBlock


def block(width=12, heads=3):
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return TokenBlock(width, heads).eval().requires_grad_(False)


def test_attention_is_that_of_torch():
    ours, x = block(), torch.rand(2, 5, 12, generator=torch.Generator().manual_seed(1))
    plain = torch.nn.MultiheadAttention(12, 3, batch_first=True).requires_grad_(False)
    plain.in_proj_weight.copy_(ours.qkv.weight)
    plain.in_proj_bias.copy_(ours.qkv.bias)
    plain.out_proj.load_state_dict(ours.proj.state_dict())
    inside = ours.norm1(x)
    mixed = x + plain(inside, inside, inside, need_weights=False)[0]
    torch.testing.assert_close(ours(x), mixed + ours.mlp(ours.norm2(mixed)))


def test_every_token_hears_every_other_and_order_does_not_matter():
    ours, x = block(), torch.rand(1, 6, 12, generator=torch.Generator().manual_seed(2))
    changed = x.clone()
    changed[0, 0, 0] += 1
    assert ((ours(changed) - ours(x))[0, 5]).abs().max() > 1e-5
    order = torch.tensor([3, 1, 0, 5, 4, 2])
    torch.testing.assert_close(ours(x[:, order]), ours(x)[:, order])
