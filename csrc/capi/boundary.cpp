#include "boundary.hpp"

#include <cstdio>
#include <mutex>
#include <new>
#include <stdexcept>

#include "nssr/batch.hpp"
#include "nssr/formula.hpp"
#include "nssr/kernels.hpp"
#include "pool.hpp"

namespace nssr::capi {
namespace {

// Plain memory, so that a failure for want of memory can be told, and nothing has to be torn down with the thread.
struct LastError {
    char text[1024];
    std::int64_t program, position;
};
thread_local LastError last_error = {"", -1, -1};

nssr_status remember(nssr_status code, const char* what, std::int64_t program = -1, std::int64_t position = -1) {
    std::snprintf(last_error.text, sizeof last_error.text, "%s", what);
    last_error.program = program;
    last_error.position = position;
    return code;
}

}  // namespace

nssr_status caught() noexcept {
    try {
        throw;
    } catch (const Refusal& refusal) {
        return remember(refusal.code, refusal.what.c_str());
    } catch (const FormulaError& error) {
        return remember(NSSR_INVALID_PROGRAM, error.what(), static_cast<std::int64_t>(error.program),
                        static_cast<std::int64_t>(error.position));
    } catch (const ProgramError& error) {
        return remember(NSSR_INVALID_PROGRAM, error.what(), error.program, error.instruction);
    } catch (const Interrupted&) {
        return remember(NSSR_CANCELLED, "the run was cancelled");
    } catch (const std::bad_alloc&) {
        return remember(NSSR_OUT_OF_MEMORY, "there is not enough memory");
    } catch (const std::length_error&) {
        return remember(NSSR_OUT_OF_MEMORY, "a size is larger than memory can be");
    } catch (const std::invalid_argument& error) {
        return remember(NSSR_INVALID_ARGUMENT, error.what());
    } catch (const std::exception& error) {
        return remember(NSSR_INTERNAL, error.what());
    } catch (...) {
        return remember(NSSR_INTERNAL, "an exception of unknown type");
    }
}

Run::Run(const nssr_run_options* given) {
    if (given != nullptr) given_ = read_struct(given, sizeof(nssr_run_options), "nssr_run_options");
    if (given_.reserved != 0) refuse("nssr_run_options: reserved must be 0");
    if (given_.n_threads > kMaxThreads)
        refuse("n_threads is " + std::to_string(given_.n_threads) + "; at most " + std::to_string(kMaxThreads) + " can be used");
    options_.n_threads = given_.n_threads ? given_.n_threads : 1;
    if (given_.cancel != nullptr) {
        options_.context = &given_;
        options_.interrupted = [](void* self) {
            const auto* caller = static_cast<const nssr_run_options*>(self);
            return caller->cancel(caller->context) != 0;
        };
    }
}

Tolerance tolerance(double rel, double abs) {
    if (!(rel >= 0) || !(abs >= 0)) refuse("tolerances must be 0 or more");
    return Tolerance{rel, abs};
}

void need_addresses(std::size_t count, std::size_t bytes_each, const char* name) {
    const std::size_t most = static_cast<std::size_t>(PTRDIFF_MAX);
    if (bytes_each != 0 && count > most / bytes_each)
        refuse(std::string(name) + ": " + std::to_string(count) + " times " + std::to_string(bytes_each) +
               " bytes is more than memory can hold");
}

void check_array(const nssr_array& array, const std::string& name, std::size_t n_rows) {
    if (array.reserved != 0) refuse(name + ": reserved must be 0");
    const std::size_t step = array.stride < 0 ? std::size_t{0} - static_cast<std::size_t>(array.stride)
                                              : static_cast<std::size_t>(array.stride);
    need_addresses(n_rows, step, name.c_str());
}

void prepare_process() {
    static std::once_flag once;
    std::call_once(once, install_fork_handler);
}

}  // namespace nssr::capi

using namespace nssr;
using namespace nssr::capi;

extern "C" {

int32_t nssr_abi_version(void) { return NSSR_ABI_VERSION; }
const char* nssr_version(void) { return NSSR_VERSION; }

const char* nssr_last_error(void) { return last_error.text; }
int64_t nssr_last_error_program(void) { return last_error.program; }
int64_t nssr_last_error_position(void) { return last_error.position; }

size_t nssr_target_count(void) {
    const Kernels* const* list;
    return usable_targets(&list);
}

const char* nssr_target_name(size_t i) {
    const Kernels* const* list;
    return i < usable_targets(&list) ? list[i]->name : nullptr;
}

const char* nssr_target_current(void) {
    const char* name = nullptr;
    guarded([&] { name = active_kernels().name; });
    return name;
}

nssr_status nssr_target_set(const char* name) {
    return guarded([&] {
        need(name, "name");
        set_target(name);
    });
}

}  // extern "C"
