"""Lowering: candidates and compositions (postfix tokens: see postfix.pyx) to typed flat bytecode (see docs/engine.md).

Types are inferred here, from the lanes of the columns; learned functions are inlined; equal instructions of a program are
shared. What Python's meaning makes depend on the row (a branch that is int here and float there) becomes a program that
says *unsure*; what certainly raises on every row becomes a program that says so. Nothing is ever guessed.
"""

from libc.math cimport M_PI
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

import numpy as np

cimport cython

from nssr import primitives
from nssr.engine.candidates cimport (
    LOOP_BINARY, LOOP_DIRECT, MAX_ROUTE, NESTED, NONE, PARALLEL, SEQUENTIAL, Candidate,
)
from nssr.engine.functions cimport KIND_LEARNED, KIND_MISSING, FunctionTable
from nssr.engine.candidates import CANDIDATE

INSTRUCTION = np.dtype([(n, np.uint16) for n in ("op", "dst", "a", "b", "c", "d", "e", "f")] + [("n1", np.uint32), ("n2", np.uint32)])
PROGRAM = np.dtype(
    [("start", np.uint32), ("length", np.uint32), ("n_temps", np.uint32), ("result", np.uint16), ("flags", np.uint16),
     ("k", np.float64), ("k2", np.float64)]
)

cdef int RULE[N_OPCODES]
cdef int ARITY[N_OPCODES]
cdef int COMMUTES[N_OPCODES]
for _i in range(N_OPCODES):
    RULE[_i] = -1
_RULES = ["bitwise", "arithmetic", "division", "comparison", "selection", "identity", "zero", "iteration", "real", "extremum"]
for _p in primitives.ALL:
    RULE[_p.opcode] = _RULES.index(_p.rule)
    ARITY[_p.opcode] = _p.arity
    # Only where swapping operands leaves every bit alone, NaN included.
    COMMUTES[_p.opcode] = _p.commutative and _p.rule != primitives.EXTREMUM

_T = {t.name: t.code for t in primitives.TYPED}
cdef int LOADK_I64 = _T["LOADK_I64"], LOADK_F64 = _T["LOADK_F64"]
cdef int TO_F64 = _T["I64_TO_F64"], TO_F64_EXACT = _T["I64_TO_F64_EXACT"]
cdef int OP_RAISE = _T["RAISE"], OP_UNSURE = _T["UNSURE"]
cdef int LOOP_I64 = _T["LOOP_I64"], WHILE_I64 = _T["WHILE_I64"], ACCUM_I64 = _T["ACCUM_I64"]
cdef int P_NEQ = primitives.BY_NAME["NEQ"].opcode, P_MUL = primitives.BY_NAME["MUL"].opcode
cdef int P_ADD = primitives.BY_NAME["ADD"].opcode
cdef int P_LOOP = primitives.BY_NAME["LOOP"].opcode, P_WHILE = primitives.BY_NAME["WHILE"].opcode
cdef int P_ACCUM = primitives.BY_NAME["ACCUM"].opcode, P_PI = primitives.BY_NAME["PI"].opcode

cdef list _SPARE = []  # scratch of batches that are done: fresh memory costs more than lowering into it
cdef Py_ssize_t MOST_SPARE = 4, LARGEST_SPARE = 1 << 20


cdef Lowering borrow(FunctionTable table, str lanes, bint share, Py_ssize_t expected):
    """A Lowering for these columns, with old scratch where there is some. ValueError for lanes that are none."""
    if not lanes or set(lanes) - {"i", "f"}:
        raise ValueError(f"lanes must be a string of 'i' and 'f', one per column, not {lanes!r}")
    if len(lanes) + MAX_INSTRUCTIONS > 65535:
        raise ValueError(f"{len(lanes)} columns are more than a program can name")
    cdef Lowering work
    try:
        work = _SPARE.pop()
    except IndexError:
        work = Lowering()
    work.prepare(table, lanes, share, expected)
    return work


