// A fake CUDA backend for the CPU build of libtorch, which the tests build as libtorch_cuda.so. It has two GPUs, whose memory is
// the host's and whose kernels are those of the CPU.
//
// A copy on a stream other than the default one runs only when a stream that waits for it needs its result, or when it is
// synchronised or queried repeatedly. Until then its destination contains garbage. So a missing wait, or memory that is reused too
// early, gives wrong numbers. A stream that reads device memory without having waited for the stream that has written it reads
// garbage.
//
// Environment variables choose faults:
//   FAKE_CUDA_FAIL=N      the N-th allocation on a device fails for lack of memory
//   FAKE_CUDA_LOSE=N      every copy to or from a device fails after N of them: the device is lost
//   FAKE_CUDA_IGNORE=W    a step of the caller has no effect, as if the caller had forgotten it: `block` (a stream waits for another),
//                         `query` (the host waits), `record_stream`, `record_event` (the allocators learn of a use); with graphs:
//                         `capture` (a stream waits for the one that captured), `static` (inputs are copied into the memory that the
//                         graph reads), `away` (outputs are copied before the next replay)
//   FAKE_CUDA_FUSED=W     fused convolutions: `stem` (those of three channels have no algorithm), `wrong` (off by one per cent),
//                         `summand` (they add zero times what was in the memory of their output, which keeps its last content),
//                         N (all after the N-th one fail with an unknown text)
//   FAKE_CUDA_ROWS=N      every convolution over more than N frames or clips fails with an unknown text
//   FAKE_CUDA_GRAPH=W     captures: N (all operations in them fail from the N-th on), `invalid` (CUDA refuses to end the capture)
//   FAKE_CUDA_GRAPHS=F    each `capture`, `replay` and `free` of a graph is appended to the file F
//   FAKE_CUDA_TF32=1      products are those of TF32, whatever libtorch's flags say
//   FAKE_CUDA_CONTEXTS=F  the numbers of the devices on which a context was created are appended to the file F
#include <ATen/ATen.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/TensorShape.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <set>

namespace {

using c10::Device;
using c10::DeviceIndex;
using c10::DeviceType;
using c10::Stream;

constexpr int GARBAGE = 0xa5;
constexpr DeviceIndex DEVICES = 2;

std::recursive_mutex mutex;
using Guard = std::lock_guard<std::recursive_mutex>;

long number_from(const char *name) {
  const char *text = std::getenv(name);
  return text ? std::atol(text) : -1;
}

bool is_ignored(const char *step) {
  const char *name = std::getenv("FAKE_CUDA_IGNORE");
  return name && std::strcmp(name, step) == 0;
}

bool is_fused(const char *fault) {
  const char *name = std::getenv("FAKE_CUDA_FUSED");
  return name && std::strcmp(name, fault) == 0;
}

Device device_of(DeviceIndex index) { return Device(DeviceType::CUDA, index); }

// The devices with a context, as in CUDA's runtime: setting a device creates one.
struct Contexts {
  std::set<DeviceIndex> known;

  void create(DeviceIndex index) {
    const Guard guard(mutex);
    if (!known.insert(index).second) return;
    if (const char *path = std::getenv("FAKE_CUDA_CONTEXTS")) std::ofstream(path, std::ios::app) << int(index) << '\n';
  }
  bool has(DeviceIndex index) {
    const Guard guard(mutex);
    return known.count(index);
  }
} contexts;

struct Block;
// The blocks in use, by their memory.
std::map<void *, Block *> blocks;

// The current device of a thread, by the rules of c10/cuda/CUDAFunctions.cpp: a guard that restores a device without a context
// only remembers it.
thread_local DeviceIndex current = 0, remembered = -1;

DeviceIndex get_device() { return remembered >= 0 ? remembered : current; }

void set_device(DeviceIndex index) {
  remembered = -1;
  current = index;
  contexts.create(index);
}

void maybe_set_device(DeviceIndex index) {
  if (contexts.has(index)) set_device(index);
  else remembered = index;
}

// A copy that has not run yet.
struct Copy {
  void *to;
  const void *from;
  size_t bytes;
};

// A stream with its pending copies. The copy with the number `done` + 1 is the next one.
struct Queue {
  std::deque<Copy> pending;
  uint64_t done = 0;

