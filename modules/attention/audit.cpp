#include "fovea/modules/attention/audit.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

constexpr int64_t kMostCuts = 32;  // places from which on tokens are changed

// One operator that read a parameter: what else went in, and what came out.
struct Reading {
  std::string layer;
  std::vector<at::Tensor> inputs;
  at::Tensor output;
};

// Of one run, in order. Operators inside operators are passed over.
struct Watch {
  std::unordered_map<const void*, std::string> layers;  // by the storage of their parameters
  std::vector<Reading> readings;
  bool inside = false;
};

Watch*& current_watch() {
  thread_local Watch* watch = nullptr;
  return watch;
}

struct OpenReading : at::ObserverContext {};

std::unique_ptr<at::ObserverContext> begin_operator(const at::RecordFunction& function) {
  Watch& watch = *current_watch();
  if (watch.inside) return nullptr;
  const at::RecordFunctionGuard off(/*is_enabled=*/false);  // what is done here is no operator of the model
  Reading reading;
  bool reads = false;
  for (const c10::IValue& input : function.inputs()) {
    if (!input.isTensor() || !input.toTensor().defined() || !input.toTensor().has_storage()) continue;
    const at::Tensor& tensor = input.toTensor();
    const auto found = watch.layers.find(tensor.storage().data());
    if (found == watch.layers.end()) {
      reading.inputs.push_back(tensor.detach());
    } else if (!reads) {
      reads = true;
      reading.layer = found->second;
    }
  }
  if (!reads) return nullptr;
  watch.inside = true;
  for (at::Tensor& tensor : reading.inputs) tensor = tensor.clone();
  watch.readings.push_back(std::move(reading));
  return std::make_unique<OpenReading>();
}

void end_operator(const at::RecordFunction& function, at::ObserverContext* context) {
  if (context == nullptr) return;
  Watch& watch = *current_watch();
  watch.inside = false;
  const at::RecordFunctionGuard off(/*is_enabled=*/false);
  for (const c10::IValue& output : function.outputs()) {
    if (!output.isTensor() || !output.toTensor().defined()) continue;
    watch.readings.back().output = output.toTensor().detach().clone();
    return;
  }
}

class WatchScope {
 public:
  explicit WatchScope(Watch& watch) {
    current_watch() = &watch;
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(begin_operator, end_operator)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
  }
  ~WatchScope() {
    at::removeCallback(handle_);
    current_watch() = nullptr;
  }
  WatchScope(const WatchScope&) = delete;
  WatchScope& operator=(const WatchScope&) = delete;

 private:
  at::CallbackHandle handle_;
};

std::unordered_map<const void*, std::string> layers_of(const torch::nn::Module& model) {
  std::unordered_map<const void*, std::string> layers;
  for (const auto& item : model.named_parameters()) {
    const size_t dot = item.key().rfind('.');
    layers.emplace(item.value().storage().data(), dot == std::string::npos ? "" : item.key().substr(0, dot));
  }
  return layers;
}

// What a position noticed.
struct Notice {
  int64_t position = 0;
  double change = 0;
};

