#include <ATen/ATen.h>

#include "fovea/apps/gallery.h"
#include "fovea/modules/parallel/ring_attention.h"
#include "fovea/modules/sparse/pattern.h"
#include "fovea/vision/draw/token_map.h"

namespace fovea {
namespace {

constexpr int64_t kPattern = 48;  // tokens

GalleryPanel pattern_panel(const std::string& title, const at::Tensor& matrix, const std::string& unit) {
  return {matrix_panel(matrix, title, unit), kSourceAxis, kTargetAxis};
}

}  // namespace

std::vector<GalleryPanel> pattern_panels() {
  const auto one = [](const char* title, const SparsityPattern& pattern) {
    return pattern_panel(title, pattern.mask(), "1: the query may look");
  };
  return {one("sliding", sliding_pattern(kPattern, 4)),
          one("dilated", sliding_pattern(kPattern, 4, 3)),
          one("sliding | global", sliding_pattern(kPattern, 3) | global_pattern(kPattern, {0, 20})),
          one("random", random_pattern(kPattern, 6, 1)),
          one("BigBird", big_bird_pattern(kPattern, {.block = 4, .random_blocks = 1})),
          one("strided", strided_pattern(kPattern, 7)),
          one("fixed", fixed_pattern(kPattern, 8, 2)),
          one("neighbourhood of a 6 by 8 grid", grid_pattern(6, 8, 1)),
          one("sliding & causal", sliding_pattern(kPattern, 6) & causal_pattern(kPattern))};
}

// In which round each pair of tokens meets, when four processes hold twelve each.
std::vector<GalleryPanel> ring_panels() {
  constexpr int64_t processes = 4, share = kPattern / processes;
  auto rounds = at::zeros({kPattern, kPattern});
  for (int64_t rank = 0; rank < processes; ++rank) {
    for (int64_t round = 0; round < processes; ++round) {
      const int64_t owner = ring_owner(rank, round, processes);
      rounds.narrow(0, rank * share, share).narrow(1, owner * share, share).fill_(round + 1);
    }
  }
  return {pattern_panel("ring of 4 processes", rounds, "round in which they meet"),
          pattern_panel("ring of 4 processes, causal", rounds.tril(), "round in which they meet, 0: never")};
}

}  // namespace fovea
