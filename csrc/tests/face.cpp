// nssr.hpp: exceptions, cancelling, threads, move and clean-up.
#include <nssr/nssr.hpp>

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

int failures = 0;

void expect(bool holds, const char* what) {
    if (holds) return;
    ++failures;
    std::printf("FAILED: %s\n", what);
}

template <class F>
std::string error_of(const F& function, nssr_status code) {
    try {
        function();
    } catch (const nssr::Error& error) {
        expect(error.code() == code, error.what());
        return error.what();
    }
    return "";
}

// A run of seconds, if nobody ends it.
void cancelling() {
    std::vector<double> x(50000, 0.5);
    const nssr::Columns data(x.size(), {nssr::view(x)}, nssr::view(x));
    nssr::Formulas formulas;
    for (int i = 0; i < 20000; ++i) {
        formulas.variable(0);
        for (int j = 0; j < 10; ++j) formulas.number(i).op(NSSR_TOKEN_ADD).op(NSSR_TOKEN_SIN);
        formulas.end();
    }
    for (const unsigned threads : {1u, 3u}) {
        int asked = 0;
        const auto stop = [&] { return ++asked == 2; };
        expect(!error_of([&] { nssr::score(formulas, data, &nssr_scores::mse, {threads, stop}); }, NSSR_CANCELLED).empty(), "cancelled");
        expect(asked == 2, "asked twice");
        struct Own {};
        bool caught = false;
        try {
            nssr::validate(formulas, data, 1e6, 1e6, {threads, []() -> bool { throw Own(); }});
        } catch (const Own&) {
            caught = true;
        }
        expect(caught, "the callback's own exception comes out");
    }
}

void formulas() {
    const std::vector<double> x{1, 2, 3, 4}, y{3, 6, 9, 12};
    const std::vector<float> w{1, 0, 1, 1};
    nssr::Columns data(4, {nssr::view(x), nssr::view(x.data() + 3, -1)}, nssr::view(y), nssr::view(w));
    const nssr::Columns moved = std::move(data);
    expect(data.get() == nullptr && moved.rows() == 4 && moved.count() == 2, "moved");
    nssr::Formulas f;
    expect(f.variable(0).number(3).op(NSSR_TOKEN_MUL).end() == 0, "the first program");
    expect(f.variable(1).end() == 1 && f.size() == 2, "the second");
    nssr::check(f, 2);
    const auto values = nssr::predict(f, moved);
    expect(values == std::vector<double>({3, 6, 9, 12, 4, 3, 2, 1}), "predictions");
    expect(nssr::score(f, moved, &nssr_scores::sse)[0] == 0 && nssr::score(f, moved, &nssr_scores::sse)[1] == 1 + 49 + 121, "weighted errors");
    expect(nssr::validate(f, moved) == std::vector<std::uint8_t>({1, 0}), "verdicts");
    expect(!error_of([&] { nssr::predict<float>(f, moved); }, NSSR_INVALID_ARGUMENT).empty(), "another precision");
    const nssr::Columns narrow(4, {nssr::view(x)}, {}, {}, NSSR_F32);
    try {
        nssr::predict<float>(f, narrow);
        expect(false, "a column that is not there");
    } catch (const nssr::Error& error) {
        expect(error.program() == 1 && error.position() == 0 && std::strstr(error.what(), "column 1"), error.what());
    }
    f.clear();
    expect(!error_of([&] { nssr::predict(f, moved); }, NSSR_INVALID_ARGUMENT).empty(), "no programs");
}

void programs() {
    const std::vector<std::int64_t> x{1, 2, 3};
    const std::vector<double> y{2, 4, 6};
    const nssr::Dataset data(3, {nssr::view(x)}, nssr::view(y));
    const nssr::Programs batch({{NSSR_OP_ADD_I64, 1, 0, 0, 0, 0, 0, 0, 0, 0}}, {{0, 1, 1, 1, 0, 0, 0}}, data.lanes());
    expect(batch.size() == 1 && batch.result_lane(0) == 'i' && data.rows() == 3, "what they say of themselves");
    expect(batch.validate(data) == std::vector<std::uint8_t>{NSSR_PASS}, "verdicts");
    expect(batch.evaluate(data).values == std::vector<std::int64_t>({2, 4, 6}), "values");
    expect(batch.predict(data).values == y, "predictions");
    expect(!error_of([] { nssr::Programs({{NSSR_OP_ADD_I64, 1, 9, 0, 0, 0, 0, 0, 0, 0}}, {{0, 1, 1, 1, 0, 0, 0}}, "i"); }, NSSR_INVALID_PROGRAM).empty(), "unsound");
}

void messages_belong_to_threads() {
    nssr_target_set("nothing of this name");
    std::thread([] {
        expect(nssr_last_error()[0] == '\0', "another thread has its own");
        nssr_postfix_check(nullptr, 1);
        expect(std::strstr(nssr_last_error(), "null") != nullptr, "and its own words");
    }).join();
    expect(std::strstr(nssr_last_error(), "nothing of this name") != nullptr, "which leave ours alone");
}

}  // namespace

int main() {
    formulas();
    programs();
    cancelling();
    messages_belong_to_threads();
    expect(!nssr::targets().empty() && nssr::target() == nssr::targets()[0], "targets");
    std::puts(failures ? "failed" : "all as expected");
    return failures != 0;
}