  uint64_t last() const { return done + pending.size(); }
  void run_to(uint64_t number) {
    for (; done < number && !pending.empty(); done++) {
      std::memcpy(pending.front().to, pending.front().from, pending.front().bytes);
      pending.pop_front();
    }
  }
  // Something that runs at once.
  void run_now() {
    run_to(UINT64_MAX);
    done++;
  }
};

using Key = std::pair<DeviceIndex, int64_t>;

Key key_of(const Stream &stream) { return {stream.device_index(), stream.id()}; }

std::map<Key, Queue> queues;

Queue &queue_of(const Stream &stream) { return queues[key_of(stream)]; }

// What a stream has waited for: numbers of other streams. And what a thread of the host has waited for, on behalf of all streams.
std::map<Key, std::map<Key, uint64_t>> waits;
std::map<Key, uint64_t> host_waits;

void remember(std::map<Key, uint64_t> &known, const Stream &stream, uint64_t number) {
  uint64_t &last = known[key_of(stream)];
  last = std::max(last, number);
}

struct Event {
  Stream stream;
  uint64_t number;
};

thread_local std::map<DeviceIndex, int64_t> current_streams;

// The streams that have captured something.
std::set<Key> has_captured;

struct FakeGuard final : c10::impl::DeviceGuardImplInterface {
  FakeGuard() = default;
  explicit FakeGuard(DeviceType) {}

  DeviceType type() const override { return DeviceType::CUDA; }
  Device exchangeDevice(Device device) const override {
    const DeviceIndex before = get_device();
    if (before != device.index() || remembered >= 0) set_device(device.index());
    return device_of(before);
  }
  Device getDevice() const override { return device_of(get_device()); }
  void setDevice(Device device) const override {
    TORCH_CHECK(device.index() >= 0 && device.index() < DEVICES, "CUDA error: invalid device ordinal");
    set_device(device.index());
  }
  void uncheckedSetDevice(Device device) const noexcept override { maybe_set_device(device.index()); }
  DeviceIndex deviceCount() const noexcept override { return DEVICES; }

  Stream getStream(Device device) const override { return Stream(Stream::UNSAFE, device, current_streams[device.index()]); }
  Stream getDefaultStream(Device device) const override { return Stream(Stream::UNSAFE, device, 0); }
  Stream getStreamFromGlobalPool(Device device, bool) const override {
    static std::atomic<int64_t> streams{0};
    TORCH_CHECK(device.index() >= 0 && device.index() < DEVICES, "CUDA error: invalid device ordinal");
    return Stream(Stream::UNSAFE, device, ++streams);
  }
  Stream exchangeStream(Stream stream) const override {
    const Stream before = getStream(stream.device());
    current_streams[stream.device_index()] = stream.id();
    return before;
  }
  bool queryStream(const Stream &stream) const override {
    const Guard guard(mutex);
    return queue_of(stream).pending.empty();
  }
  void synchronizeStream(const Stream &stream) const override {
    const Guard guard(mutex);
    queue_of(stream).run_to(UINT64_MAX);
    remember(host_waits, stream, queue_of(stream).done);
  }