@cython.final
cdef class Lowering:
    """Scratch and output of one batch. Used by one thread at a time; the output arrays are copies."""

    def __cinit__(self):
        self.capacity = 4 * MAX_INSTRUCTIONS
        self.code = <Instruction*>malloc(self.capacity * sizeof(Instruction))
        self.lane = <unsigned char*>malloc(65536)
        self.available = <int32_t*>malloc((MAX_INSTRUCTIONS + 8) * sizeof(int32_t))
        self.values = <int32_t*>malloc(MAX_VALUES * sizeof(int32_t))
        if not (self.code and self.lane and self.available and self.values):
            raise MemoryError("no memory to lower programs")

    cdef void prepare(self, FunctionTable table, str lanes, bint share, Py_ssize_t expected):
        cdef int i
        self.table = table
        self.share = share
        self.no_memory = False
        self.n_columns = <int>len(lanes)
        self.n_code = 0
        self.start = 0
        self.left = NULL
        while self.capacity < expected + MAX_INSTRUCTIONS and not self.no_memory:
            self.grow()
        for i in range(self.n_columns):
            self.lane[i] = FLOAT if lanes[i] == "f" else INT

    def __dealloc__(self):
        free(self.code)
        free(self.lane)
        free(self.available)
        free(self.values)

    # ---- emitting -------------------------------------------------------------------------------------------------

    cdef void begin(self) noexcept nogil:
        self.start = self.n_code
        self.n_temps = 0
        self.n_available = 0
        self.n_values = 0
        self.nesting = 0
        if self.n_code + MAX_INSTRUCTIONS + 8 > self.capacity:
            self.grow()

    cdef void grow(self) noexcept nogil:
        cdef Py_ssize_t wanted = self.capacity * 2 + MAX_INSTRUCTIONS
        cdef Instruction* larger = <Instruction*>realloc(self.code, wanted * sizeof(Instruction))
        if larger == NULL:
            self.no_memory = True
            self.n_code = self.start = 0  # the batch is given up; what follows stays in bounds
            return
        self.code = larger
        self.capacity = wanted

    cdef int new_temp(self, int lane) noexcept nogil:
        cdef int register = self.n_columns + self.n_temps
        self.lane[register] = <unsigned char>lane
        self.n_temps += 1
        return register

    cdef bint full(self) noexcept nogil:
        return self.n_code - self.start >= MAX_INSTRUCTIONS

    cdef int emit(self, int op, int lane, int a, int b, int c, uint64_t payload) noexcept nogil:
        """The register of ``op(a, b, c)``, shared with an equal instruction if one is in scope."""
        cdef int i, low
        cdef Instruction* other
        cdef Instruction* new
        if self.share:
            low = self.n_available - SHARING_WINDOW
            for i in range(self.n_available - 1, (low if low > 0 else 0) - 1, -1):
                other = &self.code[self.available[i]]
                if (other.op == op and other.a == a and other.b == b and other.c == c
                        and other.n1 == <uint32_t>payload and other.n2 == <uint32_t>(payload >> 32)
                        and self.lane[other.dst] == lane):
                    return other.dst
        new = &self.code[self.n_code]
        memset(new, 0, sizeof(Instruction))
        new.op = <uint16_t>op
        new.a = <uint16_t>a
        new.b = <uint16_t>b
        new.c = <uint16_t>c
        new.n1 = <uint32_t>payload
        new.n2 = <uint32_t>(payload >> 32)
        new.dst = <uint16_t>self.new_temp(lane)
        self.available[self.n_available] = <int32_t>self.n_code
        self.n_available += 1
        self.n_code += 1
        return new.dst

    cdef int load_int(self, int64_t value) noexcept nogil:
        return self.emit(LOADK_I64, INT, 0, 0, 0, <uint64_t>value)

    cdef int load_float(self, double value) noexcept nogil:
        cdef uint64_t bits
        memcpy(&bits, &value, 8)
        return self.emit(LOADK_F64, FLOAT, 0, 0, 0, bits)

    cdef int as_float(self, int register, bint exact) noexcept nogil:
        if self.lane[register] != INT:
            return register
        return self.emit(TO_F64_EXACT if exact else TO_F64, MIXED if exact else FLOAT, register, 0, 0, 0)

    cdef int binary(self, int opcode, int lane, int result_lane, int a, int b, int c) noexcept nogil:
        if COMMUTES[opcode] and a > b:
            a, b = b, a
        return self.emit(2 * opcode + (lane != INT), result_lane, a, b, c, 0)

    # ---- calls ----------------------------------------------------------------------------------------------------

    cdef int primitive(self, int opcode, const int32_t* args, int n, int* out) noexcept nogil:
        """Lowers one operation on registers; the outcome, and in ``out`` the register of its value."""
        cdef int rule = RULE[opcode], arity = ARITY[opcode], i
        cdef int ints = 0, mixed = 0, a = 0, b = 0, c = 0
        if rule == R_ITERATION and n < (3 if opcode == P_LOOP else 4 if opcode == P_WHILE else 5):
            return RAISES
        if rule < 0 or rule == R_ITERATION:
            return UNSURE  # a loop whose function is a value, not a name
        if self.full():
            return TOO_LARGE
        if n < arity:
            return RAISES
        if rule == R_ZERO:
            out[0] = self.load_int(0)
            return OK
        if opcode == P_PI:
            out[0] = self.load_float(M_PI)
            return OK
        for i in range(arity):
            ints += self.lane[args[i]] == INT
            mixed += self.lane[args[i]] == MIXED
        a = args[0]
        if arity > 1:
            b = args[1]
        if rule == R_IDENTITY:
            out[0] = a
        elif rule == R_BITWISE:
            if ints < arity:
                return UNSURE if ints + mixed == arity else RAISES
            out[0] = self.binary(opcode, INT, INT, a, b, 0)
        elif rule == R_ARITHMETIC:
            if mixed and ints + mixed == arity:
                return UNSURE  # int on some rows, where it may leave the range in which a float is exact
            if ints == arity:
                out[0] = self.binary(opcode, INT, INT, a, b, 0)
            else:
                a = self.as_float(a, False)
                b = self.as_float(b, False) if arity > 1 else 0
                out[0] = self.binary(opcode, FLOAT, FLOAT, a, b, 0)
        elif rule == R_DIVISION:
            if ints == arity:
                out[0] = self.binary(opcode, INT, FLOAT, a, b, 0)
            else:
                # An int against rows that are ints divides exactly in Python, against floats after rounding.
                a = self.as_float(a, mixed > 0)
                b = self.as_float(b, mixed > 0) if arity > 1 else 0
                out[0] = self.binary(opcode, FLOAT, FLOAT, a, b, 0)
        elif rule == R_COMPARISON:
            if ints == arity:
                out[0] = self.binary(opcode, INT, INT, a, b, 0)
            else:
                out[0] = self.binary(opcode, FLOAT, INT, self.as_float(a, True), self.as_float(b, True), 0)
        elif rule == R_REAL:
            a = self.as_float(a, False)
            b = self.as_float(b, False) if arity > 1 else 0
            out[0] = self.binary(opcode, FLOAT, FLOAT, a, b, 0)
        elif rule == R_EXTREMUM:
            if ints == arity:
                out[0] = self.binary(opcode, INT, INT, a, b, 0)
            elif ints + mixed == 0:
                out[0] = self.binary(opcode, FLOAT, FLOAT, a, b, 0)
            else:
                out[0] = self.binary(opcode, FLOAT, MIXED, self.as_float(a, True), self.as_float(b, True), 0)
        else:  # R_SELECTION
            c = args[2]
            if self.lane[a] != INT:
                a = self.binary(P_NEQ, FLOAT, INT, a, self.load_float(0.0), 0)
            if b == c:
                out[0] = b
            elif self.lane[b] == self.lane[c]:
                out[0] = self.emit(2 * opcode + (self.lane[b] != INT), self.lane[b], a, b, c, 0)
            else:
                out[0] = self.emit(2 * opcode + 1, MIXED, a, self.as_float(b, True), self.as_float(c, True), 0)
        return OK

    cdef int call(self, int function, const int32_t* args, int n, int depth, int* out) noexcept nogil:
        cdef int kind, base, i, j, step, child, n_args, index, status, arity, register, first
        cdef int32_t* values
        if function < 0 or function >= self.table.n_functions:
            return RAISES
        kind = self.table.v_opcode[function]
        if kind == KIND_MISSING:
            return RAISES
        if kind != KIND_LEARNED:
            return self.primitive(kind, args, n, out)
        if depth > MAX_DEPTH:
            return TOO_LARGE
        arity = self.table.v_arity[function]
        if n < arity:
            return RAISES
        # The frame on the value stack: inputs, then the result of each step, then the arguments of the present step.
        base = self.n_values
        if base + arity + self.table.v_step_count[function] + 1024 > MAX_VALUES:
            return TOO_LARGE
        values = self.values + base
        for i in range(arity):
            values[i] = args[i]
        self.n_values = base + arity
        register = 0
        for i in range(self.table.v_step_count[function]):
            step = self.table.v_step_start[function] + i
            child = self.table.v_child[step]
            n_args = self.table.v_arg_count[step]
            if n_args > 512:
                return TOO_LARGE
            first = 0
            if 0 <= child < self.table.n_functions and RULE_OF(self.table.v_opcode[child]) == R_ITERATION:
                first = 1 if self.table.v_opcode[child] == P_LOOP else 2
            for j in range(n_args):
                index = self.table.v_args[self.table.v_arg_start[step] + j]
                if j < first:
                    self.values[self.n_values + j] = index
                elif index == -1:
                    if self.full():
                        return TOO_LARGE
                    self.values[self.n_values + j] = self.load_int(0)
                elif index < -1 or index >= arity + i:
                    return RAISES
                else:
                    self.values[self.n_values + j] = values[index]
            self.n_values += n_args
            if first:
                status = self.loop(
                    self.table.v_opcode[child], self.values + self.n_values - n_args, n_args, depth + 1, &register
                )
            else:
                status = self.call(child, self.values + self.n_values - n_args, n_args, depth + 1, &register)
            self.n_values -= n_args
            if status != OK:
                self.n_values = base
                return status
            self.values[self.n_values] = register
            self.n_values += 1
        self.n_values = base
        if self.table.v_mode[function]:
            if self.n_code - self.start + 4 >= MAX_INSTRUCTIONS:
                return TOO_LARGE
            register = self.apply_constant(
                register, self.table.v_mode[function], self.table.v_k[function], self.table.v_k2[function]
            )
        out[0] = register
        return OK

    cdef int apply_constant(self, int register, int mode, double k, double k2) noexcept nogil:
        """result * k, result + k, or k * result + k2, as instructions."""
        register = self.as_float(register, False)
        if mode != 2:
            register = self.binary(P_MUL, FLOAT, FLOAT, register, self.load_float(k), 0)
        if mode != 1:
            register = self.binary(P_ADD, FLOAT, FLOAT, register, self.load_float(k if mode == 2 else k2), 0)
        return register

    # ---- loops ----------------------------------------------------------------------------------------------------

    cdef int body(self, int function, const int32_t* args, int n, int state, int lane, int depth, int* out) noexcept nogil:
        """Lowers a loop's body or condition in a scope of its own. ``lane`` -1 takes any lane.

        A body that raises or cannot be said becomes one instruction doing so; ``out`` is then the state.
        """
        cdef Py_ssize_t begin = self.n_code
        cdef int mark = self.n_available
        cdef int status = self.call(function, args, n, depth, out)
        if status == OK and lane >= 0 and self.lane[out[0]] != lane and not (lane == MIXED and self.lane[out[0]] == FLOAT):
            status = WRONG_LANE  # the type of the state depends on the count
        elif status == RAISES:
            self.n_code = begin
            self.n_available = mark
            self.emit(OP_RAISE, INT, 0, 0, 0, 0)
            out[0] = state
            status = OK
        elif status == UNSURE:
            self.emit(OP_UNSURE, INT, 0, 0, 0, 0)  # after what the body did before: that may have raised
            out[0] = state
            status = OK
        self.n_available = mark
        return status

    cdef int loop(self, int opcode, const int32_t* args, int n, int depth, int* out) noexcept nogil:
        """A loop whose state keeps its lane, or else one whose state is int on some rows and float on others."""
        cdef Py_ssize_t begin = self.n_code
        cdef int mark = self.n_available, temps = self.n_temps, state, lane, status
        if opcode == P_LOOP:
            if n != 3 and n != 4:
                return UNSURE
        elif n != (4 if opcode == P_WHILE else 5):
            return UNSURE
        state = args[2]
        lane = self.lane[state]
        status = self.loop_with(opcode, args, n, depth, state, lane, out)
        if status == WRONG_LANE and lane != MIXED:
            self.n_code = begin
            self.n_available = mark
            self.n_temps = temps
            status = self.loop_with(opcode, args, n, depth, self.as_float(state, True), MIXED, out)
        if status != OK:  # leave no half a loop behind
            self.n_code = begin
            self.n_available = mark
            self.n_temps = temps
        return UNSURE if status == WRONG_LANE else status

    cdef int loop_with(
        self, int opcode, const int32_t* args, int n, int depth, int start, int lane, int* out
    ) noexcept nogil:
        cdef int status, limit, state = 0, register, condition = 0, counter = 0, op
        cdef Py_ssize_t at, middle
        cdef int32_t inner[2]
        cdef Instruction* head
        cdef int n_inner = 1, result
        if depth > MAX_DEPTH or self.full() or self.nesting >= MAX_NESTING:
            return TOO_LARGE
        limit = args[1] if opcode == P_LOOP else args[n - 1]
        if n == 4 and opcode == P_LOOP:
            n_inner = 2
        if opcode == P_ACCUM:
            counter = args[3]
            if self.lane[counter] != INT:
                return RAISES if self.lane[counter] == FLOAT else UNSURE
        if self.lane[limit] == FLOAT:
            return RAISES
        if self.lane[limit] == MIXED:
            return UNSURE
        op = LOOP_I64 if opcode == P_LOOP else (WHILE_I64 if opcode == P_WHILE else ACCUM_I64)
        at = self.n_code
        head = &self.code[at]
        memset(head, 0, sizeof(Instruction))
        self.n_code += 1
        result = self.new_temp(INT if opcode == P_ACCUM else lane)
        register = self.new_temp(lane) if opcode == P_ACCUM else result
        inner[0] = register
        inner[1] = args[3] if n_inner == 2 else 0
        self.nesting += 1
        status = OK
        if opcode != P_LOOP:
            status = self.body(args[0], inner, 1, register, -1, depth + 1, &condition)
        middle = self.n_code
        if status == OK:
            status = self.body(args[0 if opcode == P_LOOP else 1], inner, n_inner, register, lane, depth + 1, &state)
        self.nesting -= 1
        if status != OK:
            return status
        head = &self.code[at]
        head.op = <uint16_t>(op + (lane != INT))
        head.dst = <uint16_t>result
        head.a = <uint16_t>limit
        head.b = <uint16_t>start
        head.c = <uint16_t>counter
        head.d = <uint16_t>condition
        head.e = <uint16_t>state
        head.f = <uint16_t>(register if opcode == P_ACCUM else 0)
        head.n1 = <uint32_t>(middle - at - 1) if opcode != P_LOOP else 0
        head.n2 = <uint32_t>(self.n_code - middle) if opcode != P_LOOP else <uint32_t>(self.n_code - at - 1)
        out[0] = result
        return OK

    # ---- programs -------------------------------------------------------------------------------------------------

    cdef void finish(self, int status, int register, int mode, double k, double k2, ProgramRecord* out) noexcept nogil:
        memset(out, 0, sizeof(ProgramRecord))
        if status == UNSURE and self.n_code > self.start:
            self.emit(OP_UNSURE, INT, 0, 0, 0, 0)  # what came before may raise, which is certain then
            register = 0
        elif status != OK:
            self.n_code = self.start
            self.n_temps = 0
            register = 0
            out.flags = 2 if status == RAISES else 4
        out.start = <uint32_t>self.start
        out.length = <uint32_t>(self.n_code - self.start)
        out.n_temps = <uint32_t>self.n_temps
        out.result = <uint16_t>register
        out.flags |= <uint16_t>((self.lane[register] != INT) | (mode << 4))
        out.k = k
        out.k2 = k2

    cdef int left_side(self, Candidate* c, const int32_t* first, int* out) noexcept nogil:
        """The primary of a parallel candidate. Candidates come with the right side changing fastest, so the code of the
        one before is mostly the code wanted now."""
        cdef int status, i
        cdef Py_ssize_t delta
        cdef bint same = self.left != NULL and self.n_code == self.start and c.primary == self.left.primary and c.n1 == self.left.n1
        if same:
            for i in range(c.n1):
                same = same and c.r1[i] == self.left.r1[i]
        if same:
            delta = self.start - self.left_start
            if delta:
                memcpy(&self.code[self.start], &self.code[self.left_start], self.left_length * sizeof(Instruction))
                for i in range(self.left_available):
                    self.available[i] += <int32_t>delta
                self.left_start = self.start
            self.n_code = self.start + self.left_length
            self.n_temps = self.left_temps
            self.n_available = self.left_available
            out[0] = self.left_register
            return OK
        self.left = NULL
        delta = self.n_code - self.start  # literal zeros may have been loaded already
        status = self.call(c.primary, first, c.n1, 0, out)
        if status == OK and not delta:
            self.left = c
            self.left_start = self.start
            self.left_length = self.n_code - self.start
            self.left_temps = self.n_temps
            self.left_available = self.n_available
            self.left_register = out[0]
        return status

    cdef int candidate(self, Candidate* c, int* out) noexcept nogil:
        cdef int32_t first[MAX_ROUTE]
        cdef int32_t second[MAX_ROUTE]
        cdef int32_t inner[MAX_ROUTE]
        cdef int32_t one[5]
        cdef int i, n, status, register = 0
        for i in range(c.n1):
            first[i] = c.r1[i] if c.r1[i] >= 0 else self.load_int(0)
        for i in range(c.n2):
            second[i] = c.r2[i] if c.r2[i] >= 0 else self.load_int(0)
        if c.comp != PARALLEL:
            self.left = NULL
        if c.comp == NONE:
            return self.call(c.primary, first, c.n1, 0, out)
        if c.comp == SEQUENTIAL:
            status = self.call(c.secondary, first, c.n1, 0, &register)
            if status != OK:
                return status
            n = 1
            if 0 <= c.primary < self.table.n_functions and self.table.v_arity[c.primary] > 1:
                n = self.table.v_arity[c.primary]
            if n > MAX_ROUTE:
                return TOO_LARGE
            for i in range(n):
                inner[i] = register
            return self.call(c.primary, inner, n, 0, out)
        if c.comp == NESTED:
            for i in range(c.n1):
                status = self.call(c.secondary, &first[i], 1, 0, &register)
                if status != OK:
                    return status
                inner[i] = register
            return self.call(c.primary, inner, c.n1, 0, out)
        if c.comp == PARALLEL:
            status = self.left_side(c, first, &register)
            if status != OK:
                return status
            inner[0] = register
            status = self.call(c.secondary, second, c.n2, 0, &register)
            if status != OK:
                return status
            inner[1] = register
            return self.call(c.tertiary, inner, 2, 0, out)
        if c.n1 != 2:
            return RAISES
        one[0] = c.primary
        one[1] = first[1]
        if c.comp == LOOP_DIRECT:
            one[2] = first[0]
            return self.loop(P_LOOP, one, 3, 0, out)
        one[2] = self.load_int(0)
        one[3] = first[0]
        return self.loop(P_LOOP, one, 4, 0, out)

    cdef object result(self, object programs, object out=None):
        """Copies of what was emitted: (instructions, programs), the former in ``out`` if that is large enough. The scratch
        is free for another batch from here on."""
        if self.no_memory:
            raise MemoryError("no memory to lower programs")
        code = out[: self.n_code] if out is not None and len(out) >= self.n_code else np.empty(self.n_code, INSTRUCTION)
        cdef unsigned char[::1] raw
        if self.n_code:
            raw = code.view(np.uint8)
            memcpy(&raw[0], self.code, self.n_code * sizeof(Instruction))
        self.table = None
        if self.capacity <= LARGEST_SPARE and len(_SPARE) < MOST_SPARE:
            _SPARE.append(self)
        return code, programs


