// Suppression, lazily: only candidates that may be the next to be taken are brought up to date.
//
// Taking a segment can only lower other candidates' scores. So the last known score of a candidate
// is an upper bound (its key), and what has the largest key and is up to date is the next to be
// taken, whatever the others' true scores are. The bins of candidates stand in a heap by their
// largest key; the bin on top is held against the segments of its label that were taken since
// its last turn, skipping those outside of its bounds. Each candidate meets the taken segments in
// the order of taking, so it ends with the score that updating all of them at once would give.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <utility>
#include <vector>

#include "cpu/nms_bins.h"
#include "cpu/nms_kernels.h"

namespace mmtad {

struct Taken {
  double score;
  int64_t row;
};

// The order of taking: by falling score, equal ones by rising row.
inline bool before(const Taken& a, const Taken& b) {
  return (a.score > b.score) | ((a.score == b.score) & (a.row < b.row));  // no branch to mispredict
}

// `Method` keeps the scores of the slots of `Bins`, from which it is made:
//   double* key()                      upper bounds of the slots' scores, -infinity where none is left
//   void apply(TakenSegments, bin)     lower the bin's scores
//   int64_t settle(bin)                the slot of the bin's largest score, whose key then is its
//                                      score; -1 if no candidate is left
template <typename Method>
class Suppression {
 public:
  // Takes from bins [first, last) of `bins`, whose labels no other bins have.
  Suppression(const Bins& bins, Method& method, int64_t first, int64_t last)
      : bins_(bins), method_(method), first_(first), seen_(last - first, 0) {
    if (first == last) return;
    first_label_ = bins.bins[first].label;
    taken_.resize(bins.bins[last - 1].label - first_label_ + 1);
    heap_.reserve(last - first);
    for (int64_t b = first; b < last; ++b) {
      const Top top = settle(b);
      if (top.slot >= 0) heap_.push_back(top);
    }
    std::make_heap(heap_.begin(), heap_.end(), after);
  }

  // Takes at most `limit` candidates.
  std::vector<Taken> run(int64_t limit) {
    std::vector<Taken> out;
    while (!heap_.empty() && static_cast<int64_t>(out.size()) < limit) {
      const Top top = heap_.front();
      if (!lower(top.bin)) {
        out.push_back(top.best);
        take(top);
      }
      replace(settle(top.bin));
    }
    return out;
  }

 private:
  struct Segments {
    std::vector<double> start, end;
  };
  // The largest key of a bin.
  struct Top {
    Taken best;
    int32_t bin, slot;  // -1: no candidate is left
  };

  static bool after(const Top& a, const Top& b) { return before(b.best, a.best); }

  Segments& taken(int64_t bin) { return taken_[bins_.bins[bin].label - first_label_]; }

  // Lowers the bin's scores by what was taken since its last turn; whether anything touches it.
  bool lower(int64_t b) {
    const Bin& bin = bins_.bins[b];
    const Segments& segments = taken(b);
    const int64_t count = static_cast<int64_t>(segments.start.size());
    int64_t& seen = seen_[b - first_];
    if (static_cast<int64_t>(near_.start.size()) < count - seen) {
      near_.start.resize(2 * count);
      near_.end.resize(2 * count);
    }
    int64_t near = 0;
    for (; seen < count; ++seen) {
      const double start = segments.start[seen], end = segments.end[seen];
      near_.start[near] = start;
      near_.end[near] = end;
      near += (start < bin.high) & (end > bin.low);
    }
    if (near > 0) method_.apply({near_.start.data(), near_.end.data(), near}, bin);
    return near > 0;
  }

  void take(const Top& top) {
    method_.key()[top.slot] = -std::numeric_limits<double>::infinity();
    taken(top.bin).start.push_back(bins_.start[top.slot]);
    taken(top.bin).end.push_back(bins_.end[top.slot]);
    lower(top.bin);
  }

  Top settle(int64_t bin) {
    const int64_t slot = method_.settle(bins_.bins[bin]);
    if (slot < 0) return {{0, 0}, static_cast<int32_t>(bin), -1};
    return {{method_.key()[slot], bins_.row[slot]}, static_cast<int32_t>(bin), static_cast<int32_t>(slot)};
  }

  // The heap's front gives way to what has become of it, which is no greater.
  void replace(Top top) {
    if (top.slot < 0) {
      top = heap_.back();
      heap_.pop_back();
    }
    const size_t size = heap_.size();
    size_t hole = 0;
    for (size_t child = 1; child < size; child = 2 * hole + 1) {
      if (child + 1 < size) child += after(heap_[child], heap_[child + 1]);
      if (!after(top, heap_[child])) break;
      heap_[hole] = heap_[child];
      hole = child;
    }
    if (size > 0) heap_[hole] = top;
  }

  const Bins& bins_;
  Method& method_;
  const int64_t first_;
  int64_t first_label_ = 0;
  std::vector<int64_t> seen_;    // by bin: segments of its label that it was held against
  std::vector<Segments> taken_;  // by label
  std::vector<Top> heap_;
  Segments near_;  // scratch memory of `lower`
};

// All labels, on as many threads as are worth it: labels do not touch each other.
template <typename Method>
std::vector<Taken> suppress_all(const Bins& bins, Method& method, int64_t limit) {
  constexpr int64_t kWorthAThread = 2000;  // candidates taken
  const int64_t slots = static_cast<int64_t>(bins.row.size());
  const int64_t expected = std::min(limit, slots);
  const int64_t parts = std::min<int64_t>(at::get_num_threads(), expected / kWorthAThread + 1);
  std::vector<int64_t> bounds{0};
  for (int64_t b = 1; b < static_cast<int64_t>(bins.bins.size()); ++b) {
    const bool new_label = bins.bins[b].label != bins.bins[b - 1].label;
    if (new_label && bins.bins[b].begin * parts >= slots * static_cast<int64_t>(bounds.size())) bounds.push_back(b);
  }
  bounds.push_back(static_cast<int64_t>(bins.bins.size()));
  const int64_t count = static_cast<int64_t>(bounds.size()) - 1;
  std::vector<std::vector<Taken>> found(count);
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      found[p] = Suppression<Method>(bins, method, bounds[p], bounds[p + 1]).run(limit);
    }
  });
  std::vector<Taken> all = std::move(found[0]);
  for (int64_t p = 1; p < count; ++p) {
    std::vector<Taken> merged;
    merged.reserve(all.size() + found[p].size());
    std::merge(all.begin(), all.end(), found[p].begin(), found[p].end(), std::back_inserter(merged), before);
    all = std::move(merged);
  }
  if (static_cast<int64_t>(all.size()) > limit) all.resize(limit);
  return all;
}

// -1 stands for no limit.
inline int64_t limit_of(int64_t max_out, int64_t candidates) {
  return max_out < 0 ? candidates : std::min(max_out, candidates);
}

inline at::Tensor rows_of(const std::vector<Taken>& taken) {
  at::Tensor rows = at::empty({static_cast<int64_t>(taken.size())}, at::kLong);
  std::transform(taken.begin(), taken.end(), rows.mutable_data_ptr<int64_t>(), [](const Taken& t) { return t.row; });
  return rows;
}

}  // namespace mmtad
