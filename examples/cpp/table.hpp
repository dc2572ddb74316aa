// A CSV file of numbers with one line of names: enough for an example.
#pragma once

#include <string>
#include <vector>

struct Table {
    std::vector<std::string> names;
    std::vector<std::vector<double>> columns;
    std::size_t rows() const { return columns.empty() ? 0 : columns[0].size(); }
};

// Throws std::runtime_error naming file and line.
Table read_csv(const std::string& path);
