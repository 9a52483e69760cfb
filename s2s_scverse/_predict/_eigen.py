"""Eigenvectors of symmetric matrices, of several at a time in threads.

Functions of scipy.linalg hold Python's global lock, and those of numpy.linalg compute in double precision, which takes
more than twice as long: LAPACK's SSYEVD is called as compiled code calls it, through scipy.linalg.cython_lapack.
"""

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.linalg import cython_lapack, eigh

from ._arrays import Float32
from ._threads import one_thread

_SIGNATURE = b"void (char *, char *, int *, "
"""With integers of 32 bits; anything else is left to scipy.linalg."""


def eigenvectors(matrix: Float32) -> tuple[Float32, Float32]:
    """Return ascending eigenvalues (n,) and eigenvectors, in columns, of a symmetric matrix (n, n), overwritten."""
    function = _ssyevd()
    with one_thread():
        if function is None:
            found = eigh(matrix, driver="evd", overwrite_a=True, check_finite=False)
            return found[0].astype(np.float32), found[1].astype(np.float32)
        n = len(matrix)
        rows: Float32 = np.require(matrix, np.float32, "C")
        values: Float32 = np.empty(n, np.float32)
        work, integers = np.empty(1 + 6 * n + 2 * n**2, np.float32), np.empty(3 + 5 * n, np.int32)
        counts = map(ctypes.c_int, (n, max(1, n), work.size, integers.size))
        order, stride, n_work, n_integers = map(ctypes.byref, counts)
        failed = ctypes.c_int()
        at, of_values, of_work, of_integers = (each.ctypes.data for each in (rows, values, work, integers))
        status = ctypes.byref(failed)
        function(b"V", b"U", order, at, stride, of_values, of_work, n_work, of_integers, n_integers, status)
    if failed.value:
        msg = f"the eigenvalues of a matrix of {n} spots do not converge"
        raise np.linalg.LinAlgError(msg)
    return values, rows.T


@cache
def _ssyevd() -> Callable[..., None] | None:
    capsule, api = cython_lapack.__pyx_capi__["ssyevd"], ctypes.pythonapi
    name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))(capsule)
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", api))
    if name is None or not name.startswith(_SIGNATURE):
        return None
    return ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, *[ctypes.c_void_p] * 9)(pointer(capsule, name))
