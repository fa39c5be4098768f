// Blocks of one kind, one behind the other.
#pragma once

#include <string>
#include <vector>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/module.h"

namespace fovea {

// Keys `0`, `1`, …; with a prefix and a first number, `b1`, `b2`, …. `Block` is made from its Block::Options.
template <typename Block>
class ChainImpl : public Module<ChainImpl<Block>> {
 public:
  using BlockOptions = decltype(Block::options);

  explicit ChainImpl(std::vector<BlockOptions> options, std::string prefix = "", size_t first = 0)
      : options(std::move(options)), prefix(std::move(prefix)), first(first) {
    reset();
  }

  void reset() override {
    blocks.clear();
    for (const BlockOptions& block : options) {
      blocks.push_back(
          this->register_module(prefix + std::to_string(first + blocks.size()), std::make_shared<Block>(block)));
    }
  }

  at::Tensor forward(const at::Tensor& x) {
    auto y = x;
    for (const auto& block : blocks) y = block->forward(y);
    recording::output(this, y, /*channel_dim=*/1);
    return y;
  }

  std::vector<BlockOptions> options;
  std::string prefix;
  size_t first;
  std::vector<std::shared_ptr<Block>> blocks;
};

}  // namespace fovea
