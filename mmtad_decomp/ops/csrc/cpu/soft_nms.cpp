// Soft non-maximum suppression (Bodla et al., ICCV 2017).
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "cpu/nms_engine.h"

namespace mmtad {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

class Linear {
 public:
  Linear(const Bins& bins, double threshold, double min_score)
      : bins_(bins), key_(bins.score), threshold_(threshold), min_score_(min_score) {}

  double* key() { return key_.data(); }

  void apply(TakenSegments taken, const Bin& bin) {
    decay_linearly(taken, {&bins_.start[bin.begin], &bins_.end[bin.begin], bin.count}, threshold_, &key_[bin.begin]);
  }

  int64_t settle(const Bin& bin) {
    const int64_t slot = bin.begin + first_largest(&key_[bin.begin], bin.count);
    return key_[slot] >= min_score_ ? slot : -1;
  }

 private:
  const Bins& bins_;
  std::vector<double> key_;
  double threshold_, min_score_;
};

// A score is the first one times exp(-sum of tiou^2 / sigma). The sums are kept up to date; the
// exponential, which costs more, is taken of those alone that stand on top.
class Gaussian {
 public:
  Gaussian(const Bins& bins, double sigma, double min_score)
      : bins_(bins),
        key_(bins.score),
        sum_(key_.size(), 0.0),
        settled_(key_.size(), 0.0),
        sigma_(sigma),
        min_score_(min_score) {}

  double* key() { return key_.data(); }

  void apply(TakenSegments taken, const Bin& bin) {
    const int64_t b = bin.begin;
    const double inverse = std::min(1 / sigma_, 1e300);  // finite, so that 0 stays 0
    decay_gaussian(taken, {&bins_.start[b], &bins_.end[b], bin.count}, &bins_.score[b], inverse, &sum_[b], &key_[b]);
  }

  int64_t settle(const Bin& bin) {
    while (true) {
      const int64_t slot = bin.begin + first_largest(&key_[bin.begin], bin.count);
      if (!(key_[slot] >= min_score_)) return -1;
      if (settled_[slot] == sum_[slot]) return slot;
      settled_[slot] = sum_[slot];
      key_[slot] = bins_.score[slot] * std::exp(-sum_[slot] / sigma_);
      if (key_[slot] < min_score_) key_[slot] = kNone;
    }
  }

 private:
  const Bins& bins_;
  std::vector<double> key_, sum_, settled_;  // the sum that the key holds
  double sigma_, min_score_;
};

std::tuple<at::Tensor, at::Tensor> soft_nms_1d(
    const at::Tensor& segments, const at::Tensor& scores, const at::Tensor& labels, std::string_view method_name,
    double sigma, double iou_thr, double min_score, int64_t max_out) {
  TORCH_CHECK_VALUE(
      method_name == "gaussian" || method_name == "linear", "method must be 'gaussian' or 'linear', got '", method_name,
      "'");
  TORCH_CHECK_VALUE(sigma > 0, "sigma must be > 0, got ", sigma);
  TORCH_CHECK_VALUE(min_score >= 0, "min_score must be >= 0, got ", min_score);
  const Candidates candidates(segments, scores, labels);
  const Bins bins(candidates, min_score);
  const int64_t limit = limit_of(max_out, candidates.size);
  std::vector<Taken> taken;
  if (method_name == "gaussian") {
    Gaussian method(bins, sigma, min_score);
    taken = suppress_all(bins, method, limit);
  } else {
    Linear method(bins, iou_thr, min_score);
    taken = suppress_all(bins, method, limit);
  }
  at::Tensor decayed = at::empty({static_cast<int64_t>(taken.size())}, at::kDouble);
  std::transform(
      taken.begin(), taken.end(), decayed.mutable_data_ptr<double>(), [](const Taken& t) { return t.score; });
  return {rows_of(taken), decayed};
}

TORCH_LIBRARY_IMPL(mmtad_decomp, CPU, m) { m.impl("soft_nms_1d", soft_nms_1d); }

}  // namespace
}  // namespace mmtad
