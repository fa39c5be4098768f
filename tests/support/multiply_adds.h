// Counts the multiply-adds of the convolutions and matrix products that a piece of code runs in this thread.
#pragma once

#include <ATen/record_function.h>

#include <algorithm>
#include <string_view>

namespace fovea::testing {

// While one lives, it counts; one inside another counts for both.
class MultiplyAdds {
 public:
  MultiplyAdds() : outer_(current()) {
    current() = this;
    if (outer_ == nullptr) {
      handle_ = at::addThreadLocalCallback(
          at::RecordFunctionCallback(begin).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
    }
  }
  ~MultiplyAdds() {
    if (outer_ == nullptr) at::removeCallback(handle_);
    current() = outer_;
  }
  MultiplyAdds(const MultiplyAdds&) = delete;
  MultiplyAdds& operator=(const MultiplyAdds&) = delete;

  int64_t count() const { return count_; }

 private:
  static MultiplyAdds*& current() {
    thread_local MultiplyAdds* instance = nullptr;
    return instance;
  }

  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
    const std::string_view name = function.name();
    const auto inputs = function.inputs();
    const auto add = [](int64_t count) {
      for (MultiplyAdds* one = current(); one != nullptr; one = one->outer_) one->count_ += count;
    };
    const auto product = [&](size_t first) {
      const auto a = inputs[first].toTensor(), b = inputs[first + 1].toTensor();
      add(a.numel() * (b.dim() > 1 ? b.size(-1) : 1));
    };
    if (name == "aten::mm" || name == "aten::bmm" || name == "aten::mv" || name == "aten::dot") product(0);
    if (name == "aten::addmm" || name == "aten::baddbmm" || name == "aten::addmv") product(1);
    if (name == "aten::convolution") {  // input, weight, bias, stride, padding, dilation
      const auto x = inputs[0].toTensor(), weight = inputs[1].toTensor();
      int64_t places = x.size(0);
      for (int64_t side = 0; side < x.dim() - 2; ++side) {
        const auto number = [&](size_t input) {  // one for all sides, or one a side
          const auto numbers = inputs[input].toIntVector();
          return numbers[std::min<size_t>(side, numbers.size() - 1)];
        };
        const int64_t reach = number(5) * (weight.size(side + 2) - 1) + 1;
        places *= (x.size(side + 2) + 2 * number(4) - reach) / number(3) + 1;
      }
      add(places * weight.numel());
    }
    if (name == "aten::_scaled_dot_product_flash_attention_for_cpu") {
      const auto q = inputs[0].toTensor(), k = inputs[1].toTensor(), v = inputs[2].toTensor();
      add(q.numel() * k.size(-2) + q.numel() / q.size(-1) * v.size(-2) * v.size(-1));
    }
    return nullptr;
  }

  MultiplyAdds* outer_;
  at::CallbackHandle handle_ = 0;
  int64_t count_ = 0;
};

}  // namespace fovea::testing
