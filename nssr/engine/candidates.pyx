"""Candidates as flat records: made from choices of functions, deduplicated, packed from and unpacked to dicts.

The search handles millions of candidates; a dict exists only for the few that survive. A record (`CANDIDATE`) is what
`lowering.lower_candidates` reads. The meaning of a candidate is `executor.run`.
"""

from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memset

import numpy as np

cimport cython

COMP_NAMES = ("none", "sequential", "nested", "parallel", "loop_direct", "loop_binary")
COMP_CODES = {name: code for code, name in enumerate(COMP_NAMES)}
CONST_MODES = (None, "multiplicative", "additive", "affine")
ROUTE_LENGTH = MAX_ROUTE

CANDIDATE = np.dtype(
    [
        ("primary", np.int32), ("secondary", np.int32), ("tertiary", np.int32),
        ("comp", np.int8), ("n1", np.int8), ("n2", np.int8), ("mode", np.int8),
        ("r1", np.int16, MAX_ROUTE), ("r2", np.int16, MAX_ROUTE),
        ("k", np.float64), ("k2", np.float64),
    ]
)
SLOTS = np.dtype([("comp", np.int32), ("primary", np.int32), ("secondary", np.int32), ("tertiary", np.int32)])
assert CANDIDATE.itemsize == sizeof(Candidate) and SLOTS.itemsize == sizeof(Slots)


