"""What every run shares: the sites it may see, and the only places where results enter the AnnData."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._checks import check_key_added, check_number
from .._runs import find_runs
from .._section import Placed, read_mask, read_measured, read_sections

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "MAX_DISTANCE",
    "Task",
    "check_apart",
    "check_copy",
    "check_run_key",
    "read_tasks",
    "rows_of_sections",
    "versions",
    "write_evaluation",
    "write_run",
]

MAX_DISTANCE = 5.0
"""How far from measured spots values are extrapolated, in distances of neighbouring spots."""


RESERVED = {_keys.GRID: "the lattice", _keys.EVALUATION: "the scores"}


def check_run_key(adata: "AnnData", key: object) -> str:
    """Return the name of a run, refusing names under which something else would be overwritten."""
    name = check_key_added(key)
    if name in RESERVED:
        msg = f"key_added={name!r} is taken by {RESERVED[name]} in adata.uns[{_keys.UNS!r}]; choose another"
        raise ValueError(msg)
    if name.endswith(_keys.STD.format("")):
        msg = f"key_added={name!r} is the name of a standard deviation; choose one that does not end in '_std'"
        raise ValueError(msg)
    visible, std, reliability = (key.format(name) for key in (_keys.VISIBLE, _keys.STD, _keys.RELIABILITY))
    taken = [f"adata.layers[{layer!r}]" for layer in (name, std) if layer in adata.layers]
    taken += [f"adata.obs[{visible!r}]"] if visible in adata.obs else []
    taken += [f"adata.var[{reliability!r}]"] if reliability in adata.var else []
    if name not in find_runs(adata) and taken:
        where = taken[0]
        msg = f"key_added={name!r} would overwrite {where}, which no run of s2s wrote; choose another"
        raise ValueError(msg)
    return name


def check_copy(adata: "AnnData", *, copy: bool) -> None:
    """Refuse to copy a section that is backed by a file, before any work is done."""
    if copy and adata.isbacked:
        msg = "copy=True needs a section in memory, found one backed by a file; call adata = adata.to_memory() first"
        raise ValueError(msg)


@dataclass(frozen=True, eq=False)
class Task:
    """One section, what may be seen of it, and where values are wanted.

    Sites are ordered by position: what is drawn by lot, and how sums are rounded, depends on the order of sites.
    """

    placed: Placed
    measured: NDArray[np.bool_]
    """(n_sites,)."""
    wanted: NDArray[np.bool_]
    """(n_sites,): unmeasured, and not too far from what is measured."""
    here: NDArray[np.bool_]
    """(n_obs,): its measured rows."""

    @property
    def order(self) -> NDArray[np.int64]:
        """(n_measured,): where its spots are among the rows `here`, which are read in the order of the AnnData."""
        spots = self.placed.rows[self.measured]
        return np.searchsorted(np.sort(spots), spots)


def read_tasks(adata: "AnnData", max_distance: object) -> tuple[NDArray[np.bool_], list[Task]]:
    """Return which sites are measured, and of each section what may be seen; warn of sites that are left out."""
    reach = np.inf if max_distance is None else check_number("max_distance", max_distance, least=0)
    sections = [section.by_position() for section in read_sections(adata)]
    measured = read_measured(adata)
    check_apart(measured, read_mask(adata, _keys.HELD_OUT))
    tasks = []
    for placed in sections:
        seen = measured[placed.rows]
        if not seen.any():
            msg = f"no site of section {placed.name!r} is measured; leave that section out"
            raise ValueError(msg)
        here = np.zeros(adata.n_obs, dtype=bool)
        here[placed.rows[seen]] = True
        wanted = ~seen & (placed.lattice.distance_to(seen) <= reach)
        tasks.append(Task(placed, seen, wanted, here))
    far = sum(int((~task.measured & ~task.wanted).sum()) for task in tasks)
    if far:
        warnings.warn(
            f"{far} of {int((~measured).sum())} unmeasured sites are farther than {reach:g} spot distances from every "
            "measured spot and stay NaN; drop them, or pass a larger max_distance (None: no limit)",
            UserWarning,
            stacklevel=3,
        )
    return measured, tasks


def rows_of_sections(measured: NDArray[np.bool_], tasks: list[Task]) -> list[NDArray[np.int64]]:
    """Return the spots of each section, (n_measured,), among the measured rows of all."""
    place = np.cumsum(measured) - 1
    return [place[task.placed.rows[task.measured]] for task in tasks]


def check_apart(measured: NDArray[np.bool_], held_out: NDArray[np.bool_]) -> None:
    """Refuse spots that may be seen and are to be scored."""
    both = int((measured & held_out).sum())
    if both:
        msg = (
            f"{both} spots are both measured and held out (adata.obs[{_keys.MEASURED!r}] and [{_keys.HELD_OUT!r}]); "
            "s2s.pp.sparsify sets both columns"
        )
        raise ValueError(msg)


def versions(*packages: str) -> dict[str, str]:
    """Return the installed versions of this package and of those named."""
    from importlib.metadata import version

    return {name: version(name) for name in ("s2s-scverse", *packages)}


def write_run(
    adata: "AnnData",
    key: str,
    dense: Any,
    visible: NDArray[np.bool_],
    run: dict[str, Any],
    *,
    std: Any = None,
    reliability: NDArray[np.float32] | None = None,
    copy: bool,
) -> "AnnData | None":
    """Write the layers of a run (numpy or dask arrays), which sites it saw, how reliable genes are, and its entry.

    Standard deviations and reliability of an earlier run of that name go if there are no new ones.
    """
    adata = _own(adata, copy=copy)
    obs, var, entry = adata.obs, adata.var, adata.uns[_keys.UNS]
    new = {key: dense, _keys.STD.format(key): std}
    old = {name: adata.layers.get(name) for name in new}
    column = _keys.RELIABILITY.format(key)
    try:
        # Aligned to obs, unlike anything in uns: still right after subsetting, reordering or a later sparsify.
        adata.obs = obs.assign(**{_keys.VISIBLE.format(key): visible})
        if reliability is not None:
            adata.var = var.assign(**{column: reliability})
        elif column in var:
            adata.var = var.drop(columns=column)
        adata.uns[_keys.UNS] = {**entry, key: run}
        _set_layers(adata, new)
    except BaseException:
        # Also upon Ctrl-C: all or none.
        adata.obs, adata.var, adata.uns[_keys.UNS] = obs, var, entry
        _set_layers(adata, old)
        raise
    return adata if copy else None


def _set_layers(adata: "AnnData", layers: dict[str, Any]) -> None:
    """Set layers, and remove those that are None."""
    for name, values in layers.items():
        if values is not None:
            adata.layers[name] = values
        elif name in adata.layers:
            del adata.layers[name]


def write_evaluation(adata: "AnnData", entry: dict[str, Any], *, copy: bool) -> "AnnData | None":
    """Write the tables of an evaluation, in place of those of an earlier one."""
    adata = _own(adata, copy=copy)
    adata.uns[_keys.UNS] = {**adata.uns[_keys.UNS], _keys.EVALUATION: entry}
    return adata if copy else None


def _own(adata: "AnnData", *, copy: bool) -> "AnnData":
    """Return what to write to: `adata` itself, made actual if it is a view, or a copy."""
    if copy:
        return adata.copy()
    if adata.is_view:
        warnings.warn("Received a view of an AnnData. Making a copy.", UserWarning, stacklevel=4)
        adata._init_as_actual(adata.copy())
    return adata
