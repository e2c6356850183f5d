// GPU streams for copies in both directions, through libtorch's device-independent interface: it needs no CUDA headers, and nothing here runs
// before libtorch_cuda has been loaded and has registered itself.
//
// Every function returns null, or an error message as a C string that the caller frees. Tensors are pointers to at::Tensor,
// as in tch.
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <memory>
#include <vector>

#include "guarded.h"

namespace {

constexpr auto kind = c10::DeviceType::CUDA;

struct CopyStream {
  c10::Stream stream;
};

}  // namespace

extern "C" {

// Makes a device the current one of this thread.
char *reeldeck_set_device(int8_t index) {
  return guarded([&] { c10::impl::VirtualGuardImpl(kind).setDevice(c10::Device(kind, index)); });
}

// Whether convolutions and matrix products of fp32 numbers use TF32. By default, libtorch allows it for convolutions only.
char *reeldeck_allow_tf32(bool is_allowed) {
  return guarded([&] {
    at::globalContext().setAllowTF32CuDNN(is_allowed);
    at::globalContext().setAllowTF32CuBLAS(is_allowed);
  });
}

// Takes a stream from the global pool of a device.
char *reeldeck_stream_new(int8_t index, CopyStream **out) {
  return guarded([&] {
    const c10::impl::VirtualGuardImpl device(kind);
    *out = new CopyStream{device.getStreamFromGlobalPool(c10::Device(kind, index))};
  });
}

void reeldeck_stream_free(CopyStream *copy) { delete copy; }

// Allocates pinned host memory. The allocator reuses it only after pending copies from it are complete.
char *reeldeck_pinned(int64_t bytes, at::Tensor **out) {
  return guarded([&] {
    *out = new at::Tensor(at::empty({bytes}, at::TensorOptions(at::kByte).pinned_memory(true)));
  });
}

// Starts a copy to the device and returns at once. Later work on the current stream of this thread waits for the copy on the
// device.
char *reeldeck_stream_send(const CopyStream *copy, const at::Tensor *from, at::Tensor **out) {
  return guarded([&] {
    const c10::Device device = copy->stream.device();
    c10::Event arrived(kind);
    at::Tensor sent;
    {
      const c10::StreamGuard on(copy->stream);
      sent = from->to(device, at::kByte, /*non_blocking=*/true);
      arrived.record(copy->stream);
    }
    const c10::Stream computes = c10::impl::VirtualGuardImpl(kind).getStream(device);
    arrived.block(computes);
    // Two streams use the memory, so it must not be reused before both are done with it.
    sent.record_stream(computes);
    *out = new at::Tensor(std::move(sent));
  });
}

// Starts copies of `count` tensors to pinned memory and returns at once. The copies wait on the device for the work that was
// submitted to the current stream of this thread so far, and later work on that stream does not wait for them. Read the copies
// after `arrived`.
char *reeldeck_stream_fetch(const CopyStream *copy, const at::Tensor *const *from, size_t count, at::Tensor **out,
                            c10::Event **arrived) {
  return guarded([&] {
    const c10::Device device = copy->stream.device();
    c10::Event computed(kind);
    computed.record(c10::impl::VirtualGuardImpl(kind).getStream(device));
    computed.block(copy->stream);
    std::vector<at::Tensor> fetched;
    auto event = std::make_unique<c10::Event>(kind);
    {
      const c10::StreamGuard on(copy->stream);
      for (size_t at = 0; at < count; at++) {
        const auto options = from[at]->options().device(c10::kCPU).pinned_memory(true);
        fetched.push_back(at::empty(from[at]->sizes(), options));
        fetched.back().copy_(*from[at], /*non_blocking=*/true);
        // The memory must not be reused before the copy is done, although it belongs to another stream.
        from[at]->record_stream(copy->stream);
      }
      event->record(copy->stream);
    }
    for (size_t at = 0; at < count; at++) out[at] = new at::Tensor(std::move(fetched[at]));
    *arrived = event.release();
  });
}

// Whether everything before an event is done.
char *reeldeck_event_query(const c10::Event *event, bool *done) {
  return guarded([&] { *done = event->query(); });
}

void reeldeck_event_free(c10::Event *event) { delete event; }

}  // extern "C"
