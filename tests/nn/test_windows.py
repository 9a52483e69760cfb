import numpy as np
import pytest
import torch

from s2s_scverse.nn._windows import merge_windows, partition_windows, window_mask

CPU = torch.device("cpu")


@pytest.mark.parametrize(("height", "width", "window"), [(4, 12, 4), (6, 2, 1)])
def test_partition_against_slices_and_back(height, width, window):
    x = torch.randn(2, height, width, 5, generator=torch.Generator().manual_seed(0))
    windows = partition_windows(x, window)
    i = 0
    for r in range(0, height, window):
        for c in range(0, width, window):
            assert torch.equal(windows[:, i], x[:, r : r + window, c : c + window].flatten(1, 2))
            i += 1
    assert windows.shape[1] == i
    assert torch.equal(merge_windows(windows, window, height, width), x)


@pytest.mark.parametrize(
    ("height", "width", "window", "shift"),
    [
        pytest.param(8, 12, 4, (2, 2), id="complete"),
        pytest.param(7, 10, 4, (2, 2), id="padded and shifted"),
        pytest.param(3, 9, 4, (0, 2), id="one axis shifted"),
        pytest.param(1, 1, 4, (0, 0), id="one site"),
        pytest.param(9, 9, 4, (1, 3), id="uneven shift"),
    ],
)
def test_mask_lets_see_exactly_the_sites_of_the_same_displaced_window(height, width, window, shift):
    mask = window_mask(height, width, window, shift, CPU, torch.float32).numpy()
    h, w = -(-height // window) * window, -(-width // window) * window
    # Where each place of the rolled map came from, and to which displaced window that site belongs on the map.
    origin = np.roll(np.arange(h * w).reshape(h, w), (-shift[0], -shift[1]), (0, 1))
    i = 0
    for r in range(0, h, window):
        for c in range(0, w, window):
            sites = [divmod(int(s), w) for s in origin[r : r + window, c : c + window].ravel()]
            home = [((a - shift[0]) // window, (b - shift[1]) // window) for a, b in sites]
            real = [a < height and b < width for a, b in sites]
            for q in range(window**2):
                for k in range(window**2):
                    together = home[q] == home[k] if real[q] and real[k] else real[q] == real[k]
                    assert mask[i, q, k] == (0 if together else -np.inf)
            i += 1