  void record(void **event, const Stream &stream, const DeviceIndex, const c10::EventFlag) const override {
    const Guard guard(mutex);
    delete static_cast<Event *>(*event);
    *event = new Event{stream, queue_of(stream).last()};
  }
  void block(void *event, const Stream &stream) const override {
    if (!event || is_ignored("block")) return;
    const Guard guard(mutex);
    const Event &of = *static_cast<Event *>(event);
    if (is_ignored("capture") && has_captured.count(key_of(of.stream))) return;
    remember(waits[key_of(stream)], of.stream, of.number);
  }
  // Each query lets the stream advance by one copy.
  bool queryEvent(void *event) const override {
    const Guard guard(mutex);
    const Event &of = *static_cast<Event *>(event);
    Queue &queue = queue_of(of.stream);
    const bool is_done = queue.done >= of.number || is_ignored("query");
    if (is_done) remember(host_waits, of.stream, of.number);
    else queue.run_to(queue.done + 1);
    return is_done;
  }
  void synchronizeEvent(void *event) const override {
    const Guard guard(mutex);
    const Event &of = *static_cast<Event *>(event);
    queue_of(of.stream).run_to(of.number);
    remember(host_waits, of.stream, of.number);
  }
  void destroyEvent(void *event, const DeviceIndex) const noexcept override { delete static_cast<Event *>(event); }
  void recordDataPtrOnStream(const c10::DataPtr &, const Stream &) const override {}
};

struct Block {
  void *memory;
  size_t bytes;
  // The streams for which the allocator knows that they use the memory.
  std::set<Key> streams;
  // The last writer, of memory on a device.
  std::optional<Stream> writer;
  uint64_t number = 0;
};

// Whether a graph uses the memory, and whether it was allocated during a capture. fake_graph.h has them.
bool is_in_graph(const Block *block);
bool is_of_graph(const Block *block);
void note_block(Block *block);

// With FAKE_CUDA_FUSED=summand: free memory by its size, as in the real allocator, which does not clear it.
std::multimap<size_t, void *> cached;

// Frees memory. If copies that have not run yet use it, it stays until the process ends, and keeps its content only if the allocator
// knows their streams. Otherwise its next owner would overwrite it.
void free_block(void *context) {
  auto *block = static_cast<Block *>(context);
  const Guard guard(mutex);
  blocks.erase(block->memory);
  if (is_in_graph(block)) {
    if (!is_of_graph(block)) std::memset(block->memory, GARBAGE, block->bytes);
    delete block;
    return;
  }
  bool is_used = false, is_known = true;
  const auto within = [&](const void *address) {
    return address >= block->memory && address < static_cast<char *>(block->memory) + block->bytes;
  };
  for (const auto &[stream, queue] : queues)
    for (const Copy &copy : queue.pending)
      if (within(copy.from) || within(copy.to)) is_used = true, is_known &= block->streams.count(stream) > 0;
  const bool is_cached = !is_used && is_fused("summand");
  if (!is_cached && (!is_used || !is_known)) std::memset(block->memory, GARBAGE, block->bytes);
  if (is_cached) cached.insert({block->bytes, block->memory});
  else if (!is_used) std::free(block->memory);
  delete block;
}

Stream stream_of_thread(const Device &device) { return Stream(Stream::UNSAFE, device, current_streams[device.index()]); }

Block *allocate(size_t bytes) {
  const Guard guard(mutex);
  // The memory that was freed last.
  if (auto found = cached.upper_bound(bytes); found != cached.begin() && (--found)->first == bytes) {
    auto *block = new Block{found->second, bytes};
    cached.erase(found);
    return blocks[block->memory] = block;
  }
  auto *block = new Block{std::malloc(std::max<size_t>(bytes, 1)), bytes};
  std::memset(block->memory, GARBAGE, bytes);
  return blocks[block->memory] = block;
}

struct DeviceAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    static std::atomic<long> allocations{0};
    const long fail = number_from("FAKE_CUDA_FAIL");
    TORCH_CHECK_WITH(OutOfMemoryError, ++allocations != fail, "CUDA out of memory. Tried to allocate ", bytes, " bytes.");
    contexts.create(get_device());
    Block *block = ::allocate(bytes);
    block->streams.insert(key_of(stream_of_thread(device_of(get_device()))));
    note_block(block);
    return {block->memory, block, free_block, device_of(get_device())};
  }
  void copy_data(void *to, const void *from, size_t bytes) const override { std::memcpy(to, from, bytes); }
} device_allocator;

struct PinnedAllocator final : at::HostAllocator {
  c10::DataPtr allocate(size_t bytes) override {
    contexts.create(get_device());
    Block *block = ::allocate(bytes);
    return {block->memory, block, free_block, Device(DeviceType::CPU)};
  }
  bool record_event(void *, void *context, Stream stream) override {
    const Guard guard(mutex);
    if (!is_ignored("record_event")) static_cast<Block *>(context)->streams.insert(key_of(stream));
    return true;
  }
  void copy_data(void *to, const void *from, size_t bytes) const override { std::memcpy(to, from, bytes); }
  void empty_cache() override {}
  at::HostStats get_stats() override { return {}; }
  void reset_accumulated_stats() override {}
  void reset_peak_stats() override {}
} pinned_allocator;

