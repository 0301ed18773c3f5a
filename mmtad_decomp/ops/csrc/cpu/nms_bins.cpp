#include "cpu/nms_bins.h"

#include <algorithm>
#include <limits>

namespace mmtad {
namespace {

constexpr int64_t kMeanSlots = 40, kMaxSlots = 64;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The starts of one label, cut into cells of equal width.
struct Grid {
  int64_t candidates = 0, first_cell = 0, cells = 0;
  double low = kInfinity, high = -kInfinity, cells_per_unit = 0;

  int64_t cell(double start) const {
    const double place = (start - low) * cells_per_unit;
    // Written so that NaN, from a range beyond what float64 holds, lands in the last cell.
    return first_cell + (place < static_cast<double>(cells) ? static_cast<int64_t>(place) : cells - 1);
  }
};

int64_t lay_out(std::vector<Grid>& grids) {
  int64_t cells = 0;
  for (Grid& grid : grids) {
    grid.first_cell = cells;
    grid.cells = (grid.candidates + kMeanSlots - 1) / kMeanSlots;
    grid.cells_per_unit = grid.high > grid.low ? static_cast<double>(grid.cells) / (grid.high - grid.low) : 0;
    cells += grid.cells;
  }
  return cells;
}

}  // namespace

Bins::Bins(const Candidates& candidates, double min_score) {
  const int64_t size = candidates.size;
  const int64_t* label = candidates.labels;
  const double* scores = candidates.scores;
  const LabelNumbers number(label, size);
  labels = number.size();
  std::vector<Grid> grids(labels);
  for (int64_t i = 0; i < size; ++i) {
    if (scores[i] < min_score) continue;
    Grid& grid = grids[number(label[i])];
    ++grid.candidates;
    grid.low = std::min(grid.low, candidates.start(i));
    grid.high = std::max(grid.high, candidates.start(i));
  }
  const int64_t cells = lay_out(grids);

  std::vector<int32_t> cell_of(size, -1), members(cells, 0);
  for (int64_t i = 0; i < size; ++i) {
    if (scores[i] < min_score) continue;
    const int64_t cell = grids[number(label[i])].cell(candidates.start(i));
    cell_of[i] = static_cast<int32_t>(cell);
    ++members[cell];
  }

  std::vector<int64_t> next(cells);
  int64_t slots = 0;
  for (int64_t n = 0; n < labels; ++n) {
    for (int64_t c = grids[n].first_cell; c < grids[n].first_cell + grids[n].cells; ++c) {
      next[c] = slots;
      const int64_t stop = slots + padded(members[c]);
      for (; slots < stop; slots += bins.back().count) {
        bins.push_back({n, slots, std::min(stop - slots, kMaxSlots), kInfinity, -kInfinity});
      }
    }
  }
  start.resize(slots);
  end.resize(slots);
  score.resize(slots, -kInfinity);
  row.resize(slots);
  for (int64_t i = 0; i < size; ++i) {
    if (cell_of[i] < 0) continue;
    const int64_t slot = next[cell_of[i]]++;
    start[slot] = candidates.start(i);
    end[slot] = candidates.end(i);
    score[slot] = scores[i];
    row[slot] = i;
  }
  for (Bin& bin : bins) {
    for (int64_t j = bin.begin; j < bin.begin + bin.count; ++j) {
      if (score[j] == -kInfinity) continue;
      bin.low = std::min(bin.low, start[j]);
      bin.high = std::max(bin.high, end[j]);
    }
  }
}

}  // namespace mmtad
