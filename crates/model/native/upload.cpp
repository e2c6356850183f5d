// A stream of its own for what goes to a GPU, in libtorch's terms for any kind of device: no header of CUDA is needed, and
// nothing of this runs before libtorch_cuda has been loaded and has registered itself.
//
// Every function returns null, or what went wrong as a C string to be freed. Tensors are pointers to at::Tensor, as in tch.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "guarded.h"

namespace {

constexpr auto kind = c10::DeviceType::CUDA;

struct Lane {
  c10::Stream stream;
};

}  // namespace

extern "C" {

// A stream beside the one that computes.
char *reeldeck_lane(int8_t index, Lane **out) {
  return guarded([&] {
    const c10::impl::VirtualGuardImpl device(kind);
    *out = new Lane{device.getStreamFromGlobalPool(c10::Device(kind, index))};
  });
}

// What this thread has the GPU do goes there from now on. CUDA's own pointer to the stream.
char *reeldeck_enter(const Lane *lane, void **out) {
  return guarded([&] {
    const c10::impl::VirtualGuardImpl device(kind);
    device.setDevice(lane->stream.device());
    device.exchangeStream(lane->stream);
    *out = device.getStreamNativeHandle(lane->stream);
  });
}

char *reeldeck_wait(const Lane *lane) {
  return guarded([&] { c10::impl::VirtualGuardImpl(kind).synchronizeStream(lane->stream); });
}

// The same for what was made there and is used on the stream on which the model computes, which is the device's own.
char *reeldeck_settle(const Lane *lane, const at::Tensor *made) {
  return guarded([&] {
    const c10::impl::VirtualGuardImpl device(kind);
    device.synchronizeStream(lane->stream);
    made->record_stream(device.getDefaultStream(lane->stream.device()));
  });
}

void reeldeck_lane_free(Lane *lane) { delete lane; }

// Memory of the host that a GPU can read by itself. Its allocator gives it out again only when what was sent from it has arrived.
char *reeldeck_pinned(int64_t bytes, at::Tensor **out) {
  return guarded([&] {
    *out = new at::Tensor(at::empty({bytes}, at::TensorOptions(at::kByte).pinned_memory(true)));
  });
}

// Starts to send and does not wait. What this thread has the GPU do from now on waits for the arrival, on the GPU.
char *reeldeck_send(const Lane *lane, const at::Tensor *from, at::Tensor **out) {
  return guarded([&] {
    const c10::Device device = lane->stream.device();
    c10::Event arrived(kind);
    at::Tensor sent;
    {
      const c10::StreamGuard on(lane->stream);
      sent = from->to(device, at::kByte, /*non_blocking=*/true);
      arrived.record(lane->stream);
    }
    const c10::Stream computes = c10::impl::VirtualGuardImpl(kind).getStream(device);
    arrived.block(computes);
    // It was made on the one stream and is used on the other: its memory is free when both are done with it.
    sent.record_stream(computes);
    *out = new at::Tensor(std::move(sent));
  });
}

}  // extern "C"
