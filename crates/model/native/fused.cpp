// libtorch's fused convolutions. tch does not wrap those of oneDNN, which are operators of the dispatcher, called by name. Its
// wrapper of cuDNN's takes a scalar, and panics instead of returning an error when memory runs out.
//
// Every function returns null, or an error message as a C string that the caller frees. Tensors are pointers to at::Tensor,
// as in tch.
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/stack.h>
#include <ATen/ops/cudnn_convolution_add_relu.h>

#include "guarded.h"

namespace {

using Stack = torch::jit::Stack;

// The parameters of a convolution. The Rust struct of the same name has the same layout.
struct Shape {
  int64_t padding[2];
  int64_t stride[2];
};

c10::List<int64_t> list(const int64_t (&pair)[2]) { return c10::List<int64_t>({pair[0], pair[1]}); }

c10::IValue nothing() { return c10::IValue(c10::List<std::optional<at::Scalar>>()); }

at::Tensor call(const char *name, const char *overload, Stack stack) {
  c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).callBoxed(&stack);
  return stack.at(0).toTensor();
}

}  // namespace

extern "C" {

// Reorders the weights of a convolution into oneDNN's layout for inputs of this size, once instead of at every call.
char *reeldeck_pack(const at::Tensor *weight, const Shape *shape, const int64_t *input, at::Tensor **out) {
  return guarded([&] {
    Stack stack;
    stack.emplace_back(*weight);
    stack.emplace_back(list(shape->padding));
    stack.emplace_back(list(shape->stride));
    stack.emplace_back(c10::List<int64_t>({1, 1}));
    stack.emplace_back(int64_t{1});
    stack.emplace_back(c10::List<int64_t>({input[0], input[1], input[2], input[3]}));
    *out = new at::Tensor(call("mkldnn::_reorder_convolution_weight", "", std::move(stack)));
  });
}

// y = x ∗ w + b, or y = max(0, x ∗ w + b).
char *reeldeck_conv(const at::Tensor *x, const at::Tensor *weight, const at::Tensor *bias, const Shape *shape, bool relu,
                    at::Tensor **out) {
  return guarded([&] {
    Stack stack;
    stack.emplace_back(*x);
    stack.emplace_back(*weight);
    stack.emplace_back(*bias);
    stack.emplace_back(list(shape->padding));
    stack.emplace_back(list(shape->stride));
    stack.emplace_back(c10::List<int64_t>({1, 1}));
    stack.emplace_back(int64_t{1});
    stack.emplace_back(std::string(relu ? "relu" : "none"));
    stack.emplace_back(nothing());
    stack.emplace_back(std::string());
    *out = new at::Tensor(call("mkldnn::_convolution_pointwise", "", std::move(stack)));
  });
}

// sum = max(0, sum + x ∗ w + b), in the memory of sum.
char *reeldeck_conv_add_relu(at::Tensor *sum, const at::Tensor *x, const at::Tensor *weight, const at::Tensor *bias,
                             const Shape *shape) {
  return guarded([&] {
    Stack stack;
    stack.emplace_back(*sum);
    stack.emplace_back(*x);
    stack.emplace_back(*weight);
    stack.emplace_back(*bias);
    stack.emplace_back(list(shape->padding));
    stack.emplace_back(list(shape->stride));
    stack.emplace_back(c10::List<int64_t>({1, 1}));
    stack.emplace_back(int64_t{1});
    stack.emplace_back(std::string("add"));
    stack.emplace_back(at::Scalar(1.0));
    stack.emplace_back(std::string("relu"));
    stack.emplace_back(nothing());
    stack.emplace_back(std::string());
    call("mkldnn::_convolution_pointwise_", "binary", std::move(stack));
  });
}

// out = max(0, sum + x ∗ w + b), by cuDNN.
char *reeldeck_cudnn_conv_add_relu(const at::Tensor *sum, const at::Tensor *x, const at::Tensor *weight, const at::Tensor *bias,
                                   const Shape *shape, at::Tensor **out) {
  return guarded([&] {
    *out = new at::Tensor(at::cudnn_convolution_add_relu(*x, *weight, *sum, 1.0, *bias, shape->stride, shape->padding, {1, 1}, 1));
  });
}

}  // extern "C"