Block *block_of(const at::Tensor &tensor) { return static_cast<Block *>(tensor.storage().data_ptr().get_context()); }

// Whether this stream runs after the one that has written the tensor. If so, what was written is there.
bool is_ordered(const Block *block, const Stream &reader) {
  if (!block || !block->writer || key_of(*block->writer) == key_of(reader)) return true;
  const Key writer = key_of(*block->writer);
  if (waits[key_of(reader)][writer] < block->number && host_waits[writer] < block->number) return false;
  queues[writer].run_to(block->number);
  return true;
}

bool is_ordered(const at::Tensor &tensor, const Stream &reader) { return is_ordered(block_of(tensor), reader); }

// Whether this thread runs a kernel. Its copies between host and device are no waits of the host.
thread_local int kernels = 0;

struct Kernel {
  Kernel() { kernels++; }
  ~Kernel() { kernels--; }
};

// Notes that a stream writes the tensor, with the last piece of work that it has.
void note_writer(const at::Tensor &tensor, const Stream &writer) {
  Block *block = block_of(tensor);
  if (block) block->writer = writer, block->number = queue_of(writer).last();
}

// The tensor's memory as that of a CPU tensor.
at::Tensor on_host(const at::Tensor &tensor) {
  if (tensor.is_cpu()) return tensor;
  const auto options = at::TensorOptions().dtype(tensor.scalar_type());
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), options);
}

// The same for work on the current stream, which reads garbage if it has not waited.
at::Tensor input(const at::Tensor &tensor) {
  const at::Tensor host = on_host(tensor);
  const Guard guard(mutex);
  if (tensor.is_cpu() || is_ordered(tensor, stream_of_thread(tensor.device()))) return host;
  at::Tensor garbage = at::empty_like(host);
  std::memset(garbage.data_ptr(), GARBAGE, garbage.nbytes());
  return garbage;
}

void check_device() {
  static std::atomic<long> calls{0};
  const long lose = number_from("FAKE_CUDA_LOSE");
  TORCH_CHECK(lose < 0 || ++calls <= lose, "CUDA error: unspecified launch failure");
}

}  // namespace

#include "fake_graph.h"

