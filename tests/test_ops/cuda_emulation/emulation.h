// Runs CUDA kernels on the CPU, one block at a time, for tests of indexing and synchronisation.
//
// Each CUDA thread is a coroutine. It runs until it waits, at __syncthreads or at a warp's shuffle;
// then another one goes on: in turn, at random, or of the warp that is to run as far ahead of the
// others as barriers allow. A result that depends on the order is a race. Waiting for a thread that never comes, and
// lanes of a warp in different shuffles, are errors. Not emulated: timing, memory models, a warp's lanes in step (real
// hardware may interleave more).
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__
#define __align__(bytes) __attribute__((aligned(bytes)))

using std::max;
using std::min;

namespace emulation {

struct Index {
  unsigned x;
};

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "emulation: %s\n", what);
  std::exit(3);
}

class Block {
 public:
  // Runs `body` as `threads` threads. `seed` 0: in turn; odd: one warp ahead; even: at random.
  void run(unsigned threads, unsigned seed, std::function<void()> body) {
    body_ = std::move(body);
    seed_ = seed;
    random_.seed(seed);
    if (threads_.size() < threads) threads_.resize(threads);
    warps_.assign((threads + 31) / 32, Warp());
    for (Warp& warp : warps_) warp.priority = random_();
    alive_ = threads;
    at_barrier_ = 0;
    runnable_.clear();
    for (unsigned i = 0; i < threads; ++i) {
      Thread& thread = threads_[i];
      if (!thread.stack) thread.stack.reset(new unsigned char[kStack]);
#ifdef __SANITIZE_ADDRESS__
      // Frames that a thread ended in never return, which is when their marks would be removed.
      __asan_unpoison_memory_region(thread.stack.get(), kStack);
#endif
      getcontext(&thread.context);
      thread.context.uc_stack.ss_sp = thread.stack.get();
      thread.context.uc_stack.ss_size = kStack;
      thread.context.uc_link = nullptr;
      makecontext(&thread.context, &Block::enter, 0);
      ++warps_[i / 32].lanes;
      runnable_.push_back(i);
    }
    resume(&home_);
    if (alive_ > 0) fail("threads wait for others that never come");
  }

  unsigned thread() const { return current_; }

  void synchronise() {
    if (++at_barrier_ == alive_) {
      release_barrier();
    } else {
      barrier_.push_back(current_);
      yield();
    }
  }

  // All lanes of the warp exchange `size` bytes; each reads lane `source`'s. `kind` must agree.
  void shuffle(int kind, void* value, size_t size, unsigned source) {
    Warp& warp = warps_[current_ / 32];
    const unsigned lane = current_ % 32;
    if (warp.waiting.empty()) {
      warp.kind = kind;
      warp.turn ^= 1;
    } else if (warp.kind != kind) {
      fail("lanes of a warp are in different shuffles");
    }
    const int turn = warp.turn;
    std::memcpy(warp.values[turn][lane], value, size);
    warp.waiting.push_back(current_);
    if (warp.waiting.size() == warp.lanes) {
      for (unsigned other : warp.waiting)
        if (other != current_) runnable_.push_back(other);
      warp.waiting.clear();
    } else {
      yield();
    }
    if (source >= warp.lanes) fail("a shuffle reads from a lane that is not there");
    std::memcpy(value, warps_[current_ / 32].values[turn][source], size);
  }

  // Two matrices that the current thread's warp multiplies.
  float (*matrices())[16][16] { return warps_[current_ / 32].matrices; }

  static Block& instance() {
    static Block block;
    return block;
  }

 private:
  static constexpr size_t kStack = 256 * 1024;

  struct Thread {
    ucontext_t context;
    std::unique_ptr<unsigned char[]> stack;
  };

  struct Warp {
    unsigned lanes = 0, priority = 0;
    int kind = 0, turn = 0;
    unsigned char values[2][32][8];
    float matrices[2][16][16];
    std::vector<unsigned> waiting;
  };

  static void enter() {
    Block& block = instance();
    block.body_();
    --block.alive_;
    if (block.at_barrier_ > 0) fail("a thread ends while others wait at a barrier");
    block.resume(nullptr);
  }

  void release_barrier() {
    at_barrier_ = 0;
    runnable_.insert(runnable_.end(), barrier_.begin(), barrier_.end());
    barrier_.clear();
  }

  // Goes on with another thread; comes back when this one is chosen again.
  void yield() {
    const unsigned self = current_;
    resume(&threads_[self].context);
    current_ = self;
  }

  size_t choose() {
    if (seed_ == 0) return 0;
    if (seed_ % 2 == 0) return random_() % runnable_.size();
    const auto priority = [&](unsigned thread) { return warps_[thread / 32].priority; };
    return std::max_element(
               runnable_.begin(), runnable_.end(), [&](unsigned a, unsigned b) { return priority(a) < priority(b); }) -
           runnable_.begin();
  }

  void resume(ucontext_t* from) {
    ucontext_t* to = &home_;
    if (!runnable_.empty()) {
      const size_t pick = choose();
      current_ = runnable_[pick];
      if (seed_ == 0) {
        runnable_.erase(runnable_.begin());
      } else {
        runnable_[pick] = runnable_.back();
        runnable_.pop_back();
      }
      to = &threads_[current_].context;
    }
    if (from == nullptr) {
      setcontext(to);
    } else {
      swapcontext(from, to);
    }
  }

  std::function<void()> body_;
  std::minstd_rand random_;
  unsigned seed_ = 0, current_ = 0, alive_ = 0, at_barrier_ = 0;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<unsigned> runnable_, barrier_;
  ucontext_t home_;
};

inline Index block_index{}, block_dim{}, grid_dim{};

inline Index thread_index() { return {Block::instance().thread()}; }

template <typename T>
T shuffle(int kind, T value, unsigned source) {
  static_assert(sizeof(T) <= 8);
  Block::instance().shuffle(kind, &value, sizeof(T), source);
  return value;
}

inline unsigned lane() { return Block::instance().thread() % 32; }

}  // namespace emulation

#define threadIdx (emulation::thread_index())
#define blockIdx (emulation::block_index)
#define blockDim (emulation::block_dim)
#define gridDim (emulation::grid_dim)

inline void __syncthreads() { emulation::Block::instance().synchronise(); }

inline void __syncwarp() { emulation::shuffle(4000, 0, 0); }

template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask, int width = 32) {
  const unsigned lane = emulation::lane(), source = lane ^ mask;
  return emulation::shuffle(1000 + mask, value, source / width == lane / width ? source : lane);
}

template <typename T>
T __shfl_up_sync(unsigned, T value, unsigned delta, int width = 32) {
  const unsigned lane = emulation::lane();
  return emulation::shuffle(2000 + delta, value, lane % width >= delta ? lane - delta : lane);
}

template <typename T>
T __shfl_sync(unsigned, T value, int source, int width = 32) {
  return emulation::shuffle(3000, value, emulation::lane() / width * width + source % width);
}
