#include "fovea/modules/sparse/pattern.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <random>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

using Row = std::vector<int64_t>;

// keys_of(query, row) fills each row.
SparsityPattern made(int64_t tokens, const std::function<void(int64_t, Row&)>& keys_of) {
  std::vector<Row> rows(static_cast<size_t>(tokens));
  for (int64_t i = 0; i < tokens; ++i) keys_of(i, rows[static_cast<size_t>(i)]);
  return SparsityPattern(tokens, std::move(rows));
}

void add_range(Row& row, int64_t first, int64_t last) {  // last is not in it
  for (int64_t j = first; j < last; ++j) row.push_back(j);
}

// `count` of 0…tokens−1 without replacement (Floyd's way).
Row drawn(int64_t tokens, int64_t count, std::mt19937_64& random) {
  Row row;
  for (int64_t top = tokens - count; top < tokens; ++top) {
    const auto pick = static_cast<int64_t>(random() % static_cast<uint64_t>(top + 1));
    const bool taken = std::find(row.begin(), row.end(), pick) != row.end();
    row.push_back(taken ? top : pick);
  }
  return row;
}

void require_tokens(const char* function, int64_t tokens) {
  require(tokens > 0, ErrorKind::usage, "{}: {} tokens", function, tokens);
}

}  // namespace

SparsityPattern::SparsityPattern(int64_t keys, std::vector<std::vector<int64_t>> rows)
    : keys_(keys), rows_(std::move(rows)) {
  for (Row& row : rows_) {
    std::sort(row.begin(), row.end());
    row.erase(std::unique(row.begin(), row.end()), row.end());
    require(row.empty() || (row.front() >= 0 && row.back() < keys), ErrorKind::usage,
            "SparsityPattern: keys {}…{} do not lie in 0…{}", row.empty() ? 0 : row.front(),
            row.empty() ? 0 : row.back(), keys - 1);
  }
}

int64_t SparsityPattern::pairs() const {
  int64_t count = 0;
  for (const Row& row : rows_) count += static_cast<int64_t>(row.size());
  return count;
}

at::Tensor SparsityPattern::mask() const {
  auto mask = at::zeros({queries(), keys_}, at::kBool);
  bool* const values = mask.data_ptr<bool>();
  for (int64_t i = 0; i < queries(); ++i) {
    for (const int64_t j : row(i)) values[i * keys_ + j] = true;
  }
  return mask;
}

SparsityPattern SparsityPattern::operator|(const SparsityPattern& other) const {
  require(queries() == other.queries() && keys_ == other.keys_, ErrorKind::usage,
          "SparsityPattern: {}x{} and {}x{} have no union", queries(), keys_, other.queries(), other.keys_);
  auto rows = rows_;
  for (size_t i = 0; i < rows.size(); ++i) rows[i].insert(rows[i].end(), other.rows_[i].begin(), other.rows_[i].end());
  return SparsityPattern(keys_, std::move(rows));
}

SparsityPattern SparsityPattern::operator&(const SparsityPattern& other) const {
  require(queries() == other.queries() && keys_ == other.keys_, ErrorKind::usage,
          "SparsityPattern: {}x{} and {}x{} have no intersection", queries(), keys_, other.queries(), other.keys_);
  std::vector<Row> rows(rows_.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    std::set_intersection(rows_[i].begin(), rows_[i].end(), other.rows_[i].begin(), other.rows_[i].end(),
                          std::back_inserter(rows[i]));
  }
  return SparsityPattern(keys_, std::move(rows));
}

SparsityPattern causal_pattern(int64_t tokens) {
  require_tokens("causal_pattern", tokens);
  return made(tokens, [](int64_t i, Row& row) { add_range(row, 0, i + 1); });
}

SparsityPattern sliding_pattern(int64_t tokens, int64_t half, int64_t dilation) {
  require_tokens("sliding_pattern", tokens);
  require(half >= 0 && dilation > 0, ErrorKind::usage,
          "sliding_pattern: half {} must not be negative, dilation {} positive", half, dilation);
  return made(tokens, [=](int64_t i, Row& row) {
    for (int64_t j = i - half * dilation; j <= i + half * dilation; j += dilation) {
      if (j >= 0 && j < tokens) row.push_back(j);
    }
  });
}

