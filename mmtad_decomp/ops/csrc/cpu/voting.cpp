// Box voting on segments.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <vector>

#include "cpu/nms_candidates.h"
#include "cpu/nms_kernels.h"

namespace mmtad {
namespace {

// Candidates by label, each label padded to whole blocks with segments [0, 0], which have no vote.
struct Voters {
  std::vector<int64_t> begin;  // by number of the label, and the end of the last
  std::vector<double> start, end, score;

  Voters(const Candidates& candidates, const LabelNumbers& number) : begin(number.size() + 1, 0) {
    const int64_t* label = candidates.labels;
    const double* scores = candidates.scores;
    for (int64_t i = 0; i < candidates.size; ++i) ++begin[number(label[i]) + 1];
    for (size_t n = 1; n < begin.size(); ++n) begin[n] = begin[n - 1] + padded(begin[n]);
    start.resize(begin.back());
    end.resize(begin.back());
    score.resize(begin.back());
    std::vector<int64_t> next(begin);
    for (int64_t i = 0; i < candidates.size; ++i) {
      const int64_t slot = next[number(label[i])]++;
      start[slot] = candidates.start(i);
      end[slot] = candidates.end(i);
      score[slot] = scores[i];
    }
  }

  Votes count(double first, double last, double threshold, int64_t number) const {
    const int64_t b = begin[number];
    return count_votes(
        first, last, threshold, {start.data() + b, end.data() + b, begin[number + 1] - b}, score.data() + b);
  }
};

at::Tensor segment_voting(
    const at::Tensor& kept_segments, const at::Tensor& kept_labels, const at::Tensor& segments,
    const at::Tensor& scores, const at::Tensor& labels, double iou_thr) {
  const Candidates candidates(segments, scores, labels);
  const Candidates kept(kept_segments, at::zeros({kept_segments.size(0)}, at::kDouble), kept_labels);
  const LabelNumbers number(candidates.labels, candidates.size);
  const Voters voters(candidates, number);
  at::Tensor refined = kept.segments_tensor.clone();
  double* out = refined.mutable_data_ptr<double>();
  const int64_t* label = kept.labels;
  constexpr int64_t kPairsWorthAThread = 20000;
  const int64_t pairs_each = candidates.size / std::max<int64_t>(number.size(), 1) + 1;
  at::parallel_for(0, kept.size, kPairsWorthAThread / pairs_each + 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t n = number(label[i]);
      if (n < 0) continue;
      const Votes votes = voters.count(kept.start(i), kept.end(i), iou_thr, n);
      if (votes.weight > 0) {
        out[2 * i] = votes.start / votes.weight;
        out[2 * i + 1] = votes.end / votes.weight;
      }
    }
  });
  return refined;
}

TORCH_LIBRARY_IMPL(mmtad_decomp, CPU, m) { m.impl("segment_voting", segment_voting); }

}  // namespace
}  // namespace mmtad
