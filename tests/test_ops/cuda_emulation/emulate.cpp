// Runs the kernels of local_attention and local_attentive_fusion under emulation.h on the cases of a
// file that tests/test_ops/test_cuda_emulation.py writes, and writes what they return.
//
// Every case runs in several orders of its threads; the results must agree in every bit. Tensors are
// exactly as large as they need be, for the address sanitiser, or lie between poisoned margins that
// must stay as they were. All that kernels have to write holds NaN before.
#include "emulation.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "first_use.h"
#include "local_attention_choice.cuh"
#include "local_attentive_fusion_kernels.cuh"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

constexpr int64_t kSharedMemory = 228 * 1024;

namespace mmtad {
namespace cuda {
alignas(128) unsigned char shared_memory[kSharedMemory];
}
}  // namespace mmtad

namespace {

using namespace mmtad::cuda;

constexpr unsigned char kPoison = 0xff;  // NaN in every floating-point type when repeated.

// Bytes for a tensor, guarded.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) {
#if !defined(__SANITIZE_ADDRESS__)
    margin_ = 256;
#endif
    memory_ = static_cast<unsigned char*>(std::aligned_alloc(16, round_up(bytes + 2 * margin_, 16)));
    if (margin_ == 0) {
      std::free(memory_);
      memory_ = static_cast<unsigned char*>(std::malloc(bytes));
    }
    std::memset(memory_, kPoison, bytes + 2 * margin_);
  }
  Buffer(const Buffer&) = delete;
  ~Buffer() { std::free(memory_); }

  unsigned char* data() { return memory_ + margin_; }
  size_t size() const { return bytes_; }
  void poison() { std::memset(data(), kPoison, bytes_); }

  void check_margins() const {
    for (size_t i = 0; i < margin_; ++i)
      if (memory_[i] != kPoison || memory_[margin_ + bytes_ + i] != kPoison)
        emulation::fail("a kernel wrote beyond a tensor");
  }

 private:
  size_t bytes_, margin_ = 0;
  unsigned char* memory_;
};

struct Strided {
  int64_t stride[4] = {0, 0, 0, 0};
  int64_t offset = 0;
  std::unique_ptr<Buffer> buffer;

  template <typename T>
  T* data() {
    return buffer ? reinterpret_cast<T*>(buffer->data()) + offset : nullptr;
  }
};

struct Case {
  enum Op : int64_t { kAttention, kAttentionBackward, kFusion, kFusionBackward };
  int64_t op, dtype, batch, heads, steps, dims, window, residual, has_mask, limit, orders;
  int64_t needs;  // Bits of the gradients that a backward pass writes.
  int64_t tensor_cores;
  std::unique_ptr<Buffer> mask;
  std::vector<Strided> inputs, outputs;
  unsigned order = 0;

  bool read(std::FILE* file) {
    int64_t header[15];
    if (std::fread(header, 8, 15, file) != 15) return false;
    int64_t* const fields[] = {&op,       &dtype,    &batch, &heads,  &steps, &dims,        &window,
                               &residual, &has_mask, &limit, &orders, &needs, &tensor_cores};
    for (int i = 0; i < 13; ++i) *fields[i] = header[i];
    inputs.resize(header[13]);
    outputs.resize(header[14]);
    if (has_mask) {
      mask = std::make_unique<Buffer>(batch * steps);
      read_bytes(file, mask->data(), mask->size());
    }
    for (Strided& x : inputs) read_layout(file, x, true);
    for (Strided& x : outputs) read_layout(file, x, false);
    return true;
  }

  void check_margins() const {
    if (mask) mask->check_margins();
    for (const auto* group : {&inputs, &outputs})
      for (const Strided& x : *group) x.buffer->check_margins();
  }

 private:
  static void read_bytes(std::FILE* file, void* to, size_t size) {
    if (size > 0 && std::fread(to, 1, size, file) != size) emulation::fail("the file of cases is cut short");
  }

  static void read_layout(std::FILE* file, Strided& x, bool filled) {
    int64_t fields[6];
    read_bytes(file, fields, sizeof fields);
    std::copy(fields, fields + 4, x.stride);
    x.offset = fields[4];
    x.buffer = std::make_unique<Buffer>(fields[5]);
    if (filled) read_bytes(file, x.buffer->data(), fields[5]);
  }
};

// Runs a grid of blocks with shared memory of exactly the bytes asked for.
void run_grid(unsigned order, int64_t blocks, int threads, int64_t shared_bytes, const std::function<void()>& body) {
  if (shared_bytes > kSharedMemory) emulation::fail("a kernel asks for more shared memory than there is");
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(shared_memory + shared_bytes, kSharedMemory - shared_bytes);
#endif
  emulation::block_dim.x = threads;
  emulation::grid_dim.x = blocks;
  for (int64_t i = 0; i < blocks; ++i) {
    // The last block first in every other order.
    emulation::block_index.x = order % 2 ? blocks - 1 - i : i;
    std::memset(shared_memory, kPoison, shared_bytes);
    emulation::Block::instance().run(threads, order, body);
  }
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(shared_memory, kSharedMemory);
#else
  for (int64_t i = shared_bytes; i < kSharedMemory; ++i)
    if (shared_memory[i] != 0) emulation::fail("a kernel wrote beyond its shared memory");
  std::memset(shared_memory, 0, shared_bytes);
#endif
}

