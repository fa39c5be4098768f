// Show, Attend and Tell: an LSTM that looks at a grid of the image before each word.
#pragma once

#include <functional>

#include "fovea/captioning/models/captioner.h"
#include "fovea/modules/attention/recurrent_step.h"
#include "fovea/modules/inference/embedding.h"
#include "fovea/vision/models/model.h"

namespace fovea {

enum class GridScore {
  tanh,  // vᵀ·tanh(W·s + U·h), Bahdanau's and the paper's
  relu,  // vᵀ·relu(W·s + U·h), the sgrvinod tutorial's
};

struct GridDecoderOptions {
  int64_t vocabulary = 0;
  int64_t word_dim = 0;       // width of a word's embedding
  int64_t state_dim = 0;      // of the LSTM
  int64_t attention_dim = 0;  // width that state and places are projected to
  int64_t memory_dim = 0;     // channels of the grid
  GridScore score = GridScore::tanh;
  bool gated = true;         // the context is scaled by β = σ(f_beta(s)) before it enters the cell
  double dropout = 0.5;      // of the state before the scores of the words, in training
  bool deep_output = false;  // the context has its own part in the scores of the words, as in the paper's equation 7
  int64_t places = 0;        // of the grid, where a learned vector a place is added to what the decoder sees; 0: none
};

// Key and query projections of the grid and the state, and v: keys `encoder_att.*`, `decoder_att.*`, `full_att.*`.
class GridAttentionImpl : public Module<GridAttentionImpl> {
 public:
  explicit GridAttentionImpl(const GridDecoderOptions& options);
  void reset() override;

  // hidden [R,state], keys [B,M,a] and memory [B,M,E], where B divides R → the context [R,E]. Its map is [R,1,1,M],
  // recorded only where `record` says so.
  at::Tensor forward(const at::Tensor& hidden, const at::Tensor& keys, const at::Tensor& memory, bool record = true);

  GridDecoderOptions options;
  Linear encoder_att{nullptr}, decoder_att{nullptr}, full_att{nullptr};
};

struct GridDecoderState : CaptionState {
  at::Tensor memory;  // [B,M,E]
  at::Tensor keys;    // [B,M,a], projected once
  RecurrentCellImpl::State cell;
};

// s_0 = init_h(mean of the grid), c_0 likewise; a word: context = attention(s), β·context with the word's embedding
// enters the LSTM, whose state gives the scores of the next word, with deep_output together with the context.
// Keys as in the sgrvinod tutorial: `attention.…`, `embedding.weight`, `decode_step.*`, `init_h.*`, `init_c.*`,
// `f_beta.*`, `fc.*`; and `fc_context.weight` [V,E], `place_embed` [places,E].
// https://github.com/sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning
class GridDecoderImpl : public Module<GridDecoderImpl> {
 public:
  explicit GridDecoderImpl(const GridDecoderOptions& options);
  void reset() override;

  std::unique_ptr<GridDecoderState> start(const at::Tensor& memory);       // [B,M,E]
  at::Tensor step(GridDecoderState& state, const StepInput& input);        // → [R,V]
  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& memory);  // → [B,n,V]
  at::Tensor place_words(const at::Tensor& memory);                        // → [B,M,V], with deep_output

  GridDecoderOptions options;
  std::shared_ptr<GridAttentionImpl> attention;
  Embedding embedding{nullptr};
  std::shared_ptr<RecurrentCellImpl> decode_step;
  Linear init_h{nullptr}, init_c{nullptr}, f_beta{nullptr}, fc{nullptr};  // f_beta null unless gated
  Linear fc_context{nullptr};                                             // null without deep_output
  at::Tensor place_embed;                                                 // undefined without places

 private:
  at::Tensor advance(GridDecoderState& state, const at::Tensor& tokens, bool record);  // [R] → [R,V]
};
FOVEA_MODULE(GridDecoder);

struct ShowAttendTellOptions {
  std::function<std::shared_ptr<ImageModel>()> encoder;  // makes a CNN without classifier
  int64_t grid = 14;  // its feature map is averaged (or spread) to grid × grid places; 0: as it is
  GridDecoderOptions decoder;
};

// Keys `encoder.…`, `decoder.…`.
// Xu et al., Show, Attend and Tell, 2015, https://arxiv.org/abs/1502.03044
class ShowAttendTellImpl : public Module<ShowAttendTellImpl>, public Captioner {
 public:
  explicit ShowAttendTellImpl(const ShowAttendTellOptions& options);
  void reset() override;

  at::Tensor encode(const at::Tensor& x) override;
  std::unique_ptr<CaptionState> start(const at::Tensor& memory) override { return decoder->start(memory); }
  at::Tensor step(CaptionState& state, const StepInput& input) override;
  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& memory) override;
  at::Tensor place_words(const at::Tensor& memory) override { return decoder->place_words(memory); }
  TokenGrid grid(int64_t height, int64_t width) const override;
  std::string map_layers() const override { return R"(decoder\.attention)"; }
  int64_t longest() const override { return 0; }
  torch::nn::Module& module() override { return *this; }

  ShowAttendTellOptions options;
  std::shared_ptr<ImageModel> encoder;
  GridDecoder decoder{nullptr};
};
FOVEA_MODULE(ShowAttendTell);

}  // namespace fovea
