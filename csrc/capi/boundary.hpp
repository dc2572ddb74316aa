// What every function of the C interface does at its edge: exceptions become codes, structs are read by their size.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "nssr/nssr.h"
#include "nssr/run.hpp"

namespace nssr::capi {

// Thrown by the interface itself.
struct Refusal {
    nssr_status code;
    std::string what;
};

[[noreturn]] inline void refuse(std::string what) { throw Refusal{NSSR_INVALID_ARGUMENT, std::move(what)}; }

// Turns the exception that is being handled into a code and this thread's message.
nssr_status caught() noexcept;

template <class F>
nssr_status guarded(const F& function) noexcept {
    try {
        function();
        return NSSR_OK;
    } catch (...) {
        return caught();
    }
}

inline void need(const void* pointer, const char* name) {
    if (pointer == nullptr) refuse(std::string(name) + " is null");
}

// A struct of the caller, who may have been compiled with an older or a newer header. What an older one lacks is 0; what
// a newer one has more must be 0, as it asks for something that this library does not know. `first` is the size of its
// first version.
template <class T>
T read_struct(const T* given, std::size_t first, const char* name) {
    need(given, name);
    const std::size_t size = given->struct_size;
    if (size < first || size > 4096)
        refuse(std::string(name) + ": struct_size is " + std::to_string(size) + "; set it to sizeof(" + name + "), which is " +
               std::to_string(sizeof(T)) + " here");
    T read{};
    std::memcpy(&read, given, size < sizeof(T) ? size : sizeof(T));
    const char* bytes = reinterpret_cast<const char*>(given);
    for (std::size_t i = sizeof(T); i < size; ++i)
        if (bytes[i] != 0) refuse(std::string(name) + " asks for something that only a newer version of the library can do");
    return read;
}

// The caller's options in the engine's words. The callback's context is this object: it must outlive the run.
class Run {
public:
    explicit Run(const nssr_run_options* given);
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    const RunOptions& options() const { return options_; }

private:
    nssr_run_options given_ = NSSR_RUN_OPTIONS_INIT;
    RunOptions options_;
};

Tolerance tolerance(double rel, double abs);
// The number of elements of `rows` rows each, where a count of them still has an address; refused otherwise.
void need_addresses(std::size_t count, std::size_t bytes_each, const char* name);
// "column 3" and the like for messages; checks what all arrays have to keep to.
void check_array(const nssr_array& array, const std::string& name, std::size_t n_rows);

// A forked child makes its own threads. Called wherever a handle is made.
void prepare_process();

}  // namespace nssr::capi
