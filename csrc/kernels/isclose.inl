// When a value counts as the target's. Included inside each kernel file's namespace, after vectors.inl.

// math.isclose(value, target, rel_tol=rel, abs_tol=abs), negated: lanes are -1 where it fails.
NSSR_INLINE VI far(VF v, VF t, double rel, double abs) {
    const VU clear = VU{} + 0x7FFFFFFFFFFFFFFFu;
    const VF largest = VF{} + 1.7976931348623157e308;
    const VF size_v = (VF)((VU)v & clear), size_t_ = (VF)((VU)t & clear), gap = (VF)((VU)(t - v) & clear);
    const VI finite = (VI)(size_v <= largest) & (VI)(size_t_ <= largest);
    const VI near = (VI)(gap <= size_t_ * rel) | (VI)(gap <= size_v * rel) | (VI)(gap <= VF{} + abs);
    return ~((VI)(v == t) | (finite & near));
}
