// Hard non-maximum suppression.
#include <torch/library.h>

#include <limits>

#include "cpu/nms_engine.h"

namespace mmtad {
namespace {

// Scores stay, or go altogether.
class Hard {
 public:
  Hard(const Bins& bins, double threshold) : bins_(bins), key_(bins.score), threshold_(threshold) {}

  double* key() { return key_.data(); }

  void apply(TakenSegments taken, const Bin& bin) {
    suppress(taken, {&bins_.start[bin.begin], &bins_.end[bin.begin], bin.count}, threshold_, &key_[bin.begin]);
  }

  int64_t settle(const Bin& bin) {
    const int64_t slot = bin.begin + first_largest(&key_[bin.begin], bin.count);
    return key_[slot] == -std::numeric_limits<double>::infinity() ? -1 : slot;
  }

 private:
  const Bins& bins_;
  std::vector<double> key_;
  double threshold_;
};

at::Tensor nms_1d(
    const at::Tensor& segments, const at::Tensor& scores, const at::Tensor& labels, double iou_thr, int64_t max_out) {
  TORCH_CHECK_VALUE(iou_thr > 0, "iou_thr must be > 0, got ", iou_thr);
  const Candidates candidates(segments, scores, labels);
  const Bins bins(candidates, -std::numeric_limits<double>::infinity());
  Hard method(bins, iou_thr);
  return rows_of(suppress_all(bins, method, limit_of(max_out, candidates.size)));
}

TORCH_LIBRARY_IMPL(mmtad_decomp, CPU, m) { m.impl("nms_1d", nms_1d); }

}  // namespace
}  // namespace mmtad
