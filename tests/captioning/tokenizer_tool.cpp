// Read by the tests in Python: tokenizer_tool TOKENIZER [special] < strings as JSON lines → ids, their text and their
// text without special tokens as JSON lines; {"error": …} where a line is refused.
#include <iostream>
#include <nlohmann/json.hpp>

#include "fovea/captioning/tokenizers/tokenizer.h"
#include "fovea/modules/error.h"

int main(int argc, char** argv) {
  using nlohmann::json;
  try {
    const fovea::Tokenizer tokenizer = fovea::load_tokenizer(argv[1]);
    const bool special = argc > 2;
    std::ios::sync_with_stdio(false);
    for (std::string line; std::getline(std::cin, line);) {
      const json request = json::parse(line);
      json answer;
      try {
        std::vector<int64_t> ids;
        if (request.is_string()) {
          ids = tokenizer.encode(request.get<std::string>(), special);
        } else if (request.is_object()) {  // bytes, in hexadecimal
          std::string bytes;
          const std::string digits = request["bytes"];
          for (size_t i = 0; i < digits.size(); i += 2) {
            bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
          }
          ids = tokenizer.encode(bytes, special);
        } else {
          ids = request.get<std::vector<int64_t>>();
        }
        answer = {ids, tokenizer.decode(ids, false), tokenizer.decode(ids, true)};
      } catch (const fovea::Error& error) {
        answer = {{"error", error.what()}, {"code", static_cast<int>(error.kind())}};
      }
      std::cout << answer.dump() << "\n";
    }
  } catch (const fovea::Error& error) {
    std::cerr << "error: " << error.what() << "\n";
    return static_cast<int>(error.kind());
  }
  return 0;
}
