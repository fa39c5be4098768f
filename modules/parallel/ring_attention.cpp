#include "fovea/modules/parallel/ring_attention.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <functional>
#include <limits>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/part.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/parallel/exchange.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What the processes tell each other before they begin.
enum Told { sound, batch, heads, key_heads, width, value_width, type, causal, masked, differentiated, queries, keys };
constexpr std::array told_names = {"",
                                   "batch",
                                   "heads",
                                   "key heads",
                                   "head width",
                                   "value width",
                                   "number type",
                                   "causal",
                                   "key_mask",
                                   "whether gradients are wanted"};
constexpr int64_t told_count = keys + 1;

// Blocks of keys and values on their way.
class Ring {
 public:
  explicit Ring(const ProcessGroup& group) : group_(group), rank_(group->getRank()), size_(group->getSize()) {}

  int64_t rank() const { return rank_; }
  int64_t size() const { return size_; }
  std::string who() const { return fmt::format("ring_attention: process {} of {}", rank_, size_); }

  // [size, told_count] of all processes.
  at::Tensor tell_all(const at::Tensor& mine) const {
    return exchanging(who(), [&] {
      std::vector<std::vector<at::Tensor>> all(1);
      for (int64_t i = 0; i < size_; ++i) all[0].push_back(at::empty_like(mine));
      std::vector<at::Tensor> input = {mine};
      group_->allgather(all, input)->wait();
      return at::stack(all[0]);
    });
  }

  // A tensor that leaves for the next process while the one before sends its own.
  class Passing {
   public:
    Passing(const Ring& ring, const at::Tensor& leaving, at::IntArrayRef arriving, int tag)
        : ring_(ring), leaving_(leaving.contiguous()), arriving_(at::empty(arriving, leaving.options())) {
      exchanging(ring.who(), [&] {
        const auto next = static_cast<int>((ring.rank_ + 1) % ring.size_);
        const auto before = static_cast<int>(ring_owner(ring.rank_, 1, ring.size_));
        std::vector<at::Tensor> in = {arriving_}, out = {leaving_};
        if (arriving_.numel() > 0) works_.push_back(ring.group_->recv(in, before, tag));
        if (leaving_.numel() > 0) works_.push_back(ring.group_->send(out, next, tag));
      });
    }
    at::Tensor wait() {
      exchanging(ring_.who(), [&] {
        for (const auto& work : works_) work->wait();
      });
      return arriving_;
    }

   private:
    const Ring& ring_;
    at::Tensor leaving_, arriving_;
    std::vector<c10::intrusive_ptr<c10d::Work>> works_;
  };

 private:
  ProcessGroup group_;
  int64_t rank_, size_;
};

struct Block {
  at::Tensor keys_values;  // [B,K,m,d+e]
  at::Tensor mask;         // bytes [B,m], or undefined
};

// A call as all processes agreed on it.
struct RingCall : torch::CustomClassHolder {
  explicit RingCall(const ProcessGroup& group) : ring(group) {}

  Ring ring;
  std::vector<int64_t> lengths;  // keys of each process
  int64_t width = 0;             // d
  double scale = 1;
  bool causal = false;
  const torch::nn::Module* module = nullptr;

  bool sees(int64_t owner) const { return lengths[owner] > 0 && (!causal || owner <= ring.rank()); }

  AttentionProblem problem(const at::Tensor& q, const Block& block, int64_t owner) const {
    const auto& kv = block.keys_values;
    AttentionProblem p{.q = q, .k = kv.narrow(3, 0, width), .v = kv.narrow(3, width, kv.size(3) - width)};
    if (block.mask.defined()) p.mask = block.mask.to(at::kBool).view({kv.size(0), 1, 1, kv.size(2)});
    p.scale = scale;
    p.causal = causal && owner == ring.rank();
    return p;
  }

  // use(block, owner) for the block of every process, as it comes by.
  template <typename Use>
  void for_each_block(const Block& own, Use use) const {
    Block block = own;
    for (int64_t round = 0; round < ring.size(); ++round) {
      const int64_t owner = ring_owner(ring.rank(), round, ring.size());
      std::optional<Ring::Passing> values, mask;
      if (round + 1 < ring.size()) {
        const int64_t next = ring_owner(ring.rank(), round + 1, ring.size());
        values.emplace(ring, block.keys_values, shape_of(block.keys_values, next), 0);
        if (block.mask.defined())
          mask.emplace(ring, block.mask, at::IntArrayRef({block.mask.size(0), lengths[next]}), 1);
      }
      use(block, owner);
      if (values) block.keys_values = values->wait();
      if (mask) block.mask = mask->wait();
    }
  }

