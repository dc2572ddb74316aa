from libc.stdint cimport int8_t, int16_t, int32_t

cdef enum:
    MAX_ROUTE = 8
    NONE = 0
    SEQUENTIAL = 1
    NESTED = 2
    PARALLEL = 3
    LOOP_DIRECT = 4
    LOOP_BINARY = 5

# One candidate in 64 bytes; -1 in an id means "no function", -1 in a route means the literal 0.
cdef packed struct Candidate:
    int32_t primary
    int32_t secondary
    int32_t tertiary
    int8_t comp
    int8_t n1
    int8_t n2
    int8_t mode
    int16_t r1[MAX_ROUTE]
    int16_t r2[MAX_ROUTE]
    double k
    double k2

# A choice of functions without routes.
cdef packed struct Slots:
    int32_t comp
    int32_t primary
    int32_t secondary
    int32_t tertiary
