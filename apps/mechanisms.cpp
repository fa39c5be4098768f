#include "fovea/apps/mechanisms.h"

#include <algorithm>
#include <sstream>
#include <string_view>

#include "fovea/modules/error.h"

namespace fovea {

extern const char* const modules_page;  // docs/modules.md, by CMake

namespace {

// "| a | b\|c |" → {"a", "b|c"}.
std::vector<std::string> cells(std::string_view line) {
  std::vector<std::string> result;
  std::string cell;
  const auto finish = [&] {
    const auto first = cell.find_first_not_of(' ');
    result.push_back(first == std::string::npos ? "" : cell.substr(first, cell.find_last_not_of(' ') - first + 1));
    cell.clear();
  };
  for (size_t i = 1; i < line.size(); ++i) {
    if (line[i] == '\\' && i + 1 < line.size() && line[i + 1] == '|') {
      cell += line[++i];
    } else if (line[i] == '|') {
      finish();
    } else {
      cell += line[i];
    }
  }
  return result;
}

}  // namespace

std::vector<Mechanism> listed_mechanisms() {
  std::vector<Mechanism> all;
  std::istringstream page(modules_page);
  std::string line, room;
  bool inside = false;  // a table of mechanisms
  while (std::getline(page, line)) {
    if (line.starts_with("## ")) {
      room = line.substr(3);
      std::erase(room, '`');
    }
    if (!line.starts_with("|")) {
      inside = false;
    } else if (line.starts_with("| mechanism |") || line.starts_with("| name |")) {
      inside = true;
    } else if (inside && !line.starts_with("|---")) {
      const auto row = cells(line);
      require(row.size() == 5, ErrorKind::internal, "docs/modules.md: expected 5 cells, got {}: {}", row.size(), line);
      all.push_back(
          {.room = room, .name = row[0], .formula = row[1], .cost = row[2], .header = row[3], .source = row[4]});
    }
  }
  return all;
}

}  // namespace fovea