template <typename scalar>
TypedHeads<const scalar> heads_of(Strided& x) {
  return {x.data<scalar>(), x.stride[0], x.stride[1], x.stride[2], x.stride[3]};
}

template <typename scalar>
TypedHeads<scalar> written_heads(Strided& x) {
  return {x.data<scalar>(), x.stride[0], x.stride[1], x.stride[2], x.stride[3]};
}

template <typename scalar, int dims>
void run_attention(Case& c, AttentionArgs<scalar> args, AttentionPass pass) {
  const auto choice = choose_attention<scalar, dims>(args, pass, c.tensor_cores, c.limit);
  if (choice.shared_bytes > c.limit) emulation::fail("a kernel asks for more shared memory than its GPU has");
  run_grid(
      c.order, c.batch * c.heads * args.tiles, kAttentionThreads, choice.shared_bytes, [&] { choice.kernel(args); });
}

template <typename scalar, int dims>
void attention(Case& c) {
  using acc = acc_of<scalar>;
  AttentionArgs<scalar> args{};
  args.mask = c.mask ? reinterpret_cast<bool*>(c.mask->data()) : nullptr;
  args.heads = c.heads;
  args.steps = c.steps;
  args.dims = c.dims;
  args.radius = std::min(c.window / 2, c.steps - 1);
  args.scale = acc(1 / std::sqrt(double(c.dims)));
  if (c.op == Case::kAttention) {
    args.query = heads_of<scalar>(c.inputs[0]);
    args.key = heads_of<scalar>(c.inputs[1]);
    args.value = heads_of<scalar>(c.inputs[2]);
    args.out = written_heads<scalar>(c.outputs[0]);
    args.lse = c.outputs[1].data<acc>();
    run_attention<scalar, dims>(c, args, AttentionPass::kForward);
    return;
  }
  args.grad = heads_of<scalar>(c.inputs[0]);
  args.query = heads_of<scalar>(c.inputs[1]);
  args.key = heads_of<scalar>(c.inputs[2]);
  args.value = heads_of<scalar>(c.inputs[3]);
  args.lse = c.inputs[4].data<acc>();
  if (c.needs & 1) args.grad_query = written_heads<scalar>(c.outputs[0]);
  if (c.needs & 2) args.grad_key = written_heads<scalar>(c.outputs[1]);
  if (c.needs & 4) args.grad_value = written_heads<scalar>(c.outputs[2]);
  Buffer delta(c.batch * c.heads * c.steps * sizeof(acc));
  args.delta = reinterpret_cast<acc*>(delta.data());
  if (c.needs & 3) run_attention<scalar, dims>(c, args, AttentionPass::kGradQuery);
  if (c.needs & 6) run_attention<scalar, dims>(c, args, AttentionPass::kGradKeyValue);
  delta.check_margins();
}

template <typename scalar>
void fusion(Case& c) {
  using acc = acc_of<scalar>;
  const bool backward = c.op == Case::kFusionBackward;
  FusionArgs<scalar> args{};
  args.rows = c.batch * c.heads;
  args.channels = c.heads;
  args.steps = c.steps;
  args.radius = c.window < 0 ? c.steps - 1 : std::min(c.window / 2, c.steps - 1);
  args.residual = c.residual;
  args.mask = c.mask ? reinterpret_cast<bool*>(c.mask->data()) : nullptr;
  Rows<scalar>* const tensors[] = {&args.grad, &args.value, &args.query, &args.key};
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    Strided& x = c.inputs[i];
    *tensors[i + (backward ? 0 : 1)] = {x.data<scalar>(), x.stride[0], x.stride[1]};
  }
  const bool global = args.radius >= args.steps - 1;
  const auto plan = plan_fusion(args, global ? 0 : backward ? 2 : 1, 1, c.limit);
  Buffer counts(c.batch * c.steps * sizeof(int));
  if (c.mask && !global) {
    args.counts = reinterpret_cast<int*>(counts.data());
    run_grid(c.order, c.batch, kFusionThreads, 2 * kFusionThreads / kWarp * sizeof(double), [&] {
      window_counts_kernel(args.mask, reinterpret_cast<int*>(counts.data()), args.steps, args.radius);
    });
  }
  Buffer scratch(args.rows * args.steps * sizeof(acc));
  if (backward && !global && !args.shared_rows) args.scratch = reinterpret_cast<acc*>(scratch.data());
  void (*kernel)(FusionArgs<scalar>);
  if (backward) {
    if (c.needs & 1) args.grad_value = c.outputs[0].data<scalar>();
    if (c.needs & 2) args.grad_query = c.outputs[1].data<scalar>();
    if (c.needs & 4) args.grad_key = c.outputs[2].data<scalar>();
    if (global)
      kernel = plan.fast ? global_fusion_backward_kernel<scalar, true> : global_fusion_backward_kernel<scalar, false>;
    else
      kernel = plan.fast ? local_fusion_backward_kernel<scalar, true> : local_fusion_backward_kernel<scalar, false>;
  } else {
    args.out = c.outputs[0].data<scalar>();
    if (global)
      kernel = plan.fast ? global_fusion_kernel<scalar, true> : global_fusion_kernel<scalar, false>;
    else
      kernel = plan.fast ? local_fusion_kernel<scalar, true> : local_fusion_kernel<scalar, false>;
  }
  run_grid(c.order, plan.blocks, plan.threads, plan.shared_bytes, [&] { kernel(args); });
  counts.check_margins();
  scratch.check_margins();
}

