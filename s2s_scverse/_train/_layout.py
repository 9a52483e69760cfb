"""Training and validation masks of a section, natural images on its lattice, and the terms of the loss."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.ndimage import map_coordinates

from .._lattice import Lattice, SectionOnLattice, random_sample, regular_sample
from .._predict import StackingWeights, section_noise_weights
from .._predict._arrays import Bool, Float32, Float64, Int
from ._config import TrainingConfig
from ._scenes import Masks, Scale, Scene, Term, build_scene

MAX_TRAINED = 128  # genes to train on
MAX_KEPT = 0.8  # largest fraction of visible sites: where nearly all are measured, a fifth of the spots is still masked
SPARSER = 2  # spacing of the sparser sample, in spots
MIN_VISIBLE = 4  # smallest number of visible spots of a validation mask

Images = Callable[..., Float32]
"""Function (size, n, rng) that draws natural images, (n, height, width)."""


def choose_validation(measured: Bool, fraction: float, rng: np.random.Generator) -> Bool:
    """Choose validation spots, (n_sites,); at least two."""
    spots = np.flatnonzero(measured)
    validation = np.zeros(len(measured), dtype=bool)
    validation[spots[random_sample(len(spots), max(fraction, 2 / len(spots)), rng)]] = True
    return validation


def lay_out(
    terms: dict[str, Term],
    section: SectionOnLattice,
    known: Bool,
    stacking: StackingWeights | None,
    training: TrainingConfig,
    images: Images | None,
    rngs: list[np.random.Generator],
) -> None:
    """Add scenes of all genes of a section to the terms of the loss; `known` (n_sites,) are the training spots."""
    lattice = section.lattice
    # Divided genes: errors are in the units of the genes, as those of photographs are.
    unit = 1.0 if training.gene_scale is None else training.gene_scale ** (2 if training.loss == "l2" else 1)
    rng_sparser, rng_dense, rng_images, rng_genes = rngs
    chosen = np.sort(rng_genes.permutation(section.values.shape[1])[:MAX_TRAINED])
    orientations = lattice.kind.symmetries if training.augment else lattice.kind.symmetries[:1]
    for name, make_masks, stride, weight, child in (
        ("sparser", sparser_masks, lattice.stride(known), training.sparser_weight, rng_sparser),
        ("dense", dense_masks, 1, training.dense_weight, rng_dense),
    ):
        if not weight:
            continue
        masks = make_masks(lattice, known, n=training.masks, dropout=training.mask_dropout, rng=child)
        pictures = _pictures(masks.lattice, training, images, rng_images)
        scene = section_scene(
            section, known, masks, stacking, training, chosen, images=pictures, orientations=orientations, stride=stride
        )
        terms.setdefault(f"genes_{name}", Term([], images=False, weight=weight * unit)).scenes.append(scene)
        if pictures.shape[1]:
            of_images = Term([], images=True, weight=weight * training.image_weight)
            terms.setdefault(f"images_{name}", of_images).scenes.append(scene)


def section_scene(
    section: SectionOnLattice,
    known: Bool,
    masks: Masks,
    stacking: StackingWeights | None,
    training: TrainingConfig,
    chosen: Int,
    *,
    images: Float32 | None = None,
    orientations: Int | None = None,
    stride: int = 1,
) -> Scene:
    """Build the maps of genes `chosen`, (n_chosen,), under masks of all sites or of the spots `known`, (n_sites,).

    By default there are no images, and crops are shown upright.
    """
    scale, covariates = Scale.of(section.values, training.gene_scale), section.covariates
    if covariates is not None and len(masks.lattice) < len(section.lattice):
        covariates = covariates[known]
    return build_scene(
        masks,
        scale.apply(section.values)[known[section.measured]],
        np.empty((len(masks.lattice), 0), np.float32) if images is None else images,
        chosen=chosen,
        training=training,
        stacking=stacking,
        spread=scale.spread,
        noise_weights=section_noise_weights(section, known),
        covariates=covariates,
        orientations=section.lattice.kind.symmetries[:1] if orientations is None else orientations,
        stride=stride,
    )


def _pictures(lattice: Lattice, training: TrainingConfig, images: Images | None, rng: np.random.Generator) -> Float32:
    """Natural images at the sites, (n_sites, n_images)."""
    if images is None or not training.n_images or not training.image_weight:
        return np.empty((len(lattice), 0), np.float32)
    drawn = images(size=image_box(lattice), n=training.n_images, rng=rng)
    return images_at_sites(drawn, lattice, standardise=training.gene_scale is None)


def sparser_masks(lattice: Lattice, known: Bool, *, n: int, dropout: float, rng: np.random.Generator) -> Masks:
    """At least `n` training masks that keep one of four spots `known` (n_sites,): sparser -> sparse.

    Spots are related in the same way to a dense lattice that is twice as fine. For finer ones, an equally sparse sample
    would leave too few spots to learn from. `dropout` is the largest fraction of the remaining spots that
    is masked at random; every second mask drops none.
    """
    stride = lattice.stride(known)
    if stride == 1:
        # Spots have no regular spacing: thin them at random.
        kept = min(known.mean(), MAX_KEPT)
        return Masks(lattice, known, _thinned(known, [1 - kept] * n, rng))
    spots, samples = _phases(lattice, known)
    samples[~samples.any(axis=1)] = True
    phases = rng.permutation(len(samples))
    numbers = range(max(n, len(phases)))
    # In the next round of phases the other half of the masks drops spots.
    dropped = [dropout * rng.uniform(0.2, 1) * ((i + i // len(phases)) % 2) for i in numbers]
    thinned = [_thinned(samples[phases[i % len(phases)]], [dropped[i]], rng) for i in numbers]
    return Masks(spots, np.ones(len(spots), dtype=bool), np.concatenate(thinned))


def dense_masks(lattice: Lattice, known: Bool, *, n: int, dropout: float, rng: np.random.Generator) -> Masks:
    """`n` training masks that hide half to all of the fraction `dropout` of the spots `known`: sparse -> dense."""
    return Masks(lattice, known, _thinned(known, dropout * (0.5 + 0.5 * rng.random(n)), rng))


def sampled_masks(lattice: Lattice, measured: Bool, rng: np.random.Generator) -> Masks:
    """Build masks of sparser samples of the spots, as distant from other spots as unmeasured sites, on twice the scale.

    Without a regular spacing samples are random ones.
    """
    if lattice.stride(measured) > 1:
        spots, visible = _phases(lattice, measured)
    else:
        spots = lattice.subset(measured)
        kept = max(min(measured.mean(), MAX_KEPT), MIN_VISIBLE / len(spots))
        visible = _thinned(np.ones(len(spots), bool), [1 - kept] * SPARSER**2, rng)
    return Masks(spots, np.ones(len(spots), dtype=bool), visible[visible.sum(axis=1) >= MIN_VISIBLE])


def _phases(lattice: Lattice, measured: Bool) -> tuple[Lattice, Bool]:
    """The lattice of spots, and its four sparser samples, (4, n_spots)."""
    spots = lattice.subset(measured).coarsened(lattice.stride(measured))
    return spots, np.stack([regular_sample(spots, SPARSER, divmod(i, SPARSER)) for i in range(SPARSER**2)])


def _thinned(known: Bool, parts: Sequence[float] | Float64, rng: np.random.Generator) -> Bool:
    """Mask random parts of the known sites, (n_parts, n_sites)."""
    visible = np.tile(known, (len(parts), 1))
    sites = np.flatnonzero(known)
    for row, part in zip(visible, parts, strict=True):
        row[sites] = random_sample(len(sites), 1 - part, rng)
    return visible


def image_box(lattice: Lattice) -> tuple[int, int]:
    """Height and width of images that cover the lattice in its true geometry."""
    x, y = np.ptp(lattice.unit_coordinates, axis=0)
    return int(np.ceil(y - 1e-6)) + 1, int(np.ceil(x - 1e-6)) + 1


def images_at_sites(images: Float32, lattice: Lattice, *, standardise: bool) -> Float32:
    """Sample images (n, height, width), of brightness 0 to 1, at the sites: (n_sites, n), without flat images.

    `standardise` brings each image to mean 0 and standard deviation 1 over the sites.
    """
    x, y = (lattice.unit_coordinates - lattice.unit_coordinates.min(axis=0)).T
    values = np.stack([map_coordinates(image, (y, x), order=1, mode="nearest") for image in images], axis=1)
    deviation = values.std(axis=0)
    textured = deviation > 1e-3
    values, deviation = values[:, textured], deviation[textured]
    if standardise:
        values = (values - values.mean(axis=0)) / deviation
    return values.astype(np.float32)
