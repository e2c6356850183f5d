// A fake CUDA backend for the CPU build of libtorch, which the tests build as libtorch_cuda.so. It has two GPUs, whose memory is
// the host's and whose kernels are those of the CPU.
//
// A copy on a stream other than the default one runs only when another stream waits for it, or when it is synchronised. Until
// then its destination contains garbage. So a missing wait, or memory that is reused too early, gives wrong numbers.
//
// Environment variables choose faults:
//   FAKE_CUDA_FAIL=N      the N-th allocation on a device fails for lack of memory
//   FAKE_CUDA_LOSE=N      every copy to or from a device fails after N of them: the device is lost
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
};

std::map<std::pair<DeviceIndex, int64_t>, Queue> queues;

Queue &queue_of(const Stream &stream) { return queues[{stream.device_index(), stream.id()}]; }

struct Event {
  Stream stream;
  uint64_t number;
};

thread_local std::map<DeviceIndex, int64_t> current_streams;

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
  }

  void record(void **event, const Stream &stream, const DeviceIndex, const c10::EventFlag) const override {
    const Guard guard(mutex);
    delete static_cast<Event *>(*event);
    *event = new Event{stream, queue_of(stream).last()};
  }
  // The default stream runs at once, so whatever it waits for must have run before.
  void block(void *event, const Stream &) const override {
    if (event) synchronizeEvent(event);
  }
  bool queryEvent(void *event) const override {
    const Guard guard(mutex);
    return queue_of(static_cast<Event *>(event)->stream).done >= static_cast<Event *>(event)->number;
  }
  void synchronizeEvent(void *event) const override {
    const Guard guard(mutex);
    queue_of(static_cast<Event *>(event)->stream).run_to(static_cast<Event *>(event)->number);
  }
  void destroyEvent(void *event, const DeviceIndex) const noexcept override { delete static_cast<Event *>(event); }
  void recordDataPtrOnStream(const c10::DataPtr &, const Stream &) const override {}
};

// Frees memory. If copies that have not run yet use it, it stays until the process ends, and keeps its content only if the use was
// recorded. Otherwise its next owner would overwrite it.
void release(void *memory, size_t bytes, bool is_recorded) {
  const Guard guard(mutex);
  bool is_used = false;
  const auto within = [&](const void *address) { return address >= memory && address < static_cast<char *>(memory) + bytes; };
  for (const auto &[stream, queue] : queues)
    for (const Copy &copy : queue.pending) is_used |= within(copy.from) || within(copy.to);
  if (!is_used || !is_recorded) std::memset(memory, GARBAGE, bytes);
  if (!is_used) std::free(memory);
}

struct Block {
  void *memory;
  size_t bytes;
  bool is_recorded = false;
};

void free_block(void *context) {
  auto *block = static_cast<Block *>(context);
  release(block->memory, block->bytes, block->is_recorded);
  delete block;
}

Block *allocate(size_t bytes) {
  auto *block = new Block{std::malloc(std::max<size_t>(bytes, 1)), bytes};
  std::memset(block->memory, GARBAGE, bytes);
  return block;
}

struct DeviceAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    static std::atomic<long> allocations{0};
    const long fail = number_from("FAKE_CUDA_FAIL");
    TORCH_CHECK_WITH(OutOfMemoryError, ++allocations != fail, "CUDA out of memory. Tried to allocate ", bytes, " bytes.");
    contexts.create(get_device());
    Block *block = ::allocate(bytes);
    // PyTorch's allocator orders the reuse of memory by streams.
    block->is_recorded = true;
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
  bool record_event(void *, void *context, Stream) override {
    static_cast<Block *>(context)->is_recorded = true;
    return true;
  }
  void copy_data(void *to, const void *from, size_t bytes) const override { std::memcpy(to, from, bytes); }
  void empty_cache() override {}
  at::HostStats get_stats() override { return {}; }
  void reset_accumulated_stats() override {}
  void reset_peak_stats() override {}
} pinned_allocator;

// The tensor's memory as that of a CPU tensor.
at::Tensor on_host(const at::Tensor &tensor) {
  if (tensor.is_cpu()) return tensor;
  const auto options = at::TensorOptions().dtype(tensor.scalar_type());
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), options);
}

void check_device() {
  static std::atomic<long> calls{0};
  const long lose = number_from("FAKE_CUDA_LOSE");
  TORCH_CHECK(lose < 0 || ++calls <= lose, "CUDA error: unspecified launch failure");
}

at::Tensor &copy_(at::Tensor &self, const at::Tensor &from, bool non_blocking) {
  check_device();
  const Device device = self.is_cpu() ? from.device() : self.device();
  const Stream stream = c10::impl::VirtualGuardImpl(DeviceType::CUDA).getStream(device);
  const Guard guard(mutex);
  Queue &queue = queue_of(stream);
  const bool is_plain = self.is_contiguous() && from.is_contiguous() && self.scalar_type() == from.scalar_type();
  if (stream.id() != 0 && non_blocking && is_plain && self.nbytes() > 0) {
    std::memset(self.data_ptr(), GARBAGE, self.nbytes());
    queue.pending.push_back({self.data_ptr(), from.data_ptr(), self.nbytes()});
    const at::Tensor &host = self.is_cpu() ? self : from;
    pinned_allocator.record_event(host.data_ptr(), host.storage().data_ptr().get_context(), stream);
    return self;
  }
  queue.run_to(UINT64_MAX);
  on_host(self).copy_(on_host(from));
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

void record_stream(at::Tensor &, Stream) {}

at::Tensor conv_relu(const at::Tensor &x, const at::Tensor &weight, const std::optional<at::Tensor> &bias, at::IntArrayRef stride,
                     at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups) {
  check_device();
  std::optional<at::Tensor> on_cpu;
  if (bias) on_cpu = on_host(*bias);
  return at::conv2d(on_host(x), on_host(weight), on_cpu, stride, padding, dilation, groups).relu().to(x.device());
}

at::Tensor conv_add_relu(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &sum, const std::optional<at::Scalar> &,
                         const std::optional<at::Tensor> &bias, at::IntArrayRef stride, at::IntArrayRef padding,
                         at::IntArrayRef dilation, int64_t groups) {
  check_device();
  std::optional<at::Tensor> on_cpu;
  if (bias) on_cpu = on_host(*bias);
  auto y = at::conv2d(on_host(x), on_host(weight), on_cpu, stride, padding, dilation, groups);
  return (y + on_host(sum)).relu().to(x.device());
}

void on_cpu(const c10::OperatorHandle &op, torch::jit::Stack *stack) { at::native::cpu_fallback(op, stack, false); }

TORCH_LIBRARY_IMPL(_, CUDA, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_cpu>()); }

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("copy_", copy_);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("record_stream", record_stream);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
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
