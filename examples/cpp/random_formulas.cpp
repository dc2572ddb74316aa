// Scores random formulas against a table and prints the best: the bare bones of a search, with NSSR as its evaluator.
//
//     random_formulas [table.csv [number of formulas [threads]]]
//
// The last column is the target. Without a table, the target is 0.5 * m * v^2. A formula is scored up to a scale and an
// offset (affine_r2), so constants need not be guessed.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include <nssr/nssr.hpp>

#include "table.hpp"

namespace {

struct Operation {
    const char* text;  // % stands for an operand
    std::int32_t token;
};
const Operation kOperations[] = {
    {"(% + %)", NSSR_TOKEN_ADD}, {"(% - %)", NSSR_TOKEN_SUB}, {"(% * %)", NSSR_TOKEN_MUL}, {"(% / %)", NSSR_TOKEN_FDIV},
    {"sqrt(%)", NSSR_TOKEN_SQRT}, {"%^2", NSSR_TOKEN_SQUARE}, {"sin(%)", NSSR_TOKEN_SIN},  {"log(%)", NSSR_TOKEN_LOG},
};

Table falling_bodies() {
    Table table{{"m", "v", "h", "energy"}, std::vector<std::vector<double>>(4)};
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> value(1, 5);
    for (int row = 0; row < 200; ++row) {
        const double m = value(random), v = value(random), h = value(random);
        const double cells[] = {m, v, h, 0.5 * m * v * v};
        for (int c = 0; c < 4; ++c) table.columns[c].push_back(cells[c]);
    }
    return table;
}

// Appends a random tree of up to `depth` operations on top of each other; returns it as text.
std::string grow(nssr::Formulas& formulas, const Table& table, int depth, std::mt19937_64& random) {
    const std::size_t n_inputs = table.columns.size() - 1;
    if (depth == 0 || random() % 4 == 0) {
        const std::size_t column = random() % n_inputs;
        formulas.variable(column);
        return table.names[column];
    }
    const Operation& operation = kOperations[random() % std::size(kOperations)];
    std::string text;
    for (const char* c = operation.text; *c; ++c) {
        if (*c == '%') text += grow(formulas, table, depth - 1, random);
        else text += *c;
    }
    formulas.op(operation.token);
    return text;
}

int run(int argc, char** argv) {
    const Table table = argc > 1 ? read_csv(argv[1]) : falling_bodies();
    const std::size_t n = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 100000;
    const nssr::Options options{argc > 3 ? static_cast<unsigned>(std::atoi(argv[3])) : 1, nullptr};
    if (table.columns.size() < 2) throw std::runtime_error("the table needs an input and a target");

    std::vector<nssr_array> inputs;
    for (std::size_t c = 0; c + 1 < table.columns.size(); ++c) inputs.push_back(nssr::view(table.columns[c]));
    const nssr::Columns data(table.rows(), inputs, nssr::view(table.columns.back()));

    std::mt19937_64 random(7);
    nssr::Formulas formulas;
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < n; ++i) {
        texts.push_back(grow(formulas, table, 3, random));
        formulas.end();
    }

    const auto start = std::chrono::steady_clock::now();
    const std::vector<double> r2 = nssr::score(formulas, data, &nssr_scores::affine_r2, options);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;

    std::vector<std::size_t> order(n);
    for (std::size_t i = 0; i < n; ++i) order[i] = i;
    // NaN never comes first, equal scores go to the shorter formula.
    const auto better = [&](std::size_t a, std::size_t b) {
        const double x = r2[a] == r2[a] ? r2[a] : -1, y = r2[b] == r2[b] ? r2[b] : -1;
        return x != y ? x > y : texts[a].size() < texts[b].size();
    };
    const std::size_t shown = std::min<std::size_t>(n, 5);
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(shown), order.end(), better);
    std::printf("%zu formulas x %zu rows in %.3f s (%s)\n", n, table.rows(), spent.count(), nssr::target().c_str());
    for (std::size_t i = 0; i < shown; ++i) std::printf("R2 %.9f  %s\n", r2[order[i]], texts[order[i]].c_str());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "random_formulas: %s\n", error.what());
        return 2;
    }
}
