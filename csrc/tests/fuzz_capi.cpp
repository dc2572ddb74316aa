// A libFuzzer target over the C interface (`make fuzz`): bytes become columns, formulas and bytecode, sound and unsound.
//
// Beyond "it does not crash" it holds the engine to its word: what nssr_postfix_check accepts runs, and what it refuses is
// refused everywhere with the same place; a program gives the same bits alone and in a batch, on one thread and on three;
// arithmetic equals a plain stack machine; verdicts and scores follow from the predictions.
//
// With NSSR_SEEDS=<folder> it writes a few sound inputs there and ends.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "nssr/nssr.h"

namespace {

[[noreturn]] void broken(const char* what) {
    std::fprintf(stderr, "fuzz_capi: %s (last error: %s)\n", what, nssr_last_error());
    std::abort();
}
void expect(bool holds, const char* what) {
    if (!holds) broken(what);
}

// Zeros after the end, so that a short input is a sound one.
struct Bytes {
    const std::uint8_t *at, *end;
    std::size_t left() const { return static_cast<std::size_t>(end - at); }
    unsigned byte() { return at < end ? *at++ : 0; }
    unsigned below(unsigned n) { return byte() % n; }
    bool flag() { return byte() & 1; }
    template <class T>
    T raw() {
        T value{};
        for (std::size_t i = 0; i < sizeof value; ++i) reinterpret_cast<std::uint8_t*>(&value)[i] = static_cast<std::uint8_t>(byte());
        return value;
    }
    double number() {
        static const double special[] = {0, -0.0, 1, -1, 0.5, 2, 3, 1e-3, 1e300, -1e300, 5e-324, 1e-310, 0.1, 700, INFINITY, NAN};
        const unsigned which = byte();
        if (which < 128) return special[which % 16];
        return which < 250 ? (static_cast<int>(which) - 190) / 7.0 : raw<double>();
    }
};

bool same(double a, double b) { return (a != a && b != b) || std::memcmp(&a, &b, sizeof a) == 0; }

struct Patience {  // lets a run look a few times, then ends it
    int left;
};
int out_of_patience(void* context) { return --static_cast<Patience*>(context)->left < 0; }

nssr_run_options options(unsigned threads, Patience* patience) {
    nssr_run_options made = NSSR_RUN_OPTIONS_INIT;
    made.n_threads = threads;
    if (patience != nullptr) {
        made.cancel = out_of_patience;
        made.context = patience;
    }
    return made;
}

void choose_target(Bytes& in) {
    expect(nssr_target_set(nssr_target_name(in.byte() % nssr_target_count())) == NSSR_OK, "a listed target is not usable");
}

// ---- formulas ---------------------------------------------------------------------------------------------------------

struct Formulas {
    std::vector<std::int32_t> tokens, operands;
    std::vector<double> constants;
    std::vector<std::int64_t> offsets{0};