namespace {

bool is_in_graph(const Block *block) {
  return std::any_of(recordings.begin(), recordings.end(), [&](auto *recording) { return recording->uses(block); });
}

bool is_of_graph(const Block *block) {
  return std::any_of(recordings.begin(), recordings.end(), [&](auto *recording) { return recording->own.count(block->memory); });
}

void note_block(Block *block) {
  const Guard guard(mutex);
  if (capturing) capturing->own[block->memory] = block;
}

at::Tensor &copy_(at::Tensor &self, const at::Tensor &from, bool non_blocking) {
  check_device();
  if (recording()) {
    if (self.is_cpu() || from.is_cpu()) refuse();
    const at::Tensor source = unowned(from);
    record(self, [source] { return source; });
    return self;
  }
  if (kernels == 0 && is_ignored("static") && enters_graph(self)) return self;
  const Device device = self.is_cpu() ? from.device() : self.device();
  const Stream stream = stream_of_thread(device);
  const Guard guard(mutex);
  Queue &queue = queue_of(stream);
  const bool is_plain = self.is_contiguous() && from.is_contiguous() && self.scalar_type() == from.scalar_type();
  if (stream.id() != 0 && non_blocking && is_plain && self.nbytes() > 0) {
    std::memset(self.data_ptr(), GARBAGE, self.nbytes());
    // Without the order, the copy takes what is there before the writer: garbage.
    const void *source = from.is_cpu() || is_ordered(from, stream) ? from.data_ptr() : self.data_ptr();
    queue.pending.push_back({self.data_ptr(), source, self.nbytes()});
    const at::Tensor &host = self.is_cpu() ? self : from;
    pinned_allocator.record_event(host.data_ptr(), host.storage().data_ptr().get_context(), stream);
    if (!self.is_cpu()) note_writer(self, stream);
    return self;
  }
  queue.run_now();
  on_host(self).copy_(input(from));
  if (kernels == 0 && is_ignored("away") && leaves_graph(from)) late.push_back({self, from});
  if (!self.is_cpu()) note_writer(self, stream);
  // A copy to the host, or from memory that is not pinned, ends before the call does.
  if (!non_blocking && kernels == 0) remember(host_waits, stream, queue.done);
  return self;
}

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> kind, std::optional<at::Layout>, std::optional<Device> device,
                 std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const c10::OptionalDeviceGuard guard(device);
  return at::detail::empty_generic(size, &device_allocator, c10::DispatchKeySet(c10::DispatchKey::CUDA), kind.value_or(at::kFloat),
                                   format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> kind, std::optional<at::Layout>,
                         std::optional<Device> device, std::optional<bool>) {
  const c10::OptionalDeviceGuard guard(device);
  return at::detail::empty_strided_generic(size, stride, &device_allocator, c10::DispatchKeySet(c10::DispatchKey::CUDA),
                                           kind.value_or(at::kFloat));
}

// Operations of the CPU return their outputs through this.
at::Tensor copy_from_and_resize(const at::Tensor &self, const at::Tensor &to) {
  at::Tensor result = self.sizes() == to.sizes() ? to : at::empty(self.sizes(), to.options());
  result.copy_(self);
  if (!result.is_same(to)) to.unsafeGetTensorImpl()->shallow_copy_from(result.getIntrusivePtr());
  return to;
}

void record_stream(at::Tensor &tensor, Stream stream) {
  const Guard guard(mutex);
  TORCH_CHECK(!is_stuck, "this memory would never be freed, because a capture has not ended");
  if (!is_ignored("record_stream")) block_of(tensor)->streams.insert(key_of(stream));
}

void check_rows(const at::Tensor &x) {
  const long most = number_from("FAKE_CUDA_ROWS");
  TORCH_CHECK(most < 0 || x.size(0) <= most, "a text that no version has had so far");
}

// Whether products are those of TF32, in convolutions or others.
bool is_shortened(bool is_conv) {
  const at::Context &context = at::globalContext();
  return std::getenv("FAKE_CUDA_TF32") || (is_conv ? context.allowTF32CuDNN() : context.allowTF32CuBLAS());
}

// A factor as TF32 has it.
at::Tensor shortened(const at::Tensor &x, bool is_conv = true) {
  if (!is_shortened(is_conv) || x.scalar_type() != at::kFloat) return x;
  at::Tensor rounded = x.clone();
  at::Tensor bits = rounded.view(at::kInt);
  bits.add_(0x1000).bitwise_and_(~0x1fff);
  return rounded;
}

// The faults of a fused convolution.
void check_fused(const at::Tensor &x) {
  static std::atomic<long> calls{0};
  const long most = number_from("FAKE_CUDA_FUSED");
  TORCH_CHECK(!is_fused("stem") || x.size(1) != 3, "GET was unable to find an engine to execute this computation");
  TORCH_CHECK(most <= 0 || ++calls <= most, "a text that no version has had so far");
}

// Its output, with the faults of its numbers.
at::Tensor fused(const at::Tensor &y, Device device) {
  at::Tensor output = at::empty_like(y, y.options().device(device));
  if (is_fused("summand")) y.add_(on_host(output), 0);
  output.copy_(is_fused("wrong") ? y * 1.01 : y);
  return output;
}

at::Tensor run_conv_relu(const at::Tensor &x, const at::Tensor &weight, const std::optional<at::Tensor> &bias, at::IntArrayRef stride,
                     at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups) {
  check_device();
  check_rows(x);
  check_fused(x);
  const Kernel kernel;
  std::optional<at::Tensor> on_cpu;
  if (bias) on_cpu = input(*bias);
  const auto y = at::conv2d(shortened(input(x)), shortened(input(weight)), on_cpu, stride, padding, dilation, groups);
  return fused(y.relu(), x.device());
}

at::Tensor run_conv_add_relu(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &sum, const std::optional<at::Scalar> &,
                         const std::optional<at::Tensor> &bias, at::IntArrayRef stride, at::IntArrayRef padding,
                         at::IntArrayRef dilation, int64_t groups) {
  check_device();
  check_rows(x);
  check_fused(x);
  const Kernel kernel;
  std::optional<at::Tensor> on_cpu;
  if (bias) on_cpu = input(*bias);
  const auto y = at::conv2d(shortened(input(x)), shortened(input(weight)), on_cpu, stride, padding, dilation, groups);
  return fused((y + input(sum)).relu(), x.device());
}

at::Tensor conv_relu(const at::Tensor &x, const at::Tensor &weight, const std::optional<at::Tensor> &bias, at::IntArrayRef stride,
                     at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups) {
  const auto run = [=, x = unowned(x), weight = unowned(weight), bias = unowned(bias), stride = stride.vec(), padding = padding.vec(),
                    dilation = dilation.vec()] { return run_conv_relu(x, weight, bias, stride, padding, dilation, groups); };
  const at::Tensor output = run();
  if (recording()) record(output, run);
  return output;
}

at::Tensor conv_add_relu(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &sum, const std::optional<at::Scalar> &alpha,
                         const std::optional<at::Tensor> &bias, at::IntArrayRef stride, at::IntArrayRef padding,
                         at::IntArrayRef dilation, int64_t groups) {
  const auto run = [=, x = unowned(x), weight = unowned(weight), sum = unowned(sum), bias = unowned(bias), stride = stride.vec(),
                    padding = padding.vec(), dilation = dilation.vec()] {
    return run_conv_add_relu(x, weight, sum, alpha, bias, stride, padding, dilation, groups);
  };
  const at::Tensor output = run();
  if (recording()) record(output, run);
  return output;
}

at::Tensor reshape_alias(const at::Tensor &self, at::IntArrayRef size, at::IntArrayRef stride) {
  return at::native::as_strided_tensorimpl(self, size, stride, self.storage_offset());
}

void run_on_cpu(const c10::OperatorHandle &op, torch::jit::Stack *stack) {
  // libtorch would return a copy, whose numbers are lost.
  for (const auto &output : op.schema().returns())
    TORCH_CHECK(!output.alias_info() || output.alias_info()->isWrite(), "the fake GPU lacks the view ", op.schema().name());
  const Kernel kernel;
  const std::string &name = op.schema().name();
  const bool is_conv = name.find("conv") != std::string::npos;
  const size_t first = stack->size() - op.schema().arguments().size();
  if (is_conv) check_rows((*stack)[first].toTensor());
  if ((is_conv || name.find("mm") != std::string::npos) && is_shortened(is_conv))
    // Summand, input and weights, whichever there are, but no output.
    for (size_t at = first; at < std::min(first + 3, stack->size()); at++)
      if ((*stack)[at].isTensor() && !op.schema().arguments()[at - first].alias_info())
        (*stack)[at] = shortened((*stack)[at].toTensor().cpu(), is_conv).to((*stack)[at].toTensor().device());
  at::native::cpu_fallback(op, stack, false);
}

void on_cpu(const c10::OperatorHandle &op, torch::jit::Stack *stack) {
  if (!recording()) return run_on_cpu(op, stack);
  torch::jit::Stack inputs;
  for (size_t at = stack->size() - op.schema().arguments().size(); at < stack->size(); at++) inputs.push_back(unowned((*stack)[at]));
  run_on_cpu(op, stack);
  const torch::jit::Stack outputs(stack->end() - op.schema().returns().size(), stack->end());
  record(op, inputs, outputs, run_on_cpu);
}

TORCH_LIBRARY_IMPL(_, CUDA, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_cpu>()); }

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("copy_", copy_);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("record_stream", record_stream);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("_reshape_alias", reshape_alias);
  m.impl("cudnn_convolution_relu", conv_relu);
  m.impl("cudnn_convolution_add_relu", conv_add_relu);
}

}  // namespace

namespace c10::impl {
C10_REGISTER_GUARD_IMPL(CUDA, FakeGuard);
}
REGISTER_HOST_ALLOCATOR(at::kCUDA, &pinned_allocator);

// libtorch looks for hooks of this name.
struct CUDAHooks : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  c10::DeviceIndex deviceCount() const override { return DEVICES; }
  bool hasPrimaryContext(c10::DeviceIndex index) const override { return contexts.has(index); }
  c10::Allocator *getPinnedMemoryAllocator() const override { return &pinned_allocator; }
  bool isPinnedPtr(const void *) const override { return false; }
};
using at::CUDAHooksRegistry;
using at::RegistererCUDAHooksRegistry;
REGISTER_CUDA_HOOKS(CUDAHooks);
