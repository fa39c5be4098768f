// How a grid of tokens is cut into windows: cyclic shift, padding, partition, and the index tables that follow from it.
// Liu et al., Swin Transformer, 2021, https://arxiv.org/abs/2103.14030
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace fovea {

struct WindowLayout {
  int64_t height = 0;  // tokens of the grid, without padding
  int64_t width = 0;
  int64_t window_height = 0;  // tokens of a window
  int64_t window_width = 0;
  int64_t shift_height = 0;  // tokens by which the grid is rolled up and to the left
  int64_t shift_width = 0;
  bool pad_first = false;  // false: roll, then pad (timm); true: pad, then roll (torchvision)
  bool strided = false;  // a window takes every rows()-th row and every columns()-th column of the whole grid, which it
                         // divides (MaxViT's grid attention); neither shifted nor padded

  int64_t rows() const { return (height + window_height - 1) / window_height; }  // of windows
  int64_t columns() const { return (width + window_width - 1) / window_width; }
  int64_t windows() const { return rows() * columns(); }
  int64_t places() const { return window_height * window_width; }  // of a window, W²
  int64_t padded_height() const { return rows() * window_height; }
  int64_t padded_width() const { return columns() * window_width; }
  bool shifted() const { return shift_height > 0 || shift_width > 0; }
  bool padded() const { return padded_height() > height || padded_width() > width; }

  bool operator==(const WindowLayout&) const = default;
};

// Which token stands at each place of each window: int64 [windows,W²], index in row order of the grid, −1 for padding.
// Windows and their places are in row order.
// Throws Error(data) for a grid or window without tokens.
at::Tensor window_tokens(const WindowLayout& layout);

// What keeps tokens apart that the roll brought into one window from opposite borders: float32 [windows,W²,W²], 0 for
// places of one region of the padded grid and −100 for places of two. Undefined where nothing is shifted.
at::Tensor shift_mask(const WindowLayout& layout);

// The tables of one layout, for windows without any view of the grid.
struct WindowTables {
  WindowLayout layout;
  at::Tensor tokens;   // int64 [windows·W²]: window_tokens, 0 where there is padding
  at::Tensor padding;  // int64 [P]: the places of padding
  at::Tensor places;   // int64 [h·w]: the place of each token
  at::Tensor mask;     // shift_mask, may be undefined
};
WindowTables window_tables(const WindowLayout& layout);

}  // namespace fovea