SparsityPattern global_pattern(int64_t tokens, const std::vector<int64_t>& chosen) {
  require_tokens("global_pattern", tokens);
  return made(tokens, [&](int64_t i, Row& row) {
    if (std::find(chosen.begin(), chosen.end(), i) != chosen.end()) add_range(row, 0, tokens);
    row.insert(row.end(), chosen.begin(), chosen.end());
  });
}

SparsityPattern random_pattern(int64_t tokens, int64_t count, uint64_t seed) {
  require_tokens("random_pattern", tokens);
  require(count >= 0 && count <= tokens, ErrorKind::usage, "random_pattern: {} keys of {}", count, tokens);
  std::mt19937_64 random(seed);
  return made(tokens, [&](int64_t, Row& row) { row = drawn(tokens, count, random); });
}

SparsityPattern big_bird_pattern(int64_t tokens, const BigBirdOptions& options) {
  require_tokens("big_bird_pattern", tokens);
  require(options.block > 0 && options.window_blocks > 0 && options.window_blocks % 2 == 1 &&
              options.global_blocks >= 0 && options.random_blocks >= 0,
          ErrorKind::usage, "big_bird_pattern: block {} must be positive, window_blocks {} odd, {} and {} not negative",
          options.block, options.window_blocks, options.global_blocks, options.random_blocks);
  const int64_t blocks = (tokens + options.block - 1) / options.block;
  const int64_t random_blocks = std::min(options.random_blocks, blocks);
  std::mt19937_64 random(options.seed);
  std::vector<Row> seen(static_cast<size_t>(blocks));  // blocks of keys for each block of queries
  for (int64_t i = 0; i < blocks; ++i) {
    auto& row = seen[static_cast<size_t>(i)];
    row = drawn(blocks, random_blocks, random);
    const int64_t half = options.window_blocks / 2;
    add_range(row, std::max<int64_t>(0, i - half), std::min(blocks, i + half + 1));
    add_range(row, 0, i < options.global_blocks ? blocks : std::min(options.global_blocks, blocks));
  }
  return made(tokens, [&](int64_t i, Row& row) {
    for (const int64_t block : seen[static_cast<size_t>(i / options.block)]) {
      add_range(row, block * options.block, std::min(tokens, (block + 1) * options.block));
    }
  });
}

SparsityPattern strided_pattern(int64_t tokens, int64_t stride) {
  require_tokens("strided_pattern", tokens);
  require(stride > 0, ErrorKind::usage, "strided_pattern: stride {} must be positive", stride);
  return made(tokens, [=](int64_t i, Row& row) {
    add_range(row, std::max<int64_t>(0, i - stride + 1), i + 1);
    for (int64_t j = i; j >= 0; j -= stride) row.push_back(j);
  });
}

SparsityPattern fixed_pattern(int64_t tokens, int64_t stride, int64_t summary) {
  require_tokens("fixed_pattern", tokens);
  require(stride > 0 && summary > 0 && summary <= stride, ErrorKind::usage,
          "fixed_pattern: summary {} must lie in 1…{}, the stride", summary, stride);
  return made(tokens, [=](int64_t i, Row& row) {
    add_range(row, i / stride * stride, i + 1);
    for (int64_t block = 0; block < i / stride; ++block) {
      add_range(row, (block + 1) * stride - summary, (block + 1) * stride);
    }
  });
}

SparsityPattern grid_pattern(int64_t height, int64_t width, int64_t half) {
  require(height > 0 && width > 0 && half >= 0, ErrorKind::usage, "grid_pattern: {}x{} tokens and half {}", height,
          width, half);
  return made(height * width, [=](int64_t i, Row& row) {
    const int64_t y = i / width, x = i % width;
    for (int64_t other = std::max<int64_t>(0, y - half); other <= std::min(height - 1, y + half); ++other) {
      add_range(row, other * width + std::max<int64_t>(0, x - half), other * width + std::min(width, x + half + 1));
    }
  });
}

}  // namespace fovea
