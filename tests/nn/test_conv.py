import pytest
import torch

from s2s_scverse.nn._blocks import conv3x3

NEIGHBOURS = {(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, -1), (-1, 1)}


@pytest.fixture
def x():
    return torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))


def test_hexagonal_against_a_sum_over_neighbours(x):
    conv = conv3x3(3, 4, hexagonal=True)
    padded = torch.zeros(2, 3, 7, 8)
    padded[:, :, 1:-1, 1:-1] = x
    expected = conv.bias[None, :, None, None].expand(2, 4, 5, 6)
    for r, c in NEIGHBOURS:
        shifted = padded[:, :, 1 + r : 6 + r, 1 + c : 7 + c]
        expected = expected + torch.einsum("oi,bihw->bohw", conv.weight[:, :, 1 + r, 1 + c], shifted)
    torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-5)


def test_hexagonal_gives_masked_weights_no_gradient_and_ignores_them(x):
    conv = conv3x3(3, 4, hexagonal=True)
    out = conv(x)
    out.square().sum().backward()
    unused = torch.tensor([[1, 0, 0], [0, 0, 0], [0, 0, 1]], dtype=torch.bool)
    assert (conv.weight.grad[:, :, unused] == 0).all()
    assert (conv.weight.grad[:, :, ~unused] != 0).all()
    with torch.no_grad():
        conv.weight[:, :, unused] = 1e3
    assert torch.equal(conv(x), out)


def test_square_and_hexagonal_exchange_weights(x):
    square, hexagonal = conv3x3(3, 4, hexagonal=False), conv3x3(3, 4, hexagonal=True)
    hexagonal.load_state_dict(square.state_dict())
    with torch.no_grad():
        square.weight[:, :, 0, 0] = square.weight[:, :, 2, 2] = 0
    torch.testing.assert_close(square(x), hexagonal(x))
