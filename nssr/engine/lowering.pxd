from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

from nssr.engine.candidates cimport Candidate
from nssr.engine.functions cimport FunctionTable

cdef packed struct Instruction:
    uint16_t op, dst, a, b, c, d, e, f
    uint32_t n1, n2

cdef packed struct ProgramRecord:
    uint32_t start, length, n_temps
    uint16_t result, flags
    double k, k2

cdef enum:
    # lanes of values; MIXED is an f64 lane whose rows are ints here and floats there
    INT = 0
    FLOAT = 1
    MIXED = 2
    # outcomes of lowering
    OK = 0
    RAISES = 1
    UNSURE = 2
    TOO_LARGE = 3
    WRONG_LANE = 4
    # rules
    R_BITWISE = 0
    R_ARITHMETIC = 1
    R_DIVISION = 2
    R_COMPARISON = 3
    R_SELECTION = 4
    R_IDENTITY = 5
    R_ZERO = 6
    R_ITERATION = 7
    R_REAL = 8
    R_EXTREMUM = 9
    MAX_DEPTH = 200
    MAX_NESTING = 16
    MAX_INSTRUCTIONS = 4000
    MAX_VALUES = 60000
    SHARING_WINDOW = 48
    N_OPCODES = 64

cdef int RULE_OF(int opcode) noexcept nogil
cdef int ARITY_OF(int opcode) noexcept nogil

cdef class Lowering:
    cdef FunctionTable table
    cdef Instruction* code
    cdef Py_ssize_t n_code, capacity
    cdef int n_columns, n_temps, nesting
    cdef Py_ssize_t start
    cdef unsigned char* lane  # of every register of the present program
    cdef int32_t* available  # instructions whose values may be shared here
    cdef int n_available
    cdef int32_t* values  # stack of registers: inputs and steps of the functions being inlined
    cdef int n_values
    cdef bint share
    cdef Candidate* left  # the candidate whose primary's code stands at left_start
    cdef Py_ssize_t left_start, left_length
    cdef int left_temps, left_available, left_register
    cdef bint no_memory

    cdef void prepare(self, FunctionTable table, str lanes, bint share, Py_ssize_t expected)
    cdef void begin(self) noexcept nogil
    cdef void grow(self) noexcept nogil
    cdef int new_temp(self, int lane) noexcept nogil
    cdef bint full(self) noexcept nogil
    cdef int emit(self, int op, int lane, int a, int b, int c, uint64_t payload) noexcept nogil
    cdef int load_int(self, int64_t value) noexcept nogil
    cdef int load_float(self, double value) noexcept nogil
    cdef int as_float(self, int register, bint exact) noexcept nogil
    cdef int binary(self, int opcode, int lane, int result_lane, int a, int b, int c) noexcept nogil
    cdef int primitive(self, int opcode, const int32_t* args, int n, int* out) noexcept nogil
    cdef int call(self, int function, const int32_t* args, int n, int depth, int* out) noexcept nogil
    cdef int apply_constant(self, int register, int mode, double k, double k2) noexcept nogil
    cdef int body(self, int function, const int32_t* args, int n, int state, int lane, int depth, int* out) noexcept nogil
    cdef int loop(self, int opcode, const int32_t* args, int n, int depth, int* out) noexcept nogil
    cdef int loop_with(
        self, int opcode, const int32_t* args, int n, int depth, int start, int lane, int* out
    ) noexcept nogil
    cdef void finish(self, int status, int register, int mode, double k, double k2, ProgramRecord* out) noexcept nogil
    cdef int left_side(self, Candidate* c, const int32_t* first, int* out) noexcept nogil
    cdef int candidate(self, Candidate* c, int* out) noexcept nogil
    cdef object result(self, object programs, object out=*)

cdef Lowering borrow(FunctionTable table, str lanes, bint share, Py_ssize_t expected)
