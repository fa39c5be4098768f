// tokenizer.json of Hugging Face's tokenizers: one reader for each kind of part, by its "type".
#include "fovea/captioning/tokenizers/tokenizer.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/json_text.h"
#include "fovea/vision/models/json_reader.h"

namespace fovea {
namespace {

using nlohmann::json;

// A part of the file; `what` is its key.
struct Part {
  const std::string& path;
  const char* what;
  const json& object;

  JsonReader reader() const { return {path, object}; }

  std::string type() const {
    const json* type = reader().find("type");
    require(type != nullptr && type->is_string(), ErrorKind::data, "{}: {}: its type is missing", printable(path),
            what);
    return type->get<std::string>();
  }

  [[noreturn]] void unknown(const std::string& known) const {
    fail(ErrorKind::data, "{}: {}: type \"{}\" is not supported; known are {}", printable(path), what,
         printable(type()), known);
  }

  // Refuses a setting that changes the result and is not supported.
  void expect(const char* key, const json& only) const {
    const json* value = reader().find(key);
    require(value == nullptr || *value == only, ErrorKind::data, "{}: {}: {}: only {} is supported, got {}",
            printable(path), what, key, only.dump(), value == nullptr ? "nothing" : printable(value->dump()));
  }

  std::string text(const char* key, const char* usual) const {
    const json* value = reader().find(key);
    return value == nullptr ? usual : reader().text(key, *value);
  }

  int64_t id(const char* key, const json& value) const {
    if (!value.is_number_integer()) reader().wrong(key, "an integer", value);
    require(value.is_number_unsigned() && value.get<uint64_t>() < Vocabulary::kMostTokens, ErrorKind::data,
            "{}: {}: {}: expected a number of 0 to {}, got {}", printable(path), what, key, Vocabulary::kMostTokens - 1,
            value.dump());
    return value.get<int64_t>();
  }
};

NormaliseOptions read_normaliser(const Part& part) {
  const std::string type = part.type();
  if (type == "Lowercase") return {.lowercase = true};
  if (type != "BertNormalizer") part.unknown("BertNormalizer, Lowercase");
  const JsonReader config = part.reader();
  const bool lowercase = config.boolean("lowercase", true);
  return {.clean_text = config.boolean("clean_text", true),
          .ideographs = config.boolean("handle_chinese_chars", true),
          .strip_accents = config.boolean("strip_accents", lowercase),
          .lowercase = lowercase};
}

void read_splitter(const Part& part, TokenizerParts& parts) {
  const std::string type = part.type();
  if (type == "ByteLevel") {
    parts.splitter = Splitter::byte_level;
    parts.prefix_space = part.reader().boolean("add_prefix_space", true);
    parts.split_words = part.reader().boolean("use_regex", true);
  } else if (type == "BertPreTokenizer") {
    parts.splitter = Splitter::bert;
  } else if (type == "WhitespaceSplit") {
    parts.splitter = Splitter::white_space;
  } else {
    part.unknown("ByteLevel, BertPreTokenizer, WhitespaceSplit");
  }
}

Vocabulary read_vocabulary(const Part& part) {
  const json* vocab = part.reader().find("vocab");
  if (vocab == nullptr || !vocab->is_object()) part.reader().wrong("vocab", "an object", vocab ? *vocab : json());
  Vocabulary vocabulary;
  for (const auto& [token, id] : vocab->items()) vocabulary.add(part.path, token, part.id("vocab", id));
  return vocabulary;
}

// ["a","b"], or "a b" in files of before 2024.
std::vector<std::pair<std::string, std::string>> read_merges(const Part& part) {
  const json* list = part.reader().find("merges");
  if (list == nullptr || !list->is_array()) part.reader().wrong("merges", "a list", list ? *list : json());
  std::vector<std::pair<std::string, std::string>> merges;
  for (const json& merge : *list) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      continue;
    }
    const std::string text = merge.is_string() ? merge.get<std::string>() : "";
    const size_t space = text.find(' ');
    require(space != std::string::npos && text.find(' ', space + 1) == std::string::npos, ErrorKind::data,
            "{}: merges: expected two tokens in number {}, got {}", printable(part.path), merges.size(),
            printable(merge.dump()));
    merges.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
  return merges;
}

std::unique_ptr<WordModel> read_model(const Part& part) {
  std::string type = part.text("type", "");
  if (type.empty() && part.reader().find("merges") != nullptr) type = "BPE";  // of before 2020
  if (type == "BPE") {
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) part.expect(key, "");
    part.expect("byte_fallback", false);
    const json* dropout = part.reader().find("dropout");
    if (dropout != nullptr && *dropout != 0) part.expect("dropout", nullptr);
    return make_byte_pair(read_vocabulary(part), {.file = part.path,
                                                  .merges = read_merges(part),
                                                  .unknown = part.text("unk_token", ""),
                                                  .fuse_unknown = part.reader().boolean("fuse_unk", false),
                                                  .whole_words = part.reader().boolean("ignore_merges", false)});
  }
  if (type == "WordPiece") {
    return make_word_piece(read_vocabulary(part),
                           {.file = part.path,
                            .unknown = part.text("unk_token", "[UNK]"),
                            .prefix = part.text("continuing_subword_prefix", "##"),
                            .longest = part.reader().integer("max_input_chars_per_word", 100, 1'000'000)});
  }
  if (type == "WordLevel") {
    return make_word_level(read_vocabulary(part), part.text("unk_token", "<unk>"), part.path);
  }
  part.unknown("BPE, WordPiece, WordLevel");
}

