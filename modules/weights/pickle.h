// Python's pickle format read as data: nothing is imported, called or run, whatever the file says. A call or an object
// of a class becomes a value that names it, with its arguments and state.
// Opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py, protocols 0 to 5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/modules/weights/memory_budget.h"

namespace fovea {

enum class PickleKind {
  none,
  boolean,     // integer
  integer,     // integer; those beyond 64 bits are `bytes`
  number,      // number
  text,        // text, UTF-8 unless the file lies
  bytes,       // text
  tuple,       // items
  list,        // items; sets too
  dict,        // items: key, value, key, value
  global,      // text: the module, first: its name, a text
  persistent,  // first: what stands for something outside the pickle
  object,      // first: the function called or the class, second: its arguments; state; items: added afterwards
};

using PickleId = uint32_t;  // of a value in its Pickle
inline constexpr PickleId kNoPickleId = ~PickleId{0};

struct PickleValue {
  PickleKind kind = PickleKind::none;
  bool allowed = false;  // of a global: it may stand where it stands
  PickleId first = kNoPickleId;
  PickleId second = kNoPickleId;
  PickleId state = kNoPickleId;
  int64_t integer = 0;
  double number = 0;
  std::string_view text = {};  // in the file
  std::vector<PickleId> items = {};
};

// Names as "module.name"; one that ends with a dot stands for all that begin with it.
struct PickleRules {
  std::span<const std::string_view> calls;   // functions and classes that may be called, as data
  std::span<const std::string_view> values;  // names that may stand alone, as values
};

// The values of one pickle. They may share parts and contain each other in a circle: whoever walks them counts steps.
class Pickle {
 public:
  // Reads from byte `begin` of the file to the pickle's end. `file` outlives the pickle; `name` stands in messages. Any
  // class may be that of an object; every other name must be in `rules`. Throws Error(data), naming what is refused
  // ("FILE: pickle: calls os.system, which is refused"), and Error(resource) when the budget is spent.
  Pickle(std::span<const std::byte> file, size_t begin, std::string_view name, const PickleRules& rules,
         MemoryBudget& budget);

  PickleId root() const { return root_; }
  size_t end() const { return end_; }             // the byte behind it
  size_t size() const { return values_.size(); }  // ids are below it
  const PickleValue& operator[](PickleId id) const { return values_[id]; }

  std::string global_name(PickleId id) const;  // "torch.FloatStorage"; empty where it is no global

 private:
  friend class PickleMachine;

  std::deque<PickleValue> values_;  // grows without a second copy
  PickleId root_ = kNoPickleId;
  size_t end_ = 0;
};

}  // namespace fovea