// Positions of `protected_places` [B,N] at which two tensors of one shape differ: the first of them.
std::optional<Notice> compare(const at::Tensor& a, const at::Tensor& b, const at::Tensor& protected_places,
                              double tolerance) {
  const int64_t batch = protected_places.size(0), tokens = protected_places.size(1);
  if (!a.defined() || !b.defined() || a.sizes() != b.sizes() || a.numel() == 0) return std::nullopt;
  const auto sizes = a.sizes();
  if (std::count(sizes.begin(), sizes.end(), tokens) != 1) return std::nullopt;
  const int64_t dim = std::find(sizes.begin(), sizes.end(), tokens) - sizes.begin();
  const auto x = a.to(at::kDouble), y = b.to(at::kDouble);
  const double scale = std::max(at::nan_to_num(x, 0, 0, 0).abs().max().item<double>(), 1e-30);
  auto difference = at::where(x.eq(y).logical_or(x.isnan().logical_and(y.isnan())), at::zeros_like(x), (x - y).abs());
  difference = at::nan_to_num(difference, scale, scale, scale) / scale;
  at::Tensor places;  // [B,N] or [1,N]
  if (dim > 0 && a.size(0) == batch) {
    places = a.dim() == 2 ? difference : difference.movedim(dim, 1).flatten(2).amax(2);
  } else {
    places = difference.movedim(dim, 0).flatten(1).amax(1).unsqueeze(0);
  }
  // Items apart only where the tensor tells them apart; else what is protected in all of them.
  const auto kept = places.size(0) == batch ? protected_places : protected_places.all(0, /*keepdim=*/true);
  const auto found = places.masked_fill(~kept, 0).amax(0);  // [N]
  const auto noticed = found.gt(tolerance).nonzero().flatten();
  if (noticed.numel() == 0) return std::nullopt;
  const auto first = noticed[0].item<int64_t>();
  return Notice{first, found[first].item<double>()};
}

std::string common_path(const std::string& a, const std::string& b) {
  size_t end = 0;
  for (size_t i = 0; i <= std::min(a.size(), b.size()); ++i) {
    const bool a_ends = i == a.size() || a[i] == '.', b_ends = i == b.size() || b[i] == '.';
    if (a_ends && b_ends) end = i;
    if (i == a.size() || i == b.size() || a[i] != b[i]) break;
  }
  return a.substr(0, end);
}

class Audit {
 public:
  Audit(const torch::nn::Module& model, const std::function<at::Tensor(const at::Tensor&)>& forward,
        const at::Tensor& tokens, const AuditOptions& options)
      : layers_(layers_of(model)), forward_(forward), tokens_(tokens), options_(options) {
    generator_ = at::detail::createCPUGenerator(options.seed);
    plain_ = watched(tokens);
    const auto everywhere = at::ones({tokens.size(0), tokens.size(1)}, at::kBool);
    require(!first_leak(plain_, watched(tokens), everywhere), ErrorKind::usage,
            "audit_masks: the model answers differently to the same tokens; call eval()");
  }

  // Changes the tokens where `changed` [B,N] holds; nobody else may notice where `kept` holds.
  void run(const char* what, const at::Tensor& changed, const at::Tensor& kept) {
    auto leak = first_leak(plain_, watched(with_others(changed)), kept);
    if (!leak) return;
    leak->what = what;
    leak->changed = changed.any(0).nonzero()[0].item<int64_t>();
    for (const MaskLeak& known : leaks) {
      if (known.what == leak->what && known.layer == leak->layer && known.before == leak->before) return;
    }
    leaks.push_back(std::move(*leak));
  }

  std::vector<MaskLeak> leaks;

 private:
  std::vector<Reading> watched(const at::Tensor& tokens) const {
    Watch watch{.layers = layers_};
    const at::AutoGradMode graph(true);  // packed weights, which are no parameters, are used without one alone
    at::Tensor output;
    {
      const WatchScope scope(watch);
      output = forward_(tokens);
    }
    watch.readings.push_back({.layer = "", .inputs = {output.detach().cpu()}, .output = {}});
    return std::move(watch.readings);
  }

  at::Tensor with_others(const at::Tensor& changed) const {
    const auto where = changed.to(tokens_.device());
    if (!tokens_.is_floating_point()) {
      const int64_t largest = tokens_.max().item<int64_t>() + 1;
      const int64_t ids = std::max<int64_t>(2, options_.vocabulary > 0 ? options_.vocabulary : largest);
      const auto step = at::randint(1, ids, tokens_.sizes(), generator_, tokens_.options().device(at::kCPU));
      return at::where(where, (tokens_ + step.to(tokens_.device())).remainder(ids), tokens_);
    }
    const auto noise = at::randn(tokens_.sizes(), generator_, at::TensorOptions(at::kDouble)).to(tokens_.options());
    const auto spread = tokens_.detach().to(at::kDouble).std().item<double>();
    auto wide = where;
    while (wide.dim() < tokens_.dim()) wide = wide.unsqueeze(-1);
    return at::where(wide, tokens_ + 10 * std::max(spread, 1e-3) * noise, tokens_);
  }

