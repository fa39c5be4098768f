// Read by the tests in Python: pathfinder_tool SIDE DASHES DISTRACTORS SEED FIRST COUNT writes for each picture one
// byte (1: joined) and its SIDE² grey values.
#include <cstdio>
#include <string>

#include "fovea/datasets/pathfinder/pathfinder.h"
#include "fovea/modules/error.h"

int main(int count, char** arguments) {
  if (count != 7) return 2;
  const auto number = [&](int i) { return std::stoll(arguments[i]); };
  try {
    const fovea::PathfinderOptions options{
        .side = number(1), .dashes = number(2), .distractors = number(3), .seed = static_cast<uint64_t>(number(4))};
    const auto pictures = fovea::pathfinder_dataset(options, number(6), static_cast<uint64_t>(number(5)));
    for (int64_t i = 0; i < pictures->size(); ++i) {
      const fovea::Example one = pictures->get(i);
      std::fputc(static_cast<int>(one.label), stdout);
      for (size_t p = 0; p < one.image.pixels.size(); p += 3) std::fputc(one.image.pixels[p], stdout);
    }
    return 0;
  } catch (const fovea::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.kind());
  }
}
