// remap_weights IN OUT: a checkpoint of any known layout under our keys; prints the layout and the dropped keys.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/layout.h"

int main(int count, char** arguments) try {
  if (count != 3) return 2;
  const fovea::MappedState mapped = fovea::apply_layout(fovea::load_state_dict(arguments[1]));
  fovea::save_safetensors(arguments[2], mapped.weights.tensors(), mapped.weights.metadata);
  fmt::print("{} {}\n", mapped.layout->name, fmt::join(mapped.dropped, " "));
  return 0;
} catch (const fovea::Error& error) {
  fmt::print(stderr, "error: {}\n", error.what());
  return static_cast<int>(error.kind());
}