cdef class Enumerator:
    """Every candidate of a list of function choices, choice by choice, in a fixed order, in batches.

    Parameters
    ----------
    slots : SLOTS array (n,)
        Choices of functions, best first.
    arity, commutative : int32 array and bool array, indexed by function id
        A function of negative arity cannot be placed.
    columns : int16 array
        The columns that routes may name, most promising first.
    symmetry : bool
        Skip candidates that differ from another only by swapped operands of a commutative function. How many were
        skipped stands in ``n_symmetric``.
    max_routings : int
        At most so many candidates per choice; 0 means all. A choice cut short is counted in ``n_cut``.
    """

    cdef object _slots, _arity, _commutative, _columns
    cdef Slots[::1] slots
    cdef const int[::1] arity
    cdef const unsigned char[::1] commutative
    cdef const short[::1] columns
    cdef Py_ssize_t position
    cdef int digits[2 * MAX_ROUTE]
    cdef int n1, n2
    cdef bint fresh
    cdef long made_here
    cdef readonly long n_made, n_symmetric, n_cut
    cdef readonly bint symmetry
    cdef long max_routings

    def __init__(self, slots, arity, commutative, columns, *, symmetry=True, max_routings=0):
        self._slots = np.ascontiguousarray(slots, dtype=SLOTS).copy()
        self._arity = np.ascontiguousarray(arity, dtype=np.int32)
        self._commutative = np.ascontiguousarray(commutative, dtype=np.uint8)
        self._columns = np.ascontiguousarray(columns, dtype=np.int16)
        if len(self._columns) == 0:
            raise ValueError("an enumeration needs at least one column")
        names = ("primary", "secondary", "tertiary")
        if len(self._slots) and max(int(self._slots[n].max()) for n in names) >= min(len(self._arity), len(self._commutative)):
            raise ValueError("a choice names a function id beyond the tables of arities and symmetries")
        comp = self._slots["comp"]
        lacks = self._slots["primary"] < 0
        lacks |= (self._slots["secondary"] < 0) & ((comp == SEQUENTIAL) | (comp == NESTED) | (comp == PARALLEL))
        lacks |= (self._slots["tertiary"] < 0) & (comp == PARALLEL)
        if lacks.any():
            raise ValueError(f"choice {int(np.argmax(lacks))} lacks a function that its composition type needs")
        self.slots = self._slots.view(SLOTS)
        self.arity = self._arity
        self.commutative = self._commutative
        self.columns = self._columns
        self.symmetry = symmetry
        self.max_routings = max_routings
        self.position = 0
        self.fresh = True

    @property
    def exhausted(self):
        return self.position >= self.slots.shape[0]

    @property
    def n_choices_done(self):
        """How many of the choices have been gone through."""
        return self.position

    def fill(self, int capacity, out=None):
        """The next candidates, at most ``capacity``, as a CANDIDATE array: a view of ``out`` if it is given."""
        if out is None:
            out = np.empty(capacity, dtype=CANDIDATE)
        else:
            capacity = min(capacity, len(out))
        cdef Candidate[::1] view = out
        cdef Py_ssize_t n
        with nogil:
            n = self._fill(&view[0], capacity) if capacity > 0 else 0
        return out[:n]

    cdef int _lengths(self, Slots s, int* n1, int* n2) noexcept nogil:
        """Route lengths of a choice; -1 if it cannot be placed."""
        cdef int ap = self.arity[s.primary], asec, ater
        n1[0] = 0
        n2[0] = 0
        if s.comp == NONE:
            n1[0] = ap
        elif s.comp == SEQUENTIAL:
            asec = self.arity[s.secondary]
            if ap < 1:
                return -1
            n1[0] = asec
        elif s.comp == NESTED:
            asec = self.arity[s.secondary]
            if asec != 1 or ap < 1:
                return -1
            n1[0] = ap
        elif s.comp == PARALLEL:
            asec = self.arity[s.secondary]
            ater = self.arity[s.tertiary]
            if ater != 2:
                return -1
            n1[0] = ap
            n2[0] = asec
        elif s.comp == LOOP_DIRECT:
            if ap != 1:
                return -1
            n1[0] = 2
        elif s.comp == LOOP_BINARY:
            if ap != 2:
                return -1
            n1[0] = 2
        else:
            return -1
        if n1[0] < 0 or n2[0] < 0 or n1[0] > MAX_ROUTE or n2[0] > MAX_ROUTE:
            return -1
        return 0

    cdef bint _canonical(self, Slots s) noexcept nogil:
        """Whether this is the one of its mirror images that is kept."""
        cdef int i
        if s.comp == NONE or s.comp == NESTED:
            return not (self.n1 == 2 and self.commutative[s.primary] and self.digits[0] > self.digits[1])
        if s.comp == SEQUENTIAL:
            return not (self.n1 == 2 and self.commutative[s.secondary] and self.digits[0] > self.digits[1])
        if s.comp != PARALLEL:
            return True
        if self.n1 == 2 and self.commutative[s.primary] and self.digits[0] > self.digits[1]:
            return False
        if self.n2 == 2 and self.commutative[s.secondary] and self.digits[self.n1] > self.digits[self.n1 + 1]:
            return False
        if self.commutative[s.tertiary]:
            if s.primary > s.secondary:
                return False
            if s.primary == s.secondary:
                for i in range(self.n1):
                    if self.digits[i] != self.digits[self.n1 + i]:
                        return self.digits[i] < self.digits[self.n1 + i]
        return True

    cdef Py_ssize_t _fill(self, Candidate* out, Py_ssize_t capacity) noexcept nogil:
        cdef Py_ssize_t n = 0, total = self.slots.shape[0]
        cdef int n_columns = <int>self.columns.shape[0]
        cdef int i
        cdef Slots s
        cdef bint more
        while n < capacity and self.position < total:
            s = self.slots[self.position]
            if self.fresh:
                if self._lengths(s, &self.n1, &self.n2) < 0:
                    self.position += 1
                    continue
                memset(self.digits, 0, sizeof(self.digits))
                self.made_here = 0
                self.fresh = False
            if self.symmetry and not self._canonical(s):
                self.n_symmetric += 1
            else:
                memset(&out[n], 0, sizeof(Candidate))
                out[n].primary = s.primary
                out[n].secondary = s.secondary
                out[n].tertiary = s.tertiary
                out[n].comp = <int8_t>s.comp
                out[n].n1 = <int8_t>self.n1
                out[n].n2 = <int8_t>self.n2
                for i in range(self.n1):
                    out[n].r1[i] = self.columns[self.digits[i]]
                for i in range(self.n2):
                    out[n].r2[i] = self.columns[self.digits[self.n1 + i]]
                n += 1
                self.n_made += 1
                self.made_here += 1
            # The counter's last digit runs fastest; promising columns, which come first, are tried first.
            more = False
            for i in range(self.n1 + self.n2 - 1, -1, -1):
                self.digits[i] += 1
                if self.digits[i] < n_columns:
                    more = True
                    break
                self.digits[i] = 0
            if more and self.max_routings > 0 and self.made_here >= self.max_routings:
                more = False
                self.n_cut += 1
            if not more:
                self.position += 1
                self.fresh = True
        return n


