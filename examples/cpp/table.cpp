#include "table.hpp"

#include <fstream>
#include <sstream>
#include <stdexcept>

Table read_csv(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read " + path);
    Table table;
    std::string line, cell;
    std::getline(file, line);
    for (std::istringstream cells(line); std::getline(cells, cell, ',');) table.names.push_back(cell);
    table.columns.resize(table.names.size());
    for (std::size_t number = 2; std::getline(file, line); ++number) {
        if (line.empty()) continue;
        std::istringstream cells(line);
        for (auto& column : table.columns) {
            const auto where = path + ", line " + std::to_string(number);
            if (!std::getline(cells, cell, ',')) throw std::runtime_error(where + " has too few cells");
            std::size_t end = 0;
            try {
                column.push_back(std::stod(cell, &end));
            } catch (const std::exception&) {
                throw std::runtime_error(where + ": '" + cell + "' is no number");
            }
        }
    }
    return table;
}
