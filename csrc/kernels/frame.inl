// Where an instruction's registers are. Included inside each kernel file's namespace (see vectors.inl).

NSSR_INLINE char* at(const Frame& f, unsigned reg) {
    const bool temp = reg >= f.n_columns;
    const std::uintptr_t base = temp ? f.temp_base : f.column_base;
    const std::size_t stride = temp ? f.temp_stride : f.column_stride;
    return reinterpret_cast<char*>(base + reg * stride);
}
