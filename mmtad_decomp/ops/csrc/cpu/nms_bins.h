// Candidates sorted into bins of one label and of neighbouring starts.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/nms_candidates.h"
#include "cpu/nms_kernels.h"

namespace mmtad {

// Slots [begin, begin + count) of a `Bins`, all of them within [low, high].
struct Bin {
  int64_t label;  // number
  int64_t begin, count;
  double low, high;
};

struct Bins {
  // By slot; rows ascend within a bin. Slots that pad a bin to whole blocks hold the segment
  // [0, 0] and the score -infinity.
  std::vector<double> start, end, score;
  std::vector<int64_t> row;
  std::vector<Bin> bins;  // labels ascend
  int64_t labels = 0;

  // Leaves out candidates that score below `min_score`.
  Bins(const Candidates& candidates, double min_score);
};

}  // namespace mmtad
