// Mixture of experts: a router sends each token to a few of many MLPs.
#pragma once

#include "fovea/modules/patch/mlp.h"

namespace fovea {

struct MixtureOfExpertsOptions {
  int64_t features = 0;  // D
  int64_t hidden = 0;    // width of each expert
  int64_t experts = 0;   // E
  int64_t top_k = 2;     // experts that a token is sent to; 1 is the Switch Transformer
  Activation activation = Activation::gelu;
};

struct MixtureOfExpertsResult {
  at::Tensor output;               // [B,N,D]
  at::Tensor load_balancing_loss;  // [], 1 when all experts get the same share, E when one gets all
  at::Tensor probabilities;        // [B,N,E], of the router
  at::Tensor choice;               // int64 [B,N,top_k], the likeliest first
};

// p = softmax(W_r·x); y = Σ_{e in the top k} g_e·mlp_e(x), where g is p renormalised over the chosen ones, or p itself
// for top_k 1 (so that the router learns). x [B,N,D]. Only the chosen experts compute: N·top_k·2·D·hidden
// multiply-adds, whatever E. The loss is E·Σ_e f_e·P_e, f_e the share of choices that fell on e (no gradient) and P_e
// the mean of p_e. The recorder gets p as [B,1,N,E]: its keys are experts.
//
// Keys `router.weight` [E,D], `experts.0.fc1.weight` …. Throws Error(usage) for numbers that do not go together,
// Error(data) naming the shape of x.
// Shazeer et al., Outrageously Large Neural Networks, 2017, https://arxiv.org/abs/1701.06538
// Fedus et al., Switch Transformers, 2022, https://arxiv.org/abs/2101.03961
class MixtureOfExpertsImpl : public Module<MixtureOfExpertsImpl> {
 public:
  explicit MixtureOfExpertsImpl(const MixtureOfExpertsOptions& options);
  void reset() override;
  MixtureOfExpertsResult forward(const at::Tensor& x);

  class ExpertsImpl : public Module<ExpertsImpl> {
   public:
    explicit ExpertsImpl(const MixtureOfExpertsOptions& options) : options(options) { reset(); }
    void reset() override;

    MixtureOfExpertsOptions options;
    std::vector<Mlp> list;
  };

  MixtureOfExpertsOptions options;
  Linear router = nullptr;
  std::shared_ptr<ExpertsImpl> experts;
};
FOVEA_MODULE(MixtureOfExperts);

}  // namespace fovea
