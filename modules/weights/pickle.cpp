#include "fovea/modules/weights/pickle.h"

#include <array>
#include <bit>
#include <charconv>
#include <unordered_map>
#include <utility>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/byte_cursor.h"

namespace fovea {
namespace {

constexpr uint64_t kSlotBytes = 8;   // of a stack or a list, with what it grows ahead
constexpr uint64_t kMemoBytes = 64;  // of an entry in the table

bool is_listed(std::string_view name, std::span<const std::string_view> list) {
  for (const std::string_view listed : list) {
    if (listed.ends_with('.') ? name.starts_with(listed) : name == listed) return true;
  }
  return false;
}

}  // namespace

std::string Pickle::global_name(PickleId id) const {
  if (id == kNoPickleId || values_[id].kind != PickleKind::global) return {};
  return fmt::format("{}.{}", values_[id].text, values_[values_[id].first].text);
}

// One run over the opcodes.
class PickleMachine {
 public:
  PickleMachine(Pickle& pickle, ByteCursor cursor, std::string_view name, const PickleRules& rules,
                MemoryBudget& budget)
      : pickle_(pickle), cursor_(cursor), name_(name), rules_(rules), budget_(budget) {}

  void run() {
    bool more = true;
    while (more) more = step(static_cast<uint8_t>(cursor_.take(1)[0]));
    pickle_.root_ = pop();
    pickle_.end_ = cursor_.place();
    for (PickleId id = 0; id < pickle_.values_.size(); ++id) {
      const PickleValue& value = pickle_.values_[id];
      if (value.kind == PickleKind::global && !value.allowed) refuse(fmt::format("names {}", shown(id)));
    }
  }

 private:
  [[noreturn]] void fault(std::string_view cause) const {
    fail(ErrorKind::data, "{}: pickle: {} at byte {}", name_, cause, cursor_.place());
  }
  [[noreturn]] void refuse(const std::string& what) const {
    fail(ErrorKind::data, "{}: pickle: {}, which is refused (nothing of it was run)", name_, what);
  }
  std::string shown(PickleId global) const { return printable(pickle_.global_name(global)); }

  PickleValue& value(PickleId id) { return pickle_.values_[id]; }

  void push(PickleId id) {
    budget_.charge(kSlotBytes);
    stack_.push_back(id);
  }
  PickleId pop() {
    const size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() <= floor) fault("takes from an empty stack");
    const PickleId id = stack_.back();
    stack_.pop_back();
    return id;
  }
  PickleId top() {
    const PickleId id = pop();
    stack_.push_back(id);
    return id;
  }

  PickleId make(PickleValue made) {
    budget_.charge(sizeof(PickleValue) + kSlotBytes * made.items.size());
    if (pickle_.values_.size() == kNoPickleId) fault("too many values");
    pickle_.values_.push_back(std::move(made));
    return static_cast<PickleId>(pickle_.values_.size() - 1);
  }
  void push_new(PickleValue made) { push(make(std::move(made))); }

  void push_text(uint64_t length) { push_new({.kind = PickleKind::text, .text = cursor_.take(length)}); }
  void push_bytes(uint64_t length) { push_new({.kind = PickleKind::bytes, .text = cursor_.take(length)}); }
  void push_integer(int64_t number) { push_new({.kind = PickleKind::integer, .integer = number}); }
  void push_boolean(bool truth) { push_new({.kind = PickleKind::boolean, .integer = truth}); }

  // Two's complement, the least significant byte first.
  void push_long(uint64_t length) {
    const std::string_view bytes = cursor_.take(length);
    if (length > 8) return push_new({.kind = PickleKind::bytes, .text = bytes});
    uint64_t number = 0;
    for (size_t i = bytes.size(); i-- > 0;) number = number << 8 | static_cast<uint8_t>(bytes[i]);
    const auto unused = static_cast<int>(64 - 8 * length);
    push_integer(length == 0 ? 0 : static_cast<int64_t>(number << unused) >> unused);
  }

