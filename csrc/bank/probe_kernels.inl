// The kernels of probes, written once, on the vectors of grow_kernels.inl. A target's file includes this after it, inside a
// namespace of its own.

template <unsigned kPeel>
NSSR_INLINE VF peeled(VF t, VF v) {
    if constexpr (kPeel == 0) return t;
    if constexpr (kPeel == 1) return t + v;
    if constexpr (kPeel == 2) return t - v;
    if constexpr (kPeel == 3) return v - t;
    if constexpr (kPeel == 4) return t * v;
    if constexpr (kPeel == 5) return t / v;
    if constexpr (kPeel == 6) return v / t;
}

template <unsigned kPeel>
static void peel(const Peeling& job) {
    const std::size_t whole = job.rows / kSums * kSums;
    for (std::size_t c = 0; c < job.n; ++c) {
        const double* v = job.values + c * job.rows;
        double* to = job.to + c * job.stride;
        for (std::size_t r = 0; r < whole; r += kLanes)
            *reinterpret_cast<UF*>(to + r) = peeled<kPeel>(read(job.target + r), read(v + r));
        if (whole == job.rows) continue;
        double rest[kSums];
        for (std::size_t r = 0; r < kSums; ++r) rest[r] = v[whole + r < job.rows ? whole + r : 0];
        for (std::size_t r = 0; r < kSums; r += kLanes)
            *reinterpret_cast<UF*>(to + whole + r) = peeled<kPeel>(read(job.target + whole + r), read(rest + r));
    }
}

template <unsigned kStep>
static void step(double* values, std::size_t n) {
    for (std::size_t i = 0; i < n; i += kLanes) {
        const VF v = read(values + i);
        VF to;
        if constexpr (kStep == kNeg) to = -v;
        if constexpr (kStep == kAbs) to = magnitude(v);
        if constexpr (kStep == kSquare) to = v * v;
        if constexpr (kStep == kCube) to = v * v * v;
        if constexpr (kStep == kInv) to = 1.0 / v;
        if constexpr (kStep == kSqrt) to = root(v);
        if constexpr (kStep == kInc) to = v + 1.0;
        if constexpr (kStep == kDec) to = v - 1.0;
        *reinterpret_cast<UF*>(values + i) = to;
    }
}

template <std::size_t kCount>
NSSR_INLINE double sum_of(const void* from) {
    if constexpr (kCount == 1) {
        double x;
        __builtin_memcpy(&x, from, sizeof x);
        return x;
    } else {
        typedef double Half __attribute__((vector_size(kCount * 4)));
        Half half[2];
        __builtin_memcpy(half, from, sizeof half);
        half[0] += half[1];
        return sum_of<kCount / 2>(half);
    }
}

static void project(const Projecting& job) {
    constexpr std::size_t kParts = kSums / kLanes;
    for (std::size_t c = 0; c < job.n; ++c) {
        const double* r = job.block + c * job.stride;
        VF s1[kParts] = {}, s2[kParts] = {}, s3[kParts] = {};
        for (std::size_t row = 0; row < job.stride; row += kSums)
            for (std::size_t p = 0; p < kParts; ++p) {
                const std::size_t at = row + p * kLanes;
                const VF x = read(r + at);
                s1[p] += x * read(job.u1 + at);
                s2[p] += x * read(job.u2 + at);
                s3[p] += x * read(job.one + at) * x;
            }
        job.d1[c] = sum_of<kSums>(s1);
        job.d2[c] = sum_of<kSums>(s2);
        job.size[c] = sum_of<kSums>(s3);
    }
}

static void mark(const double* block, std::size_t n, std::size_t stride, std::uint8_t* bad) {
    for (std::size_t c = 0; c < n; ++c) {
        Mask finite = kEvery;
        for (std::size_t r = 0; r < stride; r += kLanes)
            finite &= at_most(magnitude(read(block + c * stride + r)), splat(1.7976931348623157e308));
        bad[c] = static_cast<std::uint8_t>(bad[c] | !every(finite));
    }
}

template <unsigned kAt>
constexpr void fill_probes(Kernels& kernels) {
    if constexpr (kAt < 7) kernels.peel[kAt] = peel<kAt>;
    kernels.step[kAt] = step<kAt>;
    if constexpr (kAt + 1 < kSteps) fill_probes<kAt + 1>(kernels);
}

constexpr Kernels make_probes(const char* target) {
    Kernels kernels{};
    kernels.target = target;
    fill_probes<0>(kernels);
    kernels.project = project;
    kernels.mark = mark;
    return kernels;
}
