"""Imputes in several threads and processes at once. Run by test_load.py.

``python together.py`` prints, for each way, whether all results are those of one after the other, bit for bit.
"""

import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import scanpy as sc
import torch

import s2s_scverse as s2s
from s2s_scverse import _train

torch.set_num_threads(1)
SEEDS = range(4)
TRAINING = replace(
    _train.TRAINING_PRESETS["default"],
    max_epochs=2,
    steps_per_epoch=4,
    masks=1,
    batch_size=2,
    n_images=2,
    shrink=False,
)


# Here, and not in forked processes: numba, which scanpy normalises with, ends those.
adata = s2s.datasets.simulated_tissue(n_rows=14, n_cols=14, n_genes=8, rng=3)
sc.pp.normalize_total(adata, target_sum=600)
sc.pp.log1p(adata)
SECTION = s2s.pp.grid(adata, upsample=2)


def impute(seed: int) -> np.ndarray:
    """Train and impute."""
    adata = SECTION.copy()
    s2s.tl.impute(adata, training=TRAINING, progress=False, rng=seed)
    return np.stack([adata.layers[layer] for layer in ("s2s", "s2s_std")])


def main() -> None:
    """Compare."""
    expected = [impute(seed) for seed in SEEDS]
    assert not np.array_equal(expected[0], expected[1])
    random, threads = torch.get_rng_state(), torch.get_num_threads()

    def tell(how: str, found: list[np.ndarray]) -> None:
        same = all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))
        sys.stdout.write(f"{how} {same}\n")

    # Before there are threads: MKL, which some builds of torch hold, does not survive a fork after them.
    for how in ("fork", "spawn"):
        with multiprocessing.get_context(how).Pool(2) as pool:
            tell(how, pool.map_async(impute, SEEDS).get(timeout=120))
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        tell("threads", list(pool.map(impute, SEEDS)))
    unchanged = torch.equal(random, torch.get_rng_state()) and threads == torch.get_num_threads()
    sys.stdout.write(f"unchanged {unchanged}\n")


if __name__ == "__main__":
    main()
