"""Postfix tokens to bytecode: how other search tools hand over thousands of expressions without a Python object for each."""

from libc.stdint cimport int32_t, int64_t

import numpy as np

from nssr import primitives
from nssr.engine.functions cimport FunctionTable
from nssr.engine.lowering cimport (
    ARITY_OF, MAX_VALUES, OK, R_ITERATION, RULE_OF, TOO_LARGE, Lowering, ProgramRecord, borrow,
)
from nssr.engine.lowering import PROGRAM

cdef int T_VARIABLE = primitives.TOKEN_VARIABLE, T_FLOAT = primitives.TOKEN_FLOAT
cdef int T_INT = primitives.TOKEN_INT, T_CALL = primitives.TOKEN_CALL


def lower_postfix(FunctionTable table, tokens, operands, constants, offsets, str lanes, *, bint share=True):
    """(INSTRUCTION array, PROGRAM array) for programs in postfix order, laid end to end.

    ``tokens`` (int32) holds a primitive's opcode or one of ``primitives.TOKEN_*``; ``operands`` (int32, same length) the
    column, the index into ``constants`` (float64), the integer or the function id that the token needs; program ``i`` is
    ``tokens[offsets[i]:offsets[i + 1]]``. ValueError names program and position of what is malformed.
    """
    cdef const int32_t[::1] op = np.ascontiguousarray(tokens, dtype=np.int32)
    cdef const int32_t[::1] operand = np.ascontiguousarray(operands, dtype=np.int32)
    cdef const double[::1] constant = np.ascontiguousarray(constants, dtype=np.float64)
    cdef const int64_t[::1] offset = np.ascontiguousarray(offsets, dtype=np.int64)
    if offset.shape[0] < 1 or offset[0] != 0 or offset[offset.shape[0] - 1] != op.shape[0]:
        raise ValueError("offsets must start with 0 and end with the number of tokens")
    if operand.shape[0] != op.shape[0]:
        raise ValueError(f"{op.shape[0]} tokens, but {operand.shape[0]} operands")
    cdef Py_ssize_t n = offset.shape[0] - 1, i, t
    cdef Lowering work = borrow(table, lanes, share, op.shape[0])
    programs = np.empty(n, dtype=PROGRAM)
    if n == 0:
        return work.result(programs)
    cdef ProgramRecord[::1] out = programs
    cdef int status, register, arity, top, fault = 0, code
    with nogil:
        for i in range(n):
            work.begin()
            status = OK
            register = 0
            top = 0
            t = offset[i]
            if offset[i + 1] <= t:
                fault = 1
                break
            while t < offset[i + 1]:
                code = op[t]
                if status != OK and code != T_VARIABLE and code != T_FLOAT and code != T_INT:
                    pass  # the program's fate is known; the rest is only checked for form
                if work.full():
                    status = TOO_LARGE
                    break
                arity = 0
                if code == T_VARIABLE:
                    if operand[t] < 0 or operand[t] >= work.n_columns:
                        fault = 2
                        break
                    register = operand[t]
                elif code == T_FLOAT:
                    if operand[t] < 0 or operand[t] >= constant.shape[0]:
                        fault = 3
                        break
                    register = work.load_float(constant[operand[t]])
                elif code == T_INT:
                    register = work.load_int(operand[t])
                else:
                    if code == T_CALL:
                        if operand[t] < 0 or operand[t] >= table.n_functions or table.v_arity[operand[t]] < 0:
                            fault = 4
                            break
                        arity = table.v_arity[operand[t]]
                    else:
                        if RULE_OF(code) < 0 or RULE_OF(code) == R_ITERATION:
                            fault = 5
                            break
                        arity = ARITY_OF(code)
                    if top < arity:
                        fault = 6
                        break
                    top -= arity
                    if status == OK:
                        work.n_values = top + arity
                        if code == T_CALL:
                            status = work.call(operand[t], work.values + top, arity, 0, &register)
                        else:
                            status = work.primitive(code, work.values + top, arity, &register)
                        if status != OK:
                            register = 0
                if top + 2048 > MAX_VALUES:
                    fault = 8
                    break
                work.values[top] = register
                top += 1
                t += 1
            if fault:
                break
            if status != TOO_LARGE and top != 1:
                fault = 7
                break
            work.finish(status, register, 0, 0.0, 0.0, &out[i])
    if fault:
        raise ValueError(f"program {i}, position {t - offset[i]}: " + (
            "", "it is empty, or the offsets run backwards", "it names a column that is not there",
            "it names a constant that is not there", "it calls a function that is not there",
            "an unknown operation, or a loop, which postfix programs cannot hold", "an operation lacks operands",
            "it leaves more than one value", "it is too deep")[fault])
    return work.result(programs)
