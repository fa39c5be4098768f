#include "fovea/modules/weights/safetensors_header.h"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr size_t kMaxDepth = 127;        // serde_json's
constexpr size_t kShownCharacters = 80;  // of a text in a message

std::string shown(std::string_view text) {
  return printable(text.substr(0, kShownCharacters)) + (text.size() > kShownCharacters ? "…" : "");
}

std::optional<SafetensorsType> type_named(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(SafetensorsType::U64); ++i) {
    if (name_of(static_cast<SafetensorsType>(i)) == name) return static_cast<SafetensorsType>(i);
  }
  return std::nullopt;
}

// What the next value is for.
enum class Role {
  header,
  metadata,
  metadata_text,
  tensor,
  type,
  type_unit,
  shape,
  dimension,
  offsets,
  offset,
  ignored
};

constexpr std::string_view expected(Role role) {
  switch (role) {
    case Role::header:
      return "the header to be an object";
    case Role::metadata:
      return "__metadata__ to be an object of strings";
    case Role::metadata_text:
      return "every value of __metadata__ to be a string";
    case Role::tensor:
      return "a tensor to be an object with dtype, shape and data_offsets";
    case Role::type:
      return "dtype to be a string";
    case Role::type_unit:
      return "dtype to be a string";
    case Role::shape:
      return "shape to be an array";
    case Role::dimension:
      return "shape to hold whole numbers from 0";
    case Role::offsets:
      return "data_offsets to be an array of two";
    case Role::offset:
      return "data_offsets to hold two whole numbers from 0";
    case Role::ignored:
      return "";
  }
  return "";
}

// Called for each token; no tree is built. Every open object or array is a frame.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(SafetensorsHeader& header) : header_(header) {}

  const std::string& fault() const { return fault_; }
  bool too_many_tensors() const { return header_.entries.size() > kSafetensorsMaxTensors; }

  bool null() override {
    const Role role = next();
    return role == Role::metadata || role == Role::type_unit || role == Role::ignored || wrong(role, "null");
  }
  bool boolean(bool) override { return only_ignored("a boolean"); }
  bool number_integer(number_integer_t) override { return only_ignored("a negative number"); }  // "-0" too
  bool number_float(number_float_t, const string_t&) override { return only_ignored("a fraction or huge number"); }
  bool binary(binary_t&) override { return false; }  // JSON has none

  bool number_unsigned(number_unsigned_t value) override {
    const Role role = next();
    if (role == Role::dimension) {
      tensor_.shape.push_back(value);
    } else if (role == Role::offset) {
      if (offsets_ == 2) return wrong(Role::offsets, "more");
      (offsets_++ == 0 ? tensor_.offset : tensor_.length) = value;
    } else if (role != Role::ignored) {
      return wrong(role, "a number");
    }
    return true;
  }

  bool string(string_t& text) override {
    const Role role = next();
    if (role == Role::type) return set_type(text);
    if (role == Role::metadata_text) {
      header_.metadata[metadata_key_] = std::move(text);
    } else if (role != Role::ignored) {
      return wrong(role, "a string");
    }
    return true;
  }

  bool start_object(size_t) override {
    const Role role = next();
    if (role == Role::tensor) start_tensor();
    const bool fits = role == Role::header || role == Role::metadata || role == Role::tensor || role == Role::type ||
                      role == Role::ignored;
    return fits ? open(role, false) : wrong(role, "an object");
  }

  bool start_array(size_t) override {
    const Role role = next();
    if (role == Role::tensor) start_tensor();
    if (role == Role::offsets) offsets_ = 0;
    const bool fits = role == Role::tensor || role == Role::shape || role == Role::offsets || role == Role::ignored;
    return fits ? open(role, true) : wrong(role, "an array");
  }

  bool key(string_t& name) override {
    switch (frames_.back().role) {
      case Role::header:
        next_ = name == kSafetensorsMetadataKey ? Role::metadata : Role::tensor;
        if (next_ == Role::metadata && std::exchange(metadata_seen_, true)) return fault("__metadata__ stands twice");
        tensor_.name = std::move(name);
        return true;
      case Role::metadata:
        next_ = Role::metadata_text;
        metadata_key_ = std::move(name);
        return true;
      case Role::tensor:
        return tensor_field(name);
      case Role::type:
        next_ = Role::type_unit;
        if (frames_.back().count++ > 0) return wrong(Role::type, "an object");
        return set_type(name);
      default:
        next_ = Role::ignored;
        return true;
    }
  }

  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    return fault(fmt::format("not valid JSON at byte {}", position));
  }

 private:
  struct Frame {
    Role role;
    bool array;
    int count = 0;  // values so far: of a tensor as an array, and of dtype as an object
  };

  bool fault(std::string message) {
    fault_ = std::move(message);
    return false;
  }

  bool wrong(Role role, std::string_view got) {
    const bool in_tensor = role != Role::header && role != Role::metadata && role != Role::metadata_text;
    return fault(fmt::format("{}expected {}, got {}", in_tensor ? fmt::format("tensor {}: ", shown(tensor_.name)) : "",
                             expected(role), got));
  }

  bool only_ignored(std::string_view got) {
    const Role role = next();
    return role == Role::ignored || wrong(role, got);
  }

  // The role of the value that comes now.
  Role next() {
    if (frames_.empty()) return Role::header;
    Frame& frame = frames_.back();
    if (!frame.array) return next_;
    switch (frame.role) {
      case Role::tensor: {
        constexpr Role kOrder[] = {Role::type, Role::shape, Role::offsets};
        return frame.count < 3 ? kOrder[frame.count++] : Role::tensor;
      }
      case Role::shape:
        return Role::dimension;
      case Role::offsets:
        return Role::offset;
      default:
        return Role::ignored;
    }
  }

  bool open(Role role, bool array) {
    if (frames_.size() == kMaxDepth) return fault(fmt::format("nested deeper than {}", kMaxDepth));
    if (role == Role::tensor && !frames_.empty() && frames_.back().role == Role::tensor) {
      return wrong(Role::tensor, "an array of more than three");
    }
    frames_.push_back({role, array});
    return true;
  }

  bool close() {
    const Frame frame = frames_.back();
    frames_.pop_back();
    if (frame.role == Role::type && frame.count == 0) return wrong(Role::type, "an object");
    if (frame.role == Role::offsets && offsets_ != 2) return wrong(Role::offsets, "fewer");
    if (frame.role != Role::tensor) return true;
    if (frame.array ? frame.count != 3 : !(has_type_ && has_shape_ && has_offsets_)) {
      return fault(fmt::format("tensor {}: dtype, shape or data_offsets is missing", shown(tensor_.name)));
    }
    header_.entries.push_back(std::move(tensor_));
    return !too_many_tensors();
  }

  void start_tensor() {
    tensor_.shape.clear();
    has_type_ = has_shape_ = has_offsets_ = false;
  }

  bool tensor_field(const std::string& name) {
    bool unused = false;
    bool& seen = name == "dtype"          ? has_type_
                 : name == "shape"        ? has_shape_
                 : name == "data_offsets" ? has_offsets_
                                          : unused;
    next_ = &seen == &has_type_      ? Role::type
            : &seen == &has_shape_   ? Role::shape
            : &seen == &has_offsets_ ? Role::offsets
                                     : Role::ignored;
    if (std::exchange(seen, true)) return fault(fmt::format("tensor {}: {} stands twice", shown(tensor_.name), name));
    return true;
  }

  bool set_type(const std::string& name) {
    const auto type = type_named(name);
    if (!type) return fault(fmt::format("tensor {}: unknown dtype {}", shown(tensor_.name), shown(name)));
    tensor_.type = *type;
    return true;
  }

  SafetensorsHeader& header_;
  std::vector<Frame> frames_;
  Role next_ = Role::header;  // in an object, set by its key
  SafetensorsEntry tensor_;   // the one being read
  std::string metadata_key_;
  std::string fault_;
  int offsets_ = 0;
  bool has_type_ = false, has_shape_ = false, has_offsets_ = false, metadata_seen_ = false;
};