  std::optional<MaskLeak> first_leak(const std::vector<Reading>& a, const std::vector<Reading>& b,
                                     const at::Tensor& kept) const {
    require(a.size() == b.size(), ErrorKind::data, "audit_masks: the model ran {} and {} layers on the same tokens",
            a.size(), b.size());
    std::string behind;
    for (size_t i = 0; i < a.size(); ++i) {
      const bool last = i + 1 == a.size();
      const std::string before = last ? "the output" : a[i].layer;
      for (size_t k = 0; k < std::min(a[i].inputs.size(), b[i].inputs.size()); ++k) {
        const auto notice = compare(a[i].inputs[k], b[i].inputs[k], kept, options_.tolerance);
        if (!notice) continue;
        return MaskLeak{.layer = common_path(behind, last ? "" : a[i].layer),
                        .behind = behind,
                        .before = before,
                        .noticed = notice->position,
                        .change = notice->change};
      }
      if (const auto notice = compare(a[i].output, b[i].output, kept, options_.tolerance)) {
        return MaskLeak{.layer = a[i].layer,
                        .behind = behind,
                        .before = before,
                        .noticed = notice->position,
                        .change = notice->change};
      }
      behind = a[i].layer;
    }
    return std::nullopt;
  }

  std::unordered_map<const void*, std::string> layers_;
  const std::function<at::Tensor(const at::Tensor&)>& forward_;
  const at::Tensor& tokens_;
  const AuditOptions& options_;
  mutable at::Generator generator_;
  std::vector<Reading> plain_;
};

}  // namespace

std::vector<MaskLeak> audit_masks(const torch::nn::Module& model,
                                  const std::function<at::Tensor(const at::Tensor&)>& forward, const at::Tensor& tokens,
                                  const AuditOptions& options) {
  require(options.causal || options.lengths.defined(), ErrorKind::usage,
          "audit_masks: nothing to audit, neither causal nor lengths");
  require(tokens.defined() && tokens.dim() >= 2 && tokens.size(0) > 0 && tokens.size(1) > 1, ErrorKind::usage,
          "audit_masks: expected tokens [B,N] or [B,N,…] with N of 2 or more, got {}", shape_text(tokens));
  const int64_t batch = tokens.size(0), count = tokens.size(1);
  const auto places = at::arange(count, at::kLong).unsqueeze(0);  // [1,N]
  at::Tensor lengths;
  if (options.lengths.defined()) {
    lengths = options.lengths.to(at::kCPU);
    require(lengths.dim() == 1 && lengths.size(0) == batch && lengths.scalar_type() == at::kLong &&
                lengths.ge(0).logical_and(lengths.le(count)).all().item<bool>(),
            ErrorKind::data, "audit_masks: expected int64 lengths [{}] of 0…{}, got {}", batch, count,
            shape_text(options.lengths));
  }

  Audit audit(model, forward, tokens, options);
  const int64_t cuts = options.causal ? std::min(kMostCuts, count - 1) : 0;
  for (int64_t i = 0; i < cuts; ++i) {
    const int64_t cut = 1 + i * (count - 1) / cuts;
    const auto changed = places.ge(cut).expand({batch, count});
    audit.run("future", changed, ~changed);
  }
  if (lengths.defined()) {
    const auto changed = places.ge(lengths.unsqueeze(1));
    if (changed.any().item<bool>()) audit.run("padding", changed, ~changed);
  }
  return std::move(audit.leaks);
}

}  // namespace fovea