cdef int RULE_OF(int opcode) noexcept nogil:
    return RULE[opcode] if 0 <= opcode < N_OPCODES else -1

cdef int ARITY_OF(int opcode) noexcept nogil:
    return ARITY[opcode]


def lower_candidates(FunctionTable table, candidates, str lanes, *, bint share=True, out=None):
    """(INSTRUCTION array, PROGRAM array) for a CANDIDATE array; ValueError if a route names a column that is not there.

    ``out`` is a pair of such arrays to write into, where they are large enough; the results are then views of them.
    """
    records = np.ascontiguousarray(candidates, dtype=CANDIDATE)
    cdef Py_ssize_t n = len(records), i, bad = -1
    cdef Lowering work = borrow(table, lanes, share, 3 * n)
    code_out, programs_out = out if out is not None else (None, None)
    programs = programs_out[:n] if programs_out is not None and len(programs_out) >= n else np.empty(n, dtype=PROGRAM)
    if n == 0:
        return work.result(programs, code_out)
    records = records if records.flags.writeable else records.copy()
    cdef Candidate[::1] view = records
    cdef ProgramRecord[::1] rows = programs
    cdef int register = 0, status, j
    with nogil:
        for i in range(n):
            if not (0 <= view[i].n1 <= MAX_ROUTE and 0 <= view[i].n2 <= MAX_ROUTE and 0 <= view[i].mode <= 3
                    and 0 <= view[i].comp <= LOOP_BINARY):
                bad = i
                break
            for j in range(MAX_ROUTE):
                if ((j < view[i].n1 and view[i].r1[j] >= work.n_columns)
                        or (j < view[i].n2 and view[i].r2[j] >= work.n_columns)):
                    bad = i
            if bad >= 0:
                break
            work.begin()
            register = 0
            status = work.candidate(&view[i], &register)
            work.finish(status, register, view[i].mode, view[i].k, view[i].k2, &rows[i])
    if bad >= 0:
        raise ValueError(f"candidate {bad}: a field is out of range, or a route names a column beyond the {work.n_columns} given")
    return work.result(programs, code_out)
