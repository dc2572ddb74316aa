"""Compositions to bytecode: the steps that the library stores and that `simplify` tries."""

from libc.stdint cimport int32_t

import numpy as np

from nssr.engine.functions cimport FunctionTable
from nssr.engine.lowering cimport Lowering, ProgramRecord, borrow
from nssr.engine.lowering import PROGRAM


def lower_compositions(metadata, compositions, str lanes, *, bint share=True):
    """(INSTRUCTION array, PROGRAM array) for (composition, arity, constants, const_mode) tuples over the first columns."""
    compositions = list(compositions)
    cdef FunctionTable table = FunctionTable(metadata, compositions)
    cdef Py_ssize_t n = len(compositions), i, j
    cdef int first = table.n_functions - <int>n
    cdef Lowering work = borrow(table, lanes, share, 8 * n)
    programs = np.empty(n, dtype=PROGRAM)
    if n == 0:
        return work.result(programs)
    cdef ProgramRecord[::1] out = programs
    cdef int register = 0, status
    columns = np.arange(max(work.n_columns, 1), dtype=np.int32)
    cdef int32_t[::1] args = columns
    for i in range(n):
        if table.v_step_count[first + i] == 0:
            raise ValueError(f"composition {i}: it has no steps")
        if table.v_arity[first + i] > work.n_columns or table.v_arity[first + i] < 0:
            raise ValueError(f"composition {i}: it reads {table.v_arity[first + i]} columns, but there are {work.n_columns}")
    with nogil:
        for i in range(n):
            work.begin()
            register = 0
            status = work.call(first + <int>i, &args[0], work.n_columns, 0, &register)
            work.finish(status, register, 0, 0.0, 0.0, &out[i])
    return work.result(programs)