    nssr_postfix view() const {
        nssr_postfix given = NSSR_POSTFIX_INIT;
        given.tokens = tokens.data();
        given.operands = operands.data();
        given.n_tokens = tokens.size();
        given.constants = constants.data();
        given.n_constants = constants.size();
        given.offsets = offsets.data();
        given.n_programs = offsets.size() - 1;
        return given;
    }
};

constexpr unsigned kCloseProgram = 96, kUnsound = 250;

Formulas read_formulas(Bytes& in, unsigned n_columns, bool sound) {
    Formulas f;
    for (unsigned i = in.below(4) + 1; i-- > 0;) f.constants.push_back(in.number());
    const auto add = [&](std::int32_t token, std::int32_t operand) {
        f.tokens.push_back(token);
        f.operands.push_back(operand);
    };
    int depth = 0;
    const auto leaf = [&](unsigned which) {
        if (which % 4 == 3) add(NSSR_TOKEN_FLOAT, static_cast<std::int32_t>(which / 4 % f.constants.size()));
        else if (which % 32 == 1) add(NSSR_TOKEN_INT, static_cast<std::int32_t>(which) - 100);
        else add(NSSR_TOKEN_VARIABLE, static_cast<std::int32_t>(which % n_columns));
        ++depth;
    };
    const auto close = [&] {
        if (sound) {
            if (depth == 0) leaf(0);
            for (; depth > 1; --depth) add(depth % 2 ? NSSR_TOKEN_ADD : NSSR_TOKEN_MUL, 0);
        }
        f.offsets.push_back(static_cast<std::int64_t>(f.tokens.size()));
        depth = 0;
    };
    while (in.left() > 0 && f.tokens.size() < 20000) {
        const unsigned what = in.byte();
        if (what >= kUnsound && !sound) {
            add(in.raw<std::int32_t>(), in.raw<std::int32_t>());
        } else if (what == kCloseProgram) {
            close();
        } else if (what < 64) {
            const std::int32_t arity = nssr_token_arity(static_cast<std::int32_t>(what));
            if (sound && (arity < 0 || what <= NSSR_TOKEN_NOT)) continue;
            if (sound)
                while (depth < arity) leaf(in.byte());
            add(static_cast<std::int32_t>(what), 0);
            depth += 1 - std::max(arity, 0);
        } else if (!sound || depth < 500) {
            leaf(what);
        }
    }
    close();
    if (!sound && in.flag()) f.offsets[f.offsets.size() / 2] = in.raw<std::int64_t>() % 50;
    return f;
}

struct Table {
    std::size_t n_rows;
    std::vector<std::vector<double>> columns;  // the target is the last one
    std::vector<double> weights;
    nssr_columns* handle = nullptr;
    ~Table() { nssr_columns_destroy(handle); }
};

void read_table(Bytes& in, Table& table, bool single) {
    static const std::size_t rows[] = {1, 2, 7, 8, 9, 16, 31, 63, 64, 65, 128, 200, 257, 511, 513, 1025};
    table.n_rows = rows[in.below(16)];
    const unsigned n_columns = in.below(5) + 1, style = in.byte();
    std::vector<double> values;
    for (unsigned i = in.below(12) + 1; i-- > 0;) values.push_back(in.number());
    for (unsigned c = 0; c <= n_columns; ++c) {
        table.columns.emplace_back();
        for (std::size_t r = 0; r < table.n_rows; ++r) {
            const double x = values[(r * (c + 1) + c) % values.size()] + (style & 1 ? static_cast<double>(r) * 0.25 : 0);
            table.columns[c].push_back(single ? static_cast<double>(static_cast<float>(x)) : x);
        }
    }
    std::vector<nssr_array> arrays;
    for (const auto& column : table.columns) arrays.push_back({column.data(), sizeof(double), NSSR_F64, 0});
    if (style & 2) {  // backwards in memory
        std::reverse(table.columns[0].begin(), table.columns[0].end());
        arrays[0].data = &table.columns[0].back();
        arrays[0].stride = -static_cast<std::ptrdiff_t>(sizeof(double));
    }
    nssr_columns_spec spec = NSSR_COLUMNS_SPEC_INIT;
    spec.n_rows = table.n_rows;
    spec.n_columns = n_columns;
    spec.columns = arrays.data();
    spec.target = arrays.back();
    spec.precision = single ? NSSR_F32 : NSSR_F64;
    if (style & 4) {
        for (std::size_t r = 0; r < table.n_rows; ++r) table.weights.push_back(static_cast<double>((r * 7 + style) % 3));
        table.weights[0] = 1;
        spec.weight = {table.weights.data(), sizeof(double), NSSR_F64, 0};
    }
    expect(nssr_columns_create(&spec, &table.handle) == NSSR_OK, "sound columns are refused");
    if (style & 2) std::reverse(table.columns[0].begin(), table.columns[0].end());
}

// One program on one row; false where it uses functions whose last bits are the engine's own.
template <class T>
bool plain(const Formulas& f, std::size_t program, const Table& table, std::size_t row, T& result) {
    std::vector<T> s;
    for (auto t = static_cast<std::size_t>(f.offsets[program]); t < static_cast<std::size_t>(f.offsets[program + 1]); ++t) {
        const auto operand = static_cast<std::size_t>(f.operands[t]);
        const auto pop = [&] {
            const T value = s.back();
            s.pop_back();
            return value;
        };
        switch (f.tokens[t]) {
            case NSSR_TOKEN_VARIABLE: s.push_back(static_cast<T>(table.columns[operand][row])); continue;
            case NSSR_TOKEN_FLOAT: s.push_back(static_cast<T>(f.constants[operand])); continue;
            case NSSR_TOKEN_INT: s.push_back(static_cast<T>(f.operands[t])); continue;
            case NSSR_TOKEN_PI: s.push_back(static_cast<T>(3.141592653589793)); continue;
            default: break;
        }
        const std::int32_t arity = nssr_token_arity(f.tokens[t]);
        const T c = arity > 2 ? pop() : T(0), b = arity > 1 ? pop() : T(0), a = pop();
        switch (f.tokens[t]) {
            case NSSR_TOKEN_ADD: s.push_back(a + b); break;
            case NSSR_TOKEN_SUB: s.push_back(a - b); break;
            case NSSR_TOKEN_MUL: s.push_back(a * b); break;
            case NSSR_TOKEN_DIV: s.push_back(b == 0 ? T(0) : a / b); break;
            case NSSR_TOKEN_FDIV: s.push_back(a / b); break;
            case NSSR_TOKEN_INC: s.push_back(a + 1); break;
            case NSSR_TOKEN_DEC: s.push_back(a - 1); break;
            case NSSR_TOKEN_LT: s.push_back(a < b); break;
            case NSSR_TOKEN_LTE: s.push_back(a <= b); break;
            case NSSR_TOKEN_GT: s.push_back(a > b); break;
            case NSSR_TOKEN_GTE: s.push_back(a >= b); break;
            case NSSR_TOKEN_EQ: s.push_back(a == b); break;
            case NSSR_TOKEN_NEQ: s.push_back(a != b); break;
            case NSSR_TOKEN_COND: s.push_back(a != 0 ? b : c); break;
            case NSSR_TOKEN_CONST: s.push_back(a); break;
            case NSSR_TOKEN_NULL: s.push_back(0); break;
            case NSSR_TOKEN_NEG: s.push_back(-a); break;
            case NSSR_TOKEN_ABS: s.push_back(std::fabs(a)); break;
            case NSSR_TOKEN_SQUARE: s.push_back(a * a); break;
            case NSSR_TOKEN_CUBE: s.push_back(a * a * a); break;
            case NSSR_TOKEN_INV: s.push_back(a == 0 ? T(0) : T(1) / a); break;
            case NSSR_TOKEN_SQRT: s.push_back(std::sqrt(a)); break;
            case NSSR_TOKEN_MIN: s.push_back(b < a ? b : a); break;
            case NSSR_TOKEN_MAX: s.push_back(b > a ? b : a); break;
            default: return false;
        }
    }
    result = s.back();
    return true;
}

// What a person needs to see of a failure.
void show(const Formulas& f, std::size_t program, const Table& table, std::size_t row, double got, double wanted) {
    std::fprintf(stderr, "%s, row %zu of %zu: %.17g instead of %.17g; program %zu:", nssr_target_current(), row, table.n_rows, got, wanted, program);
    for (auto t = static_cast<std::size_t>(f.offsets[program]); t < static_cast<std::size_t>(f.offsets[program + 1]); ++t) {
        const std::int32_t token = f.tokens[t], operand = f.operands[t];
        if (token == NSSR_TOKEN_VARIABLE) std::fprintf(stderr, " x%d(%.9g)", operand, table.columns[static_cast<std::size_t>(operand)][row]);
        else if (token == NSSR_TOKEN_FLOAT) std::fprintf(stderr, " %.17g", f.constants[static_cast<std::size_t>(operand)]);
        else if (token == NSSR_TOKEN_INT) std::fprintf(stderr, " %d", operand);
        else std::fprintf(stderr, " [%d]", token);
    }
    std::fputs("\n", stderr);
}

template <class T>
std::vector<T> predictions(const nssr_postfix& given, const Table& table, const nssr_run_options* run, nssr_status& status) {
    // An odd gap between programs; what lies in it must stay untouched.
    const std::size_t gap = 3, width = table.n_rows + gap;
    const T mark = static_cast<T>(-12345);
    std::vector<T> out(given.n_programs * width, mark);
    status = nssr_postfix_predict(&given, table.handle, out.data(), static_cast<std::ptrdiff_t>(width * sizeof(T)), run);
    std::vector<T> values;
    for (std::size_t i = 0; i < given.n_programs; ++i) {
        const T* row = out.data() + i * width;
        values.insert(values.end(), row, row + table.n_rows);
        for (std::size_t r = table.n_rows; r < width; ++r) expect(row[r] == mark, "predict writes between the programs");
    }
    return values;
}

bool is_close(double a, double b, double rel, double abs) {
    if (a == b) return true;
    if (!std::isfinite(a) || !std::isfinite(b)) return false;
    const double gap = std::fabs(b - a);
    return gap <= std::fabs(rel * b) || gap <= std::fabs(rel * a) || gap <= abs;
}

template <class T>
void fuzz_formulas(Bytes& in) {
    Table table;
    read_table(in, table, sizeof(T) == 4);
    const bool sound = !(in.byte() % 4 == 3);
    choose_target(in);
    const Formulas f = read_formulas(in, static_cast<unsigned>(table.columns.size() - 1), sound);
    const nssr_postfix given = f.view();

    const nssr_status checked = nssr_postfix_check(&given, table.columns.size() - 1);
    const std::int64_t program = nssr_last_error_program(), position = nssr_last_error_position();
    expect(checked == NSSR_OK || (checked == NSSR_INVALID_PROGRAM && !sound), "check gives another code");
    nssr_status one, many;
    const nssr_run_options threads = options(3, nullptr);
    const std::vector<T> values = predictions<T>(given, table, nullptr, one), again = predictions<T>(given, table, &threads, many);
    expect(one == checked && many == checked, "predict and check disagree");

    const std::size_t n = given.n_programs, rows = table.n_rows;
    std::vector<double> scores(6 * n);
    nssr_scores wanted = NSSR_SCORES_INIT;
    double** places[] = {&wanted.sse, &wanted.mse, &wanted.mae, &wanted.r2, &wanted.correlation, &wanted.affine_r2};
    for (std::size_t i = 0; i < 6; ++i) *places[i] = &scores[i * n];
    expect(nssr_postfix_score(&given, table.handle, &wanted, &threads) == checked, "score and check disagree");
    std::vector<std::uint8_t> passes(n);
    expect(nssr_postfix_validate(&given, table.handle, 1e-6, 1e-9, passes.data(), nullptr) == checked, "validate and check disagree");
    if (checked != NSSR_OK) {
        expect(nssr_last_error_program() == program && nssr_last_error_position() == position, "the place of an error differs");
        expect(program >= 0 && static_cast<std::size_t>(program) < n && position >= 0, "an error without a place");
        return;
    }
    std::vector<double> alone(n);
    nssr_scores less = NSSR_SCORES_INIT;
    less.mse = alone.data();
    expect(nssr_postfix_score(&given, table.handle, &less, nullptr) == NSSR_OK, "a score alone fails");

    for (std::size_t i = 0; i < n; ++i) {
        nssr_postfix single = given;
        single.offsets = &f.offsets[i];
        single.n_programs = 1;
        const std::vector<T> own = predictions<T>(single, table, nullptr, one);
        bool finite = true, close = true;
        double sse = 0, weight = 0;
        for (std::size_t r = 0; r < rows; ++r) {
            const T value = values[i * rows + r], y = static_cast<T>(table.columns.back()[r]);
            expect(same(value, again[i * rows + r]), "threads change a prediction");
            expect(same(value, own[r]), "a program's neighbours change its prediction");
            T reference;
            if (plain<T>(f, i, table, r, reference) && !same(value, reference)) {
                show(f, i, table, r, static_cast<double>(value), static_cast<double>(reference));
                broken("a prediction is wrong");
            }
            const double w = table.weights.empty() ? 1 : table.weights[r];
            const T gap = value - y;
            if (w != 0) {
                finite = finite && std::isfinite(static_cast<double>(gap * gap));
                sse += w * static_cast<double>(gap * gap);
            }
            weight += w;
            close = close && is_close(static_cast<double>(value), static_cast<double>(y), 1e-6, 1e-9);
        }
        if (sizeof(T) == 8) expect(passes[i] == close, "a verdict does not follow from the predictions");
        // A prediction whose square overflows makes all scores of a call infinite, if one of them needs that square.
        expect(same(alone[i], scores[n + i]) || std::isinf(scores[n + i]), "other scores change the mse");
        if (sizeof(T) == 8 && finite && std::isfinite(sse) && std::isfinite(scores[i]))
            expect(std::fabs(scores[i] - sse) <= 1e-9 * sse + 1e-300, "the sse does not follow from the predictions");
        expect(!(scores[i] < 0) && scores[i] == scores[i], "an sse is negative or NaN");
        expect(std::isinf(scores[i]) || same(scores[n + i], scores[i] / weight), "mse is not sse per weight");
    }
}

// ---- bytecode -----------------------------------------------------------------------------------------------------------

void fuzz_programs(Bytes& in) {
    static const std::size_t sizes[] = {1, 3, 8, 63, 64, 65, 130, 200};
    const std::size_t n_rows = sizes[in.below(8)];
    const unsigned n_columns = in.below(4), lanes_bits = in.byte(), extra = in.byte();
    choose_target(in);
    std::string lanes;
    std::vector<std::vector<std::int64_t>> memory;
    std::vector<std::uint8_t> doubtful(n_rows);
    std::vector<nssr_array> columns, unsure;
    for (unsigned c = 0; c < n_columns; ++c) {
        lanes += lanes_bits >> c & 1 ? 'f' : 'i';
        memory.emplace_back();
        const double scale = in.number();
        for (std::size_t r = 0; r < n_rows; ++r) {
            const double x = scale * (static_cast<double>((r * (c + 3)) % 17) - 3);
            std::int64_t bits = std::fabs(x) < 9e18 ? static_cast<std::int64_t>(x) : std::numeric_limits<std::int64_t>::max();
            if (lanes[c] == 'f') std::memcpy(&bits, &x, sizeof x);
            memory[c].push_back(bits);
        }
    }
    for (std::size_t r = 0; r < n_rows; ++r) doubtful[r] = extra & 2 && r % 5 == 1;
    for (unsigned c = 0; c < n_columns; ++c) {
        columns.push_back({memory[c].data(), 8, lanes[c] == 'f' ? NSSR_F64 : NSSR_I64, 0});
        unsure.push_back({lanes[c] == 'i' ? doubtful.data() : nullptr, 1, NSSR_BOOL, 0});
    }
    std::vector<double> target(n_rows, in.number());
    nssr_dataset_spec spec = NSSR_DATASET_SPEC_INIT;
    spec.n_rows = n_rows;
    spec.n_columns = n_columns;
    spec.columns = columns.data();
    spec.unsure = unsure.data();
    spec.target = {target.data(), 8, NSSR_F64, 0};
    nssr_dataset* data = nullptr;
    expect(nssr_dataset_create(&spec, &data) == NSSR_OK, "a sound data set is refused");

    std::vector<nssr_instruction> code;
    std::vector<nssr_program> programs;
    const bool guided = in.byte() % 4 != 3;
    nssr_program program{};
    const auto close = [&](unsigned flags) {
        program.length = static_cast<std::uint32_t>(code.size()) - program.start;
        if (guided) program.n_temps = program.length + 1;
        else program.n_temps = in.byte();
        program.result = static_cast<std::uint16_t>(n_columns + (program.length ? program.length - 1 : 0));
        program.flags = static_cast<std::uint16_t>(flags & 0x37);
        if (!guided) {
            program.result = in.raw<std::uint16_t>();
            program.start = in.byte() % 8 ? program.start : in.raw<std::uint32_t>();
            program.length = in.byte() % 8 ? program.length : in.raw<std::uint32_t>();
        }
        program.k = in.number();
        program.k2 = in.number();
        programs.push_back(program);
        program = {};
        program.start = static_cast<std::uint32_t>(code.size());
    };
    while (in.left() > 0 && code.size() < 200) {
        const unsigned op = in.byte();
        if (op == 255) {
            close(in.byte());
            continue;
        }
        nssr_instruction ins{};
        ins.op = static_cast<std::uint16_t>(op);
        ins.dst = static_cast<std::uint16_t>(n_columns + code.size() - program.start);
        ins.a = static_cast<std::uint16_t>(in.byte());
        ins.b = static_cast<std::uint16_t>(in.byte());
        ins.c = static_cast<std::uint16_t>(in.byte());
        if (guided) {  // registers that exist
            for (std::uint16_t* reg : {&ins.a, &ins.b, &ins.c}) *reg = static_cast<std::uint16_t>(*reg % (ins.dst ? ins.dst : 1));
        }
        if (op >= NSSR_OP_LOADK_I64 || !guided) {
            ins.d = static_cast<std::uint16_t>(in.byte());
            ins.e = static_cast<std::uint16_t>(in.byte());
            ins.f = static_cast<std::uint16_t>(in.byte());
            ins.n1 = in.byte();
            ins.n2 = in.byte() % 8;
            if (op <= NSSR_OP_LOADK_F64) ins.n2 = in.byte() % 4 ? 0 : in.raw<std::uint32_t>();
            if (!guided && in.byte() == 255) ins = in.raw<nssr_instruction>();
        }
        code.push_back(ins);
    }
    close(in.byte());

    nssr_programs* batch = nullptr;
    const nssr_status made = nssr_programs_create(code.data(), code.size(), programs.data(), programs.size(), lanes.c_str(), &batch);
    expect(made == NSSR_OK || made == NSSR_INVALID_PROGRAM, "bytecode is refused with another code");
    if (made == NSSR_OK) {
        const std::size_t n = programs.size() * n_rows;
        const auto run = [&](unsigned threads, std::vector<std::int64_t>& values, std::vector<std::uint8_t>& status) {
            Patience patience{4};
            const nssr_run_options how = options(threads, &patience);
            values.assign(n, 0);
            status.assign(n, 0);
            return nssr_programs_evaluate(batch, data, values.data(), status.data(), &how);
        };
        std::vector<std::int64_t> values, again;
        std::vector<std::uint8_t> status, status_again, verdicts(programs.size()), worst(programs.size());
        std::vector<double> predicted(n);
        const nssr_status one = run(1, values, status), many = run(3, again, status_again);
        expect((one == NSSR_OK || one == NSSR_CANCELLED) && (many == NSSR_OK || many == NSSR_CANCELLED), "a verified program fails");
        if (one == NSSR_OK && many == NSSR_OK) expect(values == again && status == status_again, "threads change an evaluation");
        Patience patience{4};
        const nssr_run_options how = options(1, &patience);
        const nssr_status seen = nssr_programs_predict(batch, data, predicted.data(), worst.data(), &how);
        for (std::size_t i = 0; one == NSSR_OK && seen == NSSR_OK && i < n; ++i) {
            if (status[i] != NSSR_FINE) {
                expect(predicted[i] != predicted[i], "predict gives a value to a row that has none");
                continue;
            }
            double value;
            std::memcpy(&value, &values[i], sizeof value);
            if (nssr_programs_result_lane(batch, i / n_rows) == 'i') value = static_cast<double>(values[i]);
            expect(same(value, predicted[i]), "predict and evaluate disagree");
        }
        patience.left = 4;
        const nssr_status judged = nssr_programs_validate(batch, data, 1e-6, 1e-9, verdicts.data(), &how);
        expect(judged == NSSR_OK || judged == NSSR_CANCELLED, "validate fails");
    }
    nssr_programs_destroy(batch);
    nssr_dataset_destroy(data);
}

// ---- sizes and options that are wrong ------------------------------------------------------------------------------------

void fuzz_arguments(Bytes& in) {
    const double x[4] = {1, 2, 3, 4};
    nssr_array array{x, sizeof(double), static_cast<std::int32_t>(in.below(5)), 0};
    nssr_columns_spec spec = NSSR_COLUMNS_SPEC_INIT;
    spec.n_rows = in.below(5);
    spec.n_columns = in.below(2);
    spec.columns = in.flag() ? &array : nullptr;
    spec.target = array;
    if (in.flag()) spec.struct_size = in.raw<std::uint32_t>() % (sizeof spec + 1);
    if (in.byte() % 4 == 3) spec.n_rows = in.raw<std::size_t>() | std::size_t{1} << 31;
    if (in.byte() % 4 == 3) spec.n_columns = in.raw<std::size_t>() | std::size_t{1} << 32;
    spec.precision = static_cast<std::int32_t>(in.below(4));
    nssr_columns* columns = nullptr;
    const nssr_status made = nssr_columns_create(&spec, &columns);
    expect((made == NSSR_OK) == (columns != nullptr), "a handle without success");

    Formulas f;
    f.tokens = {NSSR_TOKEN_VARIABLE};
    f.operands = {0};
    f.offsets.push_back(in.raw<std::int64_t>());
    nssr_postfix given = f.view();
    if (in.flag()) given.n_programs = 0;
    if (in.byte() % 4 == 3) given.n_programs = std::size_t{1} << 60;
    if (in.byte() % 4 == 3) given.tokens = nullptr;
    if (in.byte() % 4 == 3) given.offsets = nullptr;
    if (in.byte() % 4 == 3) given.struct_size = in.byte() % (sizeof given + 1);
    double out[8];
    nssr_run_options how = options(in.byte() * in.byte(), nullptr);
    if (given.n_programs <= 1) {
        const nssr_status status = nssr_postfix_predict(&given, columns, in.flag() ? out : nullptr, in.raw<std::int16_t>(), &how);
        if (status != NSSR_OK) expect(nssr_last_error()[0] != 0, "an error without a message");
    }
    nssr_postfix_check(given.n_programs > 1 ? nullptr : &given, in.raw<std::size_t>());
    nssr_columns_destroy(columns);
}

void write_seeds(const std::string& folder) {
    const auto write = [&](const std::string& name, const std::vector<int>& bytes) {
        std::ofstream file(folder + "/" + name, std::ios::binary);
        for (const int b : bytes) file.put(static_cast<char>(b));
    };
    // kind; rows, columns, style, values; soundness, target, constants; then operations and leaves
    for (int kind = 0; kind < 2; ++kind) {
        const std::string name = kind ? "f32" : "f64";
        write(name + "-polynomial", {kind, 9, 1, 1, 2, 4, 5, 140, 0, 0, 1, 12, 200, NSSR_TOKEN_SQUARE, 100, NSSR_TOKEN_MUL, 104, NSSR_TOKEN_ADD});
        write(name + "-functions", {kind, 14, 2, 5, 2, 4, 5, 140, 0, 1, 1, 12, 200, 100, NSSR_TOKEN_SIN, 101, NSSR_TOKEN_EXP, NSSR_TOKEN_ADD,
                                    kCloseProgram, 101, NSSR_TOKEN_LOG, 102, NSSR_TOKEN_POW, NSSR_TOKEN_TANH});
        write(name + "-choice", {kind, 12, 2, 7, 2, 4, 5, 140, 0, 2, 0, 12, 100, NSSR_TOKEN_ABS, 103, NSSR_TOKEN_GT, 100, 101, NSSR_TOKEN_FDIV, 103, NSSR_TOKEN_COND});
        write(name + "-unsound", {kind, 3, 2, 0, 2, 4, 5, 140, 3, 0, 0, 12, NSSR_TOKEN_ADD, 100, 250, 255, 255, 255, 127, 0, 0, 0, 0});
    }
    write("bytecode-sum", {2, 4, 2, 0, 0, 0, 5, 5, 2, 0, NSSR_OP_ADD_I64, 0, 1, 0, NSSR_OP_MUL_I64, 2, 0, 0, 0});
    write("bytecode-float", {2, 4, 2, 3, 0, 1, 140, 5, 2, 0, NSSR_OP_SIN_F64, 0, 0, 0, NSSR_OP_FDIV_F64, 2, 1, 0, 1});
    write("bytecode-loop", {2, 2, 1, 0, 2, 0, 5, 2, 0, NSSR_OP_LOOP_I64, 0, 0, 0, 0, 2, 0, 0, 1, NSSR_OP_INC_I64, 1, 0, 0, 0});
    write("arguments", {3, 0, 4, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0});
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    if (const char* folder = std::getenv("NSSR_SEEDS")) {
        write_seeds(folder);
        std::exit(0);
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Bytes in{data, data + size};
    switch (in.below(4)) {
        case 0: fuzz_formulas<double>(in); break;
        case 1: fuzz_formulas<float>(in); break;
        case 2: fuzz_programs(in); break;
        default: fuzz_arguments(in); break;
    }
    return 0;
}