  // Of a tensor like this one for the keys of another process.
  std::vector<int64_t> shape_of(const at::Tensor& like, int64_t owner) const {
    return {like.size(0), like.size(1), lengths[owner], like.size(3)};
  }
};

// The rows of this process against the keys of one block, to be rescaled when the sum over all is known.
struct RecordedPart {
  at::Tensor weights;  // [B,H,n,m]
  at::Tensor log_sum;  // [B,H,n]
};

// Weights over the keys of all processes in their order.
void record_ring(const RingCall& call, const AttentionProblem& own, const std::vector<RecordedPart>& parts,
                 const at::Tensor& log_sum) {
  const auto rows = recording::queries();
  std::vector<at::Tensor> weights;
  for (size_t owner = 0; owner < parts.size(); ++owner) {
    const RecordedPart& part = parts[owner];
    if (!part.weights.defined()) {
      const int64_t n = rows.empty() ? own.q.size(2) : static_cast<int64_t>(rows.size());
      weights.push_back(at::zeros({own.q.size(0), own.q.size(1), n, call.lengths[owner]}, log_sum.options()));
      continue;
    }
    const auto no_keys = log_sum.eq(-std::numeric_limits<double>::infinity());
    auto share = at::exp(part.log_sum - log_sum.masked_fill(no_keys, 0)).unsqueeze(-1);
    if (!rows.empty()) share = share.index_select(2, at::tensor(rows, share.options().dtype(at::kLong)));
    weights.push_back(part.weights * share);
  }
  recording::add(call.module, MapKind::tokens, at::cat(weights, 3), rows);
}

AttentionPart attend_ring(const RingCall& call, const at::Tensor& q, const Block& own) {
  const bool recording = recording::wanted(call.module);
  std::vector<RecordedPart> recorded(recording ? call.lengths.size() : 0);
  const AttentionProblem mine = call.problem(q, own, call.ring.rank());
  AttentionPart whole = empty_part(mine);
  call.for_each_block(own, [&](const Block& block, int64_t owner) {
    if (!call.sees(owner) || q.size(2) == 0) return;
    const AttentionProblem problem = call.problem(q, block, owner);
    const AttentionPart part = attention_part(problem);
    whole = joined(whole, part);
    if (recording) {
      recorded[owner] = {attention_weights(select_queries(problem, recording::queries())), part.log_sum};
    }
  });
  if (recording) record_ring(call, mine, recorded, whole.log_sum);
  return whole;
}

struct RingFunction : torch::autograd::Function<RingFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& keys_values,
                            const std::optional<at::Tensor>& mask, const c10::intrusive_ptr<RingCall>& call) {
    const Block own{keys_values, mask.value_or(at::Tensor())};
    const AttentionPart whole = attend_ring(*call, q, own);
    context->save_for_backward({q, keys_values, own.mask, whole.output, whole.log_sum});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    return whole.output.to(q.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    require(!at::GradMode::is_enabled(), ErrorKind::usage, "ring_attention: there are no gradients of gradients");
    const auto call = c10::static_intrusive_pointer_cast<RingCall>(context->saved_data["call"].toCapsule());
    const auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &keys_values = saved[1];
    const AttentionPart whole{saved[3], saved[4]};
    auto grad_q = at::zeros(q.sizes(), whole.output.options());
    auto travelling = at::zeros(keys_values.sizes(), whole.output.options());  // of the block that is here
    call->for_each_block({keys_values, saved[2]}, [&](const Block& block, int64_t owner) {
      if (call->sees(owner) && q.size(2) > 0) {
        const auto found = attention_part_gradients(call->problem(q, block, owner), whole, grads[0]);
        grad_q += found.q;
        travelling.narrow(3, 0, call->width).add_(found.k);
        travelling.narrow(3, call->width, travelling.size(3) - call->width).add_(found.v);
      }
      if (call->ring.size() == 1) return;
      // After the last round too: the gradients of the next process's keys go home.
      const int64_t before = ring_owner(owner, 1, call->ring.size());
      travelling = Ring::Passing(call->ring, travelling, call->shape_of(travelling, before), 2).wait();
    });
    return {grad_q.to(q.scalar_type()), travelling.to(keys_values.scalar_type()), at::Tensor(), at::Tensor()};
  }
};