std::vector<AddedToken> read_added(const Part& file) {
  std::vector<AddedToken> tokens;
  const json* list = file.reader().find("added_tokens");
  if (list == nullptr) return tokens;
  if (!list->is_array()) file.reader().wrong("added_tokens", "a list", *list);
  for (const json& entry : *list) {
    if (!entry.is_object()) file.reader().wrong("added_tokens", "objects", entry);
    const Part part{file.path, "added_tokens", entry};
    part.expect("single_word", false);
    const json* content = part.reader().find("content");
    const json* id = part.reader().find("id");
    require(content != nullptr && id != nullptr, ErrorKind::data, "{}: added_tokens: content or id is missing",
            printable(file.path));
    const bool special = part.reader().boolean("special", false);
    tokens.push_back({.text = part.reader().text("content", *content),
                      .id = part.id("id", *id),
                      .special = special,
                      .strip_left = part.reader().boolean("lstrip", false),
                      .strip_right = part.reader().boolean("rstrip", false),
                      .normalised = part.reader().boolean("normalized", !special)});
  }
  return tokens;
}

// ["[SEP]", 102]
int64_t read_pair(const Part& part, const char* key) {
  const json* pair = part.reader().find(key);
  if (pair == nullptr || !pair->is_array() || pair->size() != 2) {
    part.reader().wrong(key, "a token and its number", pair ? *pair : json());
  }
  return part.id(key, (*pair)[1]);
}

// {"single": [{"SpecialToken": {"id": "[CLS]"}}, {"Sequence": …}, …], "special_tokens": {"[CLS]": {"ids": [101]}}}
void read_template(const Part& part, TokenizerParts& parts) {
  const json* single = part.reader().find("single");
  const json* special = part.reader().find("special_tokens");
  if (single == nullptr || !single->is_array()) part.reader().wrong("single", "a list", single ? *single : json());
  bool behind = false;
  for (const json& item : *single) {
    if (item.is_object() && item.contains("Sequence")) {
      require(!behind, ErrorKind::data, "{}: {}: single: more than one Sequence", printable(part.path), part.what);
      behind = true;
      continue;
    }
    const bool named = item.is_object() && item.contains("SpecialToken") && item["SpecialToken"].is_object() &&
                       item["SpecialToken"].contains("id") && item["SpecialToken"]["id"].is_string();
    if (!named) part.reader().wrong("single", "a SpecialToken with an id, or a Sequence", item);
    const std::string name = item["SpecialToken"]["id"].get<std::string>();
    const bool known = special != nullptr && special->is_object() && special->contains(name) &&
                       (*special)[name].is_object() && (*special)[name].contains("ids") &&
                       (*special)[name]["ids"].is_array();
    require(known, ErrorKind::data, "{}: {}: special_tokens: \"{}\" has no ids", printable(part.path), part.what,
            printable(name));
    for (const json& id : (*special)[name]["ids"]) {
      (behind ? parts.after : parts.before).push_back(part.id("ids", id));
    }
  }
}

void read_processor(const Part& part, TokenizerParts& parts) {
  const std::string type = part.type();
  if (type == "ByteLevel") return;  // changes offsets alone
  if (type == "TemplateProcessing") {
    read_template(part, parts);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    parts.before = {read_pair(part, "cls")};
    parts.after = {read_pair(part, "sep")};
  } else {
    part.unknown("ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing");
  }
}

void read_decoder(const Part& part, TokenizerParts& parts) {
  const std::string type = part.type();
  if (type == "ByteLevel") {
    parts.joiner = TokenJoiner::byte_level;
  } else if (type == "WordPiece") {
    parts.joiner = TokenJoiner::word_piece;
    parts.continuation = part.text("prefix", "##");
    parts.clean_up = part.reader().boolean("cleanup", true);
  } else {
    part.unknown("ByteLevel, WordPiece");
  }
}

}  // namespace

Tokenizer read_tokenizer_json(const std::string& path) {
  const json root = read_json(path);
  require(root.is_object(), ErrorKind::data, "{}: expected an object, got {}", printable(path), root.type_name());
  const Part file{path, "tokenizer", root};
  file.expect("version", "1.0");
  const auto part = [&](const char* key) -> std::optional<Part> {
    const json* value = file.reader().find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_object()) file.reader().wrong(key, "an object", *value);
    return std::optional<Part>(Part{path, key, *value});
  };
  const auto model = part("model");
  require(model.has_value(), ErrorKind::data, "{}: model is missing", printable(path));

  TokenizerParts parts{.file = path, .model = read_model(*model)};
  if (const auto normaliser = part("normalizer")) parts.normalise = read_normaliser(*normaliser);
  if (const auto splitter = part("pre_tokenizer")) read_splitter(*splitter, parts);
  if (const auto processor = part("post_processor")) read_processor(*processor, parts);
  if (const auto decoder = part("decoder")) read_decoder(*decoder, parts);
  const bool bytes = model->text("type", "BPE") == "BPE";
  require(!bytes || parts.splitter == Splitter::byte_level, ErrorKind::data,
          "{}: pre_tokenizer: BPE is supported on bytes alone, with ByteLevel", printable(path));
  parts.added = read_added(file);
  return Tokenizer(std::move(parts));
}

}  // namespace fovea
