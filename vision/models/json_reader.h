// Reading one object of a configuration file; messages say the file, the key, what was expected and what came.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "fovea/modules/error.h"

namespace fovea {

template <typename Value>
struct JsonWord {
  const char* name;
  Value value;
};
// One object of the file, and how to speak about its members.
struct JsonReader {
  const std::string& path;
  const nlohmann::json& object;

  // Null where the key is absent or null.
  const nlohmann::json* find(const char* key) const {
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  }

  [[noreturn]] void wrong(const char* key, const char* expected, const nlohmann::json& got) const {
    const std::string text = got.is_structured() || got.is_string() ? got.type_name() : got.dump();
    fail(ErrorKind::data, "{}: {}: expected {}, got {}", printable(path), key, expected, text);
  }

  int64_t integer(const char* key, const nlohmann::json& value, int64_t most) const {
    if (!value.is_number_integer()) wrong(key, "an integer", value);
    const bool fits = value.is_number_unsigned() ? value.get<uint64_t>() <= static_cast<uint64_t>(most) : false;
    require(fits && value.get<int64_t>() > 0, ErrorKind::data, "{}: {}: expected 1 to {}, got {}", printable(path), key,
            most, value.dump());
    return value.get<int64_t>();
  }

  // Of the key, `usual` where it is absent.
  int64_t integer(const char* key, int64_t usual, int64_t most) const {
    const nlohmann::json* value = find(key);
    return value == nullptr ? usual : integer(key, *value, most);
  }

  bool boolean(const char* key, bool usual) const {
    const nlohmann::json* value = find(key);
    if (value == nullptr) return usual;
    if (!value->is_boolean()) wrong(key, "true or false", *value);
    return value->get<bool>();
  }

  double number(const char* key, const nlohmann::json& value) const {
    if (!value.is_number()) wrong(key, "a number", value);
    return value.get<double>();
  }

  std::string text(const char* key, const nlohmann::json& value) const {
    if (!value.is_string()) wrong(key, "a string", value);
    return value.get<std::string>();
  }

  template <typename Value, size_t count>
  std::optional<Value> word(const char* key, const JsonWord<Value> (&words)[count]) const {
    const nlohmann::json* value = find(key);
    if (value == nullptr) return std::nullopt;
    const std::string name = text(key, *value);
    for (const auto& known : words) {
      if (name == known.name) return known.value;
    }
    fail(ErrorKind::data, "{}: {}: \"{}\" is not supported", printable(path), key, printable(name));
  }

  std::optional<std::array<double, 3>> colour(const char* key) const {
    const nlohmann::json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_array() || value->size() != 3) wrong(key, "three numbers", *value);
    return std::array{number(key, (*value)[0]), number(key, (*value)[1]), number(key, (*value)[2])};
  }
};

}  // namespace fovea