// Throws what is wrong with this process's own arguments.
AttentionProblem checked_share(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               const RingAttentionArgs& args) {
  const AttentionProblem problem = validate(q, k, v, {.scale = args.scale});
  if (args.key_mask.defined()) {
    require(args.key_mask.scalar_type() == at::kBool && args.key_mask.dim() == 2 &&
                args.key_mask.size(0) == k.size(0) && args.key_mask.size(1) == k.size(2),
            ErrorKind::data, "ring_attention: expected key_mask bool [{},{}], got {} {}", k.size(0), k.size(2),
            toString(args.key_mask.scalar_type()), shape_text(args.key_mask));
  }
  require(!args.causal || q.size(2) == k.size(2), ErrorKind::data,
          "ring_attention: causal with {} queries and {} keys in one process", q.size(2), k.size(2));
  require(!recording::gradients(args.module) && !recording::differentiable(args.module), ErrorKind::usage,
          "ring_attention: maps are recorded without gradients");
  return problem;
}

// What this process tells of its share.
std::vector<int64_t> told_of(const AttentionProblem& p, const RingAttentionArgs& args) {
  std::vector<int64_t> told(told_count);
  told[sound] = 1;
  told[batch] = p.q.size(0);
  told[heads] = p.q.size(1);
  told[key_heads] = p.k.size(1);
  told[width] = p.q.size(3);
  told[value_width] = p.v.size(3);
  told[type] = static_cast<int64_t>(p.q.scalar_type());
  told[causal] = args.causal;
  told[masked] = args.key_mask.defined();
  told[differentiated] = differentiates({p.q, p.k, p.v});
  told[queries] = p.q.size(2);
  told[keys] = p.k.size(2);
  return told;
}

struct Agreed {
  c10::intrusive_ptr<RingCall> call;
  AttentionProblem own;
};

// The call that all processes make, each with its `share`. Every process throws where one cannot take part.
Agreed agree(const ProcessGroup& group, const RingAttentionArgs& args, const std::function<AttentionProblem()>& share) {
  auto call = c10::make_intrusive<RingCall>(group);
  AttentionProblem own;
  std::optional<Error> fault;
  std::vector<int64_t> told(told_count, 0);
  auto place = at::TensorOptions(at::kLong);
  try {
    own = share();
    told = told_of(own, args);
    place = place.device(own.q.device());
  } catch (const Error& error) {
    fault = error;
  }
  const at::Tensor all = call->ring.tell_all(at::tensor(told, place)).cpu();
  if (fault) throw *fault;
  const auto said = all.accessor<int64_t, 2>();
  for (int64_t process = 0; process < call->ring.size(); ++process) {
    require(said[process][sound] == 1, ErrorKind::data, "{}: the arguments of process {} are wrong", call->ring.who(),
            process);
    for (size_t i = 1; i < told_names.size(); ++i) {
      require(said[process][i] == told[i], ErrorKind::data, "{}: {} is {} here and {} in process {}", call->ring.who(),
              told_names[i], told[i], said[process][i], process);
    }
    call->lengths.push_back(said[process][keys]);
  }
  call->width = own.q.size(3);
  call->scale = own.scale;
  call->causal = args.causal;
  call->module = args.module;
  return {call, own};
}

}  // namespace

at::Tensor ring_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const ProcessGroup& group,
                          const RingAttentionArgs& args) {
  require(group != nullptr, ErrorKind::usage, "ring_attention: no group of processes");
  const auto [call, own] = agree(group, args, [&] { return checked_share(q, k, v, args); });
  const auto keys_values = at::cat({own.k, own.v}, -1);
  std::optional<at::Tensor> mask;
  if (args.key_mask.defined()) mask = args.key_mask.to(at::kByte);
  if (differentiates({own.q, own.k, own.v})) return RingFunction::apply(own.q, keys_values, mask, call);
  return attend_ring(*call, own.q, {keys_values, mask.value_or(at::Tensor())}).output.to(own.q.scalar_type());
}

}  // namespace fovea