def deduplicate(candidates):
    """Indices of the first of each set of equal records, in order. int64 array.

    Equality is that of `search._cand_key`, and of the constants: every field. Records are compared whole; a hash only finds the place to look.
    """
    records = np.ascontiguousarray(candidates, dtype=CANDIDATE)
    cdef Py_ssize_t n = len(records)
    if n == 0:
        return np.empty(0, dtype=np.int64)
    cdef const unsigned char[::1] raw = records.view(np.uint8).reshape(-1)
    kept = np.empty(n, dtype=np.int64)
    cdef long[::1] keep = kept
    cdef Py_ssize_t size = 1, i, j, m = 0
    while size < 2 * n:
        size *= 2
    cdef Py_ssize_t* table = <Py_ssize_t*>malloc(size * sizeof(Py_ssize_t))
    if table == NULL:
        raise MemoryError("no memory to compare the candidates")
    cdef unsigned long long h
    cdef const unsigned long long* words
    cdef int w
    cdef bint seen
    try:
        with nogil:
            memset(table, 0xFF, size * sizeof(Py_ssize_t))  # every place holds -1
            for i in range(n):
                words = <const unsigned long long*>&raw[i * sizeof(Candidate)]
                h = 0x9E3779B97F4A7C15ULL
                for w in range(<int>(sizeof(Candidate) // 8)):
                    h = (h ^ words[w]) * 0xBF58476D1CE4E5B9ULL
                    h ^= h >> 29
                j = <Py_ssize_t>(h & <unsigned long long>(size - 1))
                seen = False
                while table[j] >= 0:
                    if memcmp(&raw[table[j] * sizeof(Candidate)], words, sizeof(Candidate)) == 0:
                        seen = True
                        break
                    j = (j + 1) & (size - 1)
                if not seen:
                    table[j] = i
                    keep[m] = i
                    m += 1
    finally:
        free(table)
    return kept[:m].copy()


def _route(value, int n_columns, null_columns, what):
    """A route with erased columns replaced by -1, the literal 0."""
    route = list(range(n_columns)) if value is None else [int(i) for i in value]
    for i in route:
        if not -1 <= i < n_columns:
            raise ValueError(f"{what} names column {i}, but there are {n_columns} columns")
    return [-1 if i in null_columns else i for i in route]


def _read(route, int arity):
    """What a function reads of a route: as many columns as it has arguments, all of them where it takes any number."""
    return route[:arity] if arity >= 0 else route


def pack(candidates, int n_columns, arities):
    """Candidate dicts as a CANDIDATE array.

    ``arities`` maps a function id to its arity. A route is cut to what its function reads (a learned function may read
    at most ROUTE_LENGTH columns here; ValueError beyond).
    """
    out = np.zeros(len(candidates), dtype=CANDIDATE)
    for place, c in enumerate(candidates):
        record = out[place]
        comp = c.get("comp_type", "none")
        if comp not in COMP_CODES:
            raise ValueError(f"candidate {place}: unknown composition type {comp!r}")
        for field, key in (("primary", "primary_id"), ("secondary", "secondary_id"), ("tertiary", "tertiary_id")):
            record[field] = -1 if c.get(key) is None else c[key]
        record["comp"] = COMP_CODES[comp]
        nulls = set(c.get("null_columns") or ())
        routing = c.get("routing")
        second = []
        if comp == "parallel":
            first, second = routing if routing is not None else (None, None)
            first = _route(first, n_columns, nulls, f"candidate {place}")
            second = _route(second, n_columns, nulls, f"candidate {place}")
            second = _read(second, arities.get(int(record["secondary"]), -1))
            first = _read(first, arities.get(int(record["primary"]), -1))
        elif comp.startswith("loop"):
            first = _route([0, 1] if routing is None else routing, n_columns, nulls, f"candidate {place}")[:2]
        else:
            first = _route(routing, n_columns, nulls, f"candidate {place}")
            reader = {"none": "primary", "sequential": "secondary", "nested": "primary"}[comp]
            first = _read(first, arities.get(int(record[reader]), -1))
        if len(first) > MAX_ROUTE or len(second) > MAX_ROUTE:
            raise ValueError(f"candidate {place}: a route of more than {MAX_ROUTE} columns")
        record["n1"], record["n2"] = len(first), len(second)
        record["r1"][: len(first)] = first
        record["r2"][: len(second)] = second
        constants = c.get("constants")
        if constants:
            record["mode"] = CONST_MODES.index(c.get("const_mode") or "multiplicative")
            record["k"] = constants[0]
            record["k2"] = constants[1] if len(constants) > 1 else 0.0
    return out


def unpack(records, int n_columns):
    """CANDIDATE records as the documented dicts; columns that no route names are told as ``null_columns``."""
    out = []
    for r in records:
        comp = COMP_NAMES[r["comp"]]
        first = [int(i) for i in r["r1"][: r["n1"]]]
        second = [int(i) for i in r["r2"][: r["n2"]]]
        used = {i for i in first + second if i >= 0}
        nulls = [i for i in range(n_columns) if i not in used]
        candidate = {
            "primary_id": int(r["primary"]),
            "secondary_id": int(r["secondary"]) if r["secondary"] >= 0 else None,
            "tertiary_id": int(r["tertiary"]) if r["tertiary"] >= 0 else None,
            "comp_type": comp,
            "routing": (first, second) if comp == "parallel" else first,
            "null_columns": nulls or None,
        }
        if r["mode"]:
            candidate["constants"] = [float(r["k"])] + ([float(r["k2"])] if r["mode"] == 3 else [])
            candidate["const_mode"] = CONST_MODES[r["mode"]]
        out.append(candidate)
    return out
