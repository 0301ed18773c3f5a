// The candidates of a video as the segment operators read them, and the numbers of their labels.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <vector>

#include "cpu/nms_kernels.h"

namespace mmtad {

// Checked, contiguous and in float64 (which holds every float32 exactly).
struct Candidates {
  at::Tensor segments_tensor;
  const double* segments;  // start, end, start, ...
  const double* scores;
  const int64_t* labels;
  int64_t size;

  Candidates(const at::Tensor& segments_, const at::Tensor& scores_, const at::Tensor& labels_) {
    TORCH_CHECK_VALUE(
        segments_.dim() == 2 && segments_.size(1) == 2 && scores_.dim() == 1 && labels_.dim() == 1,
        "segments must have shape (N, 2), scores and labels (N,), got ", segments_.sizes(), ", ", scores_.sizes(),
        " and ", labels_.sizes());
    TORCH_CHECK_VALUE(
        segments_.size(0) == scores_.size(0) && scores_.size(0) == labels_.size(0),
        "segments, scores and labels must have one row per candidate, got ", segments_.size(0), ", ", scores_.size(0),
        " and ", labels_.size(0));
    TORCH_CHECK_VALUE(labels_.scalar_type() == at::kLong, "labels must be int64, got ", labels_.scalar_type());
    TORCH_CHECK_VALUE(size_fits(scores_.size(0)), "too many candidates: ", scores_.size(0));
    segments_tensor = segments_.to(at::kDouble).contiguous();
    scores_tensor_ = scores_.to(at::kDouble).contiguous();
    labels_tensor_ = labels_.contiguous();
    segments = segments_tensor.const_data_ptr<double>();
    scores = scores_tensor_.const_data_ptr<double>();
    labels = labels_tensor_.const_data_ptr<int64_t>();
    size = scores_.size(0);
    TORCH_CHECK_VALUE(
        all_finite(segments, 2 * size) && all_finite(scores, size),
        "segments and scores must be finite, got NaN or infinity");
  }

  double start(int64_t row) const { return segments[2 * row]; }
  double end(int64_t row) const { return segments[2 * row + 1]; }

 private:
  // Slots are counted in 32 bits, with room to pad them.
  static bool size_fits(int64_t size) { return size < (int64_t{1} << 30); }

  at::Tensor scores_tensor_, labels_tensor_;
};

// Numbers labels from 0: by their distance to the lowest where that wastes little, else by rank.
class LabelNumbers {
 public:
  LabelNumbers(const int64_t* labels, int64_t count) {
    if (count == 0) return;
    const auto [low, high] = std::minmax_element(labels, labels + count);
    low_ = *low;
    const uint64_t range = static_cast<uint64_t>(*high) - static_cast<uint64_t>(low_);
    if (range < 4 * static_cast<uint64_t>(count) + 256) {
      size_ = static_cast<int64_t>(range) + 1;
      return;
    }
    sorted_.assign(labels, labels + count);
    std::sort(sorted_.begin(), sorted_.end());
    sorted_.erase(std::unique(sorted_.begin(), sorted_.end()), sorted_.end());
    size_ = static_cast<int64_t>(sorted_.size());
  }

  int64_t size() const { return size_; }

  // -1 for a label that no candidate has.
  int64_t operator()(int64_t label) const {
    if (sorted_.empty()) {
      const uint64_t number = static_cast<uint64_t>(label) - static_cast<uint64_t>(low_);
      return number < static_cast<uint64_t>(size_) ? static_cast<int64_t>(number) : -1;
    }
    const auto found = std::lower_bound(sorted_.begin(), sorted_.end(), label);
    return found != sorted_.end() && *found == label ? found - sorted_.begin() : -1;
  }

 private:
  int64_t low_ = 0, size_ = 0;
  std::vector<int64_t> sorted_;
};

}  // namespace mmtad
