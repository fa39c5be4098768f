// A table of backends: each row has a name, a predicate that says why it refuses, and a function.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "fovea/modules/error.h"

namespace fovea {

// True when autograd follows any of these.
inline bool differentiates(std::initializer_list<at::Tensor> tensors) {
  if (!at::GradMode::is_enabled()) return false;
  for (const auto& t : tensors) {
    if (t.defined() && t.requires_grad()) return true;
  }
  return false;
}

// `Problem` is the validated call; the last row must accept everything (the readable reference).
template <typename Result, typename Problem>
struct Backend {
  const char* name;
  std::string (*refuses)(const Problem&);  // empty: accepts
  Result (*run)(const Problem&);
};

template <typename Result, typename Problem>
class BackendTable {
 public:
  BackendTable(const char* function, std::vector<Backend<Result, Problem>> rows)
      : function_(function), rows_(std::move(rows)) {}

  // Runs the first row that accepts, or the one named.
  Result run(const Problem& problem, const std::string& wanted = {}) const {
    for (const auto& row : rows_) {
      if (!wanted.empty() && wanted != row.name) continue;
      const auto reason = row.refuses(problem);
      if (reason.empty()) return row.run(problem);
      require(wanted.empty(), ErrorKind::usage, "{}: backend {} refuses: {}", function_, wanted, reason);
    }
    fail(ErrorKind::usage, "{}: no backend named {}, there are: {}", function_, wanted, names());
  }

  std::string explain(const Problem& problem) const {
    std::string text;
    bool chosen = false;
    for (const auto& row : rows_) {
      const auto reason = row.refuses(problem);
      text += fmt::format("{}: {}\n", row.name, !reason.empty() ? reason : chosen ? "could run" : "runs");
      chosen = chosen || reason.empty();
    }
    return text;
  }

  std::string names() const {
    std::string text;
    for (const auto& row : rows_) text += (text.empty() ? "" : ", ") + std::string(row.name);
    return text;
  }

  // A faster row, asked before those already there.
  void add_first(const Backend<Result, Problem>& row) { rows_.insert(rows_.begin(), row); }

 private:
  const char* function_;
  std::vector<Backend<Result, Problem>> rows_;
};

}  // namespace fovea
