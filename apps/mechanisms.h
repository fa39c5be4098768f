// The mechanisms that docs/modules.md lists: the page itself is the table.
#pragma once

#include <string>
#include <vector>

namespace fovea {

struct Mechanism {
  std::string room;  // heading over its table, "Scores and alignment — modules/attention"
  std::string name, formula, cost, header;
  std::string source;  // with links as Markdown has them
};

std::vector<Mechanism> listed_mechanisms();

}  // namespace fovea