template <typename scalar>
void run(Case& c) {
  if (c.op == Case::kFusion || c.op == Case::kFusionBackward) return fusion<scalar>(c);
  if (c.dims <= 32) return attention<scalar, 32>(c);
#if !defined(EMULATE_FEW)
  if (c.dims <= 64) return attention<scalar, 64>(c);
  if (c.dims > 128) return attention<scalar, 256>(c);
#endif
  attention<scalar, 128>(c);
}

void run(Case& c) {
  switch (c.dtype) {
    case 0: return run<float>(c);
    case 1: return run<double>(c);
    case 2: return run<c10::Half>(c);
    default: return run<c10::BFloat16>(c);
  }
}

// Asks four times for a device whose check ends in a way that `how` names. Prints the answers, how often
// it was checked, and the warnings.
void ask_first_use(const std::string& how) {
  FirstUse first_use;
  int checks = 0;
  if (first_use.passed(0, false, [] { return std::string(); }, [](const std::string&) {}))
    emulation::fail("passed without a check");
  for (int device : {0, 0, 1, 0}) {
    const bool passed = first_use.passed(
        device, true,
        [&]() -> std::string {
          ++checks;
          if (how == "throws") throw std::runtime_error("no kernel image\nfrom a launcher");
          return how == "differs" ? "their results differ" : "";
        },
        [&](const std::string& problem) { std::printf("GPU %d: %s\n", device, problem.c_str()); });
    std::printf("%d\n", passed);
  }
  std::printf("%d checks\n", checks);
}

// A kernel that lacks a barrier between writing and reading shared memory.
void racy_kernel(float* out) {
  float* const shared = reinterpret_cast<float*>(shared_memory);
  shared[threadIdx.x] = threadIdx.x;
  out[threadIdx.x] = shared[(threadIdx.x + 33) % blockDim.x];
}

}  // namespace

int main(int count, char** names) {
  if (count == 2 && std::strcmp(names[1], "race") == 0) {
    float results[2][64];
    for (unsigned order : {0, 1}) run_grid(order, 1, 64, 64 * sizeof(float), [&] { racy_kernel(results[order]); });
    return std::memcmp(results[0], results[1], sizeof results[0]) == 0 ? 0 : 4;
  }
  if (count == 3 && std::strcmp(names[1], "first_use") == 0) {
    ask_first_use(names[2]);
    return 0;
  }
  if (count != 3) emulation::fail("usage: emulate CASES RESULTS | emulate race");
  std::FILE* const in = std::fopen(names[1], "rb");
  std::FILE* const out = std::fopen(names[2], "wb");
  if (in == nullptr || out == nullptr) emulation::fail("a file does not open");
  for (int64_t number = 0;; ++number) {
    Case c;
    if (!c.read(in)) break;
    std::vector<std::vector<unsigned char>> first;
    // In turn; then in turns a warp ahead and at random, different for every case.
    for (int64_t i = 0; i < c.orders; ++i) {
      c.order = i == 0 ? 0 : unsigned(number + i + 1);
      for (Strided& x : c.outputs) x.buffer->poison();
      run(c);
      c.check_margins();
      for (size_t k = 0; k < c.outputs.size(); ++k) {
        Buffer& buffer = *c.outputs[k].buffer;
        if (c.order == 0) first.emplace_back(buffer.data(), buffer.data() + buffer.size());
        if (std::memcmp(first[k].data(), buffer.data(), buffer.size()) != 0) {
          std::fprintf(stderr, "case %ld, output %zu: the result depends on the order of threads\n", long(number), k);
          return 4;
        }
      }
    }
    for (const auto& bytes : first) std::fwrite(bytes.data(), 1, bytes.size(), out);
  }
  std::fclose(in);
  return std::fclose(out);
}
