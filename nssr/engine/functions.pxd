cdef enum:
    KIND_MISSING = -1
    KIND_LEARNED = -2

cdef class FunctionTable:
    cdef readonly object arity, commutative, opcode
    cdef object _step_start, _step_count, _child, _arg_start, _arg_count, _args, _mode, _k, _k2
    cdef int[::1] v_opcode, v_arity, v_step_start, v_step_count, v_child, v_arg_start, v_arg_count, v_args, v_mode
    cdef double[::1] v_k, v_k2
    cdef readonly int n_functions
