"""What each part of the method is worth: every switch against the default, on real sections, over seeds.

``python benchmarks/ablation.py [--sections ...] [--switches ...] [--seeds 0 1 2] [--genes 100] [--epochs 30]``. With
``--epochs`` sections of fewer than 100 spots are trained on, too.

Rows are printed as they are done; differences are to the default of the same section and seed, in one process, so that
nothing but the switch differs. ``±`` is the standard deviation over seeds. Protocol: see protocol.py, with fewer genes,
which are both trained on and scored.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from protocol import ALL_SECTIONS, Result, load, machine, most_variable, score
from script import parser, print_header

import s2s_scverse as s2s
from s2s_scverse.nn import PRESETS

SWITCHES: dict[str, dict[str, dict[str, Any]]] = {
    "default": {},
    "shipped weights as they are": {"training": {"max_epochs": 0}},
    "random weights": {"training": {"weights": "random"}},
    "random weights, natural images": {"training": {"weights": "random"}, "images": {"natural_images": "photographs"}},
    "random weights, 40 epochs": {"training": {"weights": "random", "max_epochs": 40}},
    "2 stages": {"network": {"stages": 2}},
    "3 stages": {"network": {"stages": 3}},
    "3 stages, shared": {"network": {"stages": 3, "share_stages": True}},
    "no data consistency": {"network": {"consistency": "off"}},
    "noisy data consistency": {"network": {"consistency": "noisy"}},
    "attention": {"network": {"attention": True}},
    "no sparser -> sparse": {"training": {"sparser_weight": 0.0}},
    "no sparse -> dense": {"training": {"dense_weight": 0.0}},
    "natural images": {"images": {"natural_images": "photographs"}},
    "loss l1": {"training": {"loss": "l1"}},
    "loss huber": {"training": {"loss": "huber"}},
    "no mask dropout": {"training": {"mask_dropout": 0.0}},
    "no augmentation": {"training": {"augment": False}},
    "no shrinkage": {"training": {"shrink": False}},
    "8 masks": {"training": {"masks": 8}},
    "initial: nearest": {"training": {"initial": "nearest", "weights": "random", "max_epochs": 40}},
    "initial: pca_kriging": {"training": {"initial": "pca_kriging", "weights": "random", "max_epochs": 40}},
}
DEFAULT_SECTIONS = (
    "st_mouse_olfactory_bulb_rep11",
    "st_her2_breast_F1",
    "visium_breast_cancer_crop",
    "xenium_mouse_brain_ctxhp",
)


def run(section: Any, genes: list[str], switch: str, seed: int, epochs: int | None) -> Result:
    change = SWITCHES[switch]
    # The shipped weights are of the default network; others are trained from random ones, and for longer.
    training = s2s.tl.TrainingConfig() if "network" in change else s2s.tl.TRAINING_PRESETS["default"]
    shorter = {} if epochs is None else {"max_epochs": epochs, "min_spots": 0}
    training = replace(training, **shorter | change.get("training", {}))
    network = replace(PRESETS["default"], **change.get("network", {}))
    options = {"network": network, "training": training, "rng": seed, "progress": False, **change.get("images", {})}
    return score(section, "s2s", genes, lambda: s2s.tl.impute(section, genes, **options))


def row(name: str, switch: str, found: list[Result], base: list[Result] | None = None) -> str:
    cells = []
    for field in ("pcc", "rmse", "mae"):
        values = np.array([getattr(result, field) for result in found])
        gain = values - [getattr(result, field) for result in base or found]
        cells.append(f"{values.mean():.4f} ± {values.std():.4f}")
        cells.append(f"{gain.mean():+.4f} ± {gain.std():.4f}" if base else "")
    seconds = np.mean([result.seconds for result in found])
    return f"| {name} | {switch} | {' | '.join(cells)} | {seconds:.1f} |"


def main() -> None:
    options = parser(__doc__, ALL_SECTIONS, DEFAULT_SECTIONS)
    options.add_argument("--switches", nargs="+", default=list(SWITCHES), choices=SWITCHES)
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options.add_argument("--genes", type=int, default=100)
    options.add_argument("--epochs", type=int)
    arguments = options.parse_args()
    print(f"{machine()}; {arguments.genes} genes, seeds {arguments.seeds}, epochs {arguments.epochs or 'as preset'}")
    print_header("section | switch | PCC | gain | RMSE | gain | MAE | gain | seconds")
    for name in arguments.sections:
        section = load(name)
        genes = most_variable(section, arguments.genes)
        stack = score(section, "s2s", genes, lambda: s2s.tl.impute(section, genes, preset="quick", progress=False))  # noqa: B023
        print(row(name, "stack (no network)", [stack]), flush=True)
        base = [run(section, genes, "default", seed, arguments.epochs) for seed in arguments.seeds]
        for switch in arguments.switches:
            found = base
            if switch != "default":
                found = [run(section, genes, switch, seed, arguments.epochs) for seed in arguments.seeds]
            print(row(name, switch, found, base), flush=True)


if __name__ == "__main__":
    main()
