// Rows of the benchmark table: what runs, and what it must move and compute at least.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace fovea::kernels::testing {

struct Bench {
  std::string name;
  double bytes;  // read and written once
  double flops;
  std::function<void()> run;  // starts the kernels on the default stream
};

// Each makes the rows of one family and keeps their arrays alive; the program calls those that registered.
std::vector<std::vector<Bench> (*)()>& bench_families();

struct BenchRegistration {
  explicit BenchRegistration(std::vector<Bench> (*family)()) { bench_families().push_back(family); }
};

}  // namespace fovea::kernels::testing