std::string quoted(const std::string& text, std::string_view file) try {
  return nlohmann::json(text).dump();
} catch (const nlohmann::json::exception&) {
  fail(ErrorKind::usage, "{}: {} is not UTF-8", file, shown(text));
}

}  // namespace

SafetensorsHeader read_safetensors_json(std::string_view text, std::string_view file) {
  // The JSON library would skip a byte order mark and stop at a zero byte.
  require(!text.starts_with('\xEF') && text.find('\0') == std::string_view::npos, ErrorKind::data,
          "{}: safetensors header: not valid JSON (byte order mark or zero byte)", file);
  SafetensorsHeader header;
  HeaderReader reader(header);
  const bool complete = nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  require(!reader.too_many_tensors(), ErrorKind::resource, "{}: more than {} tensors", file, kSafetensorsMaxTensors);
  require(complete, ErrorKind::data, "{}: safetensors header: {}", file, reader.fault());
  return header;
}

std::string write_safetensors_json(std::vector<SafetensorsEntry>& entries, const SafetensorsMetadata& metadata,
                                   std::string_view file) {
  std::string text = "{";
  const auto separate = [&] { text += text.back() == '{' ? "" : ","; };
  if (!metadata.empty()) {
    text += fmt::format("\"{}\":{{", kSafetensorsMetadataKey);
    for (const auto& [key, value] : metadata) {
      separate();
      text += quoted(key, file) + ":" + quoted(value, file);
    }
    text += "}";
  }
  uint64_t place = 0;
  for (SafetensorsEntry& entry : entries) {
    separate();
    entry.offset = place;
    place += entry.length;
    text += fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", quoted(entry.name, file),
                        name_of(entry.type), fmt::join(entry.shape, ","), entry.offset, place);
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  require(text.size() <= kSafetensorsMaxHeader, ErrorKind::resource, "{}: safetensors header of {} bytes, at most {}",
          file, text.size(), kSafetensorsMaxHeader);
  return text;
}

}  // namespace fovea