  void push_decimal(std::string_view text) {
    if (text == "00" || text == "01") return push_boolean(text == "01");
    if (text.ends_with('L')) text.remove_suffix(1);
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) fault("no integer");
    push_integer(number);
  }

  void push_decimal_fraction(std::string_view text) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) fault("no number");
    push_new({.kind = PickleKind::number, .number = number});
  }

  void push_number() {
    uint64_t bits = 0;
    for (const char byte : cursor_.take(8)) bits = bits << 8 | static_cast<uint8_t>(byte);
    push_new({.kind = PickleKind::number, .number = std::bit_cast<double>(bits)});
  }

  void push_marked(PickleKind kind) {
    PickleValue made{.kind = kind, .items = pop_marked()};
    if (kind == PickleKind::dict && made.items.size() % 2 != 0) fault("a key without a value");
    push_new(std::move(made));
  }

  std::vector<PickleId> pop_marked() {
    if (marks_.empty()) fault("no mark");
    const auto begin = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
    std::vector<PickleId> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }

  std::vector<PickleId> pop_last(size_t count) {
    std::vector<PickleId> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    return items;
  }
  void push_tuple(size_t count) { push_new({.kind = PickleKind::tuple, .items = pop_last(count)}); }

  // Into the list, dict or object on the stack.
  void add_items(const std::vector<PickleId>& items, PickleKind container) {
    const PickleId id = top();
    if (value(id).kind != container && value(id).kind != PickleKind::object) fault("adds items to what takes none");
    if (container == PickleKind::dict && items.size() % 2 != 0) fault("a key without a value");
    budget_.charge(kSlotBytes * items.size());
    value(id).items.insert(value(id).items.end(), items.begin(), items.end());
  }

  void push_global(std::string_view module, PickleId name) {
    const PickleId id = make({.kind = PickleKind::global, .first = name, .text = module});
    const std::string full = pickle_.global_name(id);
    value(id).allowed = is_listed(full, rules_.calls) || is_listed(full, rules_.values);
    push(id);
  }

  void push_line_global() {
    const std::string_view module = cursor_.line();
    push_global(module, make({.kind = PickleKind::text, .text = cursor_.line()}));
  }

  void push_stack_global() {
    const PickleId name = pop();
    const PickleId module = pop();
    if (value(name).kind != PickleKind::text || value(module).kind != PickleKind::text) fault("a name that is no text");
    push_global(value(module).text, name);
  }

  void push_call() {
    const PickleId arguments = pop();
    const PickleId function = pop();
    if (value(function).kind != PickleKind::global) fault("calls what is no name");
    if (!is_listed(pickle_.global_name(function), rules_.calls)) refuse(fmt::format("calls {}", shown(function)));
    if (value(arguments).kind != PickleKind::tuple) fault("arguments that are no tuple");
    push_new({.kind = PickleKind::object, .first = function, .second = arguments});
  }

  // Files of before PyTorch 1.6 wrap the class of a module: ('module', class, source file, source).
  PickleId class_of(PickleId given) {
    if (value(given).kind != PickleKind::persistent) return given;
    const PickleValue& wrapped = value(value(given).first);
    const bool module = wrapped.kind == PickleKind::tuple && wrapped.items.size() > 1;
    return module ? wrapped.items[1] : given;
  }

  void push_object() {
    const PickleId arguments = pop();
    const PickleId type = class_of(pop());
    if (value(type).kind != PickleKind::global) fault("an object of no class");
    value(type).allowed = true;
    push_new({.kind = PickleKind::object, .first = type, .second = arguments});
  }

  void set_state() {
    const PickleId state = pop();
    const PickleId id = top();
    if (value(id).kind != PickleKind::object) fault("state for what has none");
    value(id).state = state;
  }

  void remember(uint64_t key) {
    budget_.charge(kMemoBytes);
    memo_[key] = top();
  }
  void recall(uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) fault("recalls what was not remembered");
    push(found->second);
  }
  uint64_t decimal_key() {
    const std::string_view text = cursor_.line();
    uint64_t key = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), key);
    if (error != std::errc() || end != text.data() + text.size()) fault("no number");
    return key;
  }

  // False at the end.
  bool step(uint8_t opcode) {
    if (opcode == '.') return false;
    const Step run = steps()[opcode];
    if (run == nullptr) fault(fmt::format("opcode 0x{:02x} is not supported", opcode));
    run(*this);
    return true;
  }

  using Self = PickleMachine;
  using Step = void (*)(Self&);
  struct Opcode {
    uint8_t code;
    Step run;
  };

  // By opcode; null for those that are not supported: extensions, buffers elsewhere, texts with escapes of protocol 0.
  static const std::array<Step, 256>& steps() {
    static constexpr Opcode opcodes[] = {
        {'N', [](Self& self) { self.push_new({}); }},
        {0x88, [](Self& self) { self.push_boolean(true); }},
        {0x89, [](Self& self) { self.push_boolean(false); }},
        {'I', [](Self& self) { self.push_decimal(self.cursor_.line()); }},
        {'L', [](Self& self) { self.push_decimal(self.cursor_.line()); }},
        {'K', [](Self& self) { self.push_integer(static_cast<int64_t>(self.cursor_.little(1))); }},
        {'M', [](Self& self) { self.push_integer(static_cast<int64_t>(self.cursor_.little(2))); }},
        {'J', [](Self& self) { self.push_integer(static_cast<int32_t>(self.cursor_.little(4))); }},
        {0x8a, [](Self& self) { self.push_long(self.cursor_.little(1)); }},
        {0x8b, [](Self& self) { self.push_long(self.cursor_.little(4)); }},
        {'F', [](Self& self) { self.push_decimal_fraction(self.cursor_.line()); }},
        {'G', [](Self& self) { self.push_number(); }},
        {0x8c, [](Self& self) { self.push_text(self.cursor_.little(1)); }},
        {'X', [](Self& self) { self.push_text(self.cursor_.little(4)); }},
        {0x8d, [](Self& self) { self.push_text(self.cursor_.little(8)); }},
        {'U', [](Self& self) { self.push_text(self.cursor_.little(1)); }},  // Python 2's str
        {'T', [](Self& self) { self.push_text(self.cursor_.little(4)); }},
        {'C', [](Self& self) { self.push_bytes(self.cursor_.little(1)); }},
        {'B', [](Self& self) { self.push_bytes(self.cursor_.little(4)); }},
        {0x8e, [](Self& self) { self.push_bytes(self.cursor_.little(8)); }},
        {0x96, [](Self& self) { self.push_bytes(self.cursor_.little(8)); }},
        {'(', [](Self& self) { self.mark(); }},
        {')', [](Self& self) { self.push_tuple(0); }},
        {0x85, [](Self& self) { self.push_tuple(1); }},
        {0x86, [](Self& self) { self.push_tuple(2); }},
        {0x87, [](Self& self) { self.push_tuple(3); }},
        {'t', [](Self& self) { self.push_marked(PickleKind::tuple); }},
        {'l', [](Self& self) { self.push_marked(PickleKind::list); }},
        {'d', [](Self& self) { self.push_marked(PickleKind::dict); }},
        {0x91, [](Self& self) { self.push_marked(PickleKind::list); }},  // frozenset
        {']', [](Self& self) { self.push_new({.kind = PickleKind::list}); }},
        {0x8f, [](Self& self) { self.push_new({.kind = PickleKind::list}); }},  // set
        {'}', [](Self& self) { self.push_new({.kind = PickleKind::dict}); }},
        {'a', [](Self& self) { self.add_items(self.pop_last(1), PickleKind::list); }},
        {'s', [](Self& self) { self.add_items(self.pop_last(2), PickleKind::dict); }},
        {'e', [](Self& self) { self.add_items(self.pop_marked(), PickleKind::list); }},
        {0x90, [](Self& self) { self.add_items(self.pop_marked(), PickleKind::list); }},
        {'u', [](Self& self) { self.add_items(self.pop_marked(), PickleKind::dict); }},
        {0x80, [](Self& self) { self.expect_protocol(self.cursor_.little(1)); }},
        {0x95, [](Self& self) { self.cursor_.little(8); }},  // a frame's length
        {'0', [](Self& self) { self.pop_or_unmark(); }},
        {'1', [](Self& self) { self.pop_marked(); }},
        {'2', [](Self& self) { self.push(self.top()); }},
        {'p', [](Self& self) { self.remember(self.decimal_key()); }},
        {'q', [](Self& self) { self.remember(self.cursor_.little(1)); }},
        {'r', [](Self& self) { self.remember(self.cursor_.little(4)); }},
        {0x94, [](Self& self) { self.remember(self.memo_.size()); }},
        {'g', [](Self& self) { self.recall(self.decimal_key()); }},
        {'h', [](Self& self) { self.recall(self.cursor_.little(1)); }},
        {'j', [](Self& self) { self.recall(self.cursor_.little(4)); }},
        {'c', [](Self& self) { self.push_line_global(); }},
        {0x93, [](Self& self) { self.push_stack_global(); }},
        {'R', [](Self& self) { self.push_call(); }},
        {0x81, [](Self& self) { self.push_object(); }},
        {0x92, [](Self& self) { self.pop(), self.push_object(); }},  // with keyword arguments
        {'b', [](Self& self) { self.set_state(); }},
        {'Q', [](Self& self) { self.push_new({.kind = PickleKind::persistent, .first = self.pop()}); }},
    };
    static const std::array<Step, 256> table = [] {
      std::array<Step, 256> by_code = {};
      for (const Opcode& opcode : opcodes) by_code[opcode.code] = opcode.run;
      return by_code;
    }();
    return table;
  }

  void mark() {
    budget_.charge(kSlotBytes);
    marks_.push_back(stack_.size());
  }

  void expect_protocol(uint64_t protocol) {
    if (protocol > 5) fault(fmt::format("protocol {}, at most 5 is known", protocol));
  }

  void pop_or_unmark() {
    if (!marks_.empty() && marks_.back() == stack_.size()) {
      marks_.pop_back();
    } else {
      pop();
    }
  }

  Pickle& pickle_;
  ByteCursor cursor_;
  std::string_view name_;
  const PickleRules& rules_;
  MemoryBudget& budget_;
  std::vector<PickleId> stack_;
  std::vector<size_t> marks_;  // sizes of the stack
  std::unordered_map<uint64_t, PickleId> memo_;
};

Pickle::Pickle(std::span<const std::byte> file, size_t begin, std::string_view name, const PickleRules& rules,
               MemoryBudget& budget) {
  PickleMachine(*this, ByteCursor(file, name, begin), name, rules, budget).run();
}

}  // namespace fovea
