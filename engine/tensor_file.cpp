// Tensors in safetensors files.
#include "engine/tensor_file.h"

#include <fmt/format.h>

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/error.h"
#include "engine/ops.h"

namespace oche {
namespace {

template <typename T>
Tensor read_as(const SafetensorsFile& file, const SafetensorsEntry& entry) {
  return Tensor::from(file.read<T>(entry.name), entry.shape);
}

Tensor read_raw(const SafetensorsFile& file, const SafetensorsEntry& entry) {
  switch (entry.dtype) {
    case FileDtype::kF32:
      return read_as<float>(file, entry);
    case FileDtype::kF64:
      return read_as<double>(file, entry);
    case FileDtype::kI64:
      return read_as<int64_t>(file, entry);
    case FileDtype::kU8:
      return read_as<uint8_t>(file, entry);
    default:
      break;
  }
  throw FormatError(fmt::format("{}: array {} is {}; expected F32, F64, I64 or U8",
                                file.source(),
                                quote(entry.name),
                                name_of(entry.dtype)));
}

}  // namespace

Tensor read_tensor(const SafetensorsFile& file,
                   const std::string& name,
                   DType dtype,
                   Layout layout) {
  const NoGrad no_grad;
  const SafetensorsEntry& entry = file.at(name);
  Tensor t = read_raw(file, entry);
  if (is_floating(t.dtype()) != is_floating(dtype)) {
    throw FormatError(fmt::format("{}: array {} is {}; expected {}",
                                  file.source(),
                                  quote(name),
                                  name_of(entry.dtype),
                                  to_string(dtype)));
  }
  if (layout == Layout::kConvWeight && t.rank() != 4) {
    throw FormatError(
        fmt::format("{}: array {} has shape {}; expected a convolution weight (out, in, h, w)",
                    file.source(),
                    quote(name),
                    to_string(t.shape())));
  }
  return contiguous(from_file_layout(cast(t, dtype), layout));
}

void add_tensor(SafetensorsWriter& writer,
                const std::string& name,
                const Tensor& t,
                Layout layout) {
  const Tensor stored = to_file_layout(t.detach(), layout);
  dispatch_any(stored,
               [&]<typename T>(auto&) { writer.add(name, stored.shape(), stored.to_vector<T>()); });
}

void read_into(const Tensor& target,
               const SafetensorsFile& file,
               const std::string& name,
               Layout layout) {
  const Tensor t = read_tensor(file, name, target.dtype(), layout);
  if (t.shape() != target.shape()) {
    throw FormatError(fmt::format("{}: array {} has shape {}; this network needs {}",
                                  file.source(),
                                  quote(name),
                                  to_string(file.at(name).shape),
                                  to_string(file_shape(target.shape(), layout))));
  }
  target.assign(t);
}

void read_parameters(const std::vector<NamedParameter>& parameters,
                     const SafetensorsFile& file,
                     const std::string& prefix) {
  for (const auto& [name, p] : parameters) read_into(p->value, file, prefix + name, p->layout);
}
void read_buffers(const std::vector<NamedBuffer>& buffers,
                  const SafetensorsFile& file,
                  const std::string& prefix) {
  for (const auto& [name, tensor] : buffers) read_into(tensor, file, prefix + name);
}
void add_parameters(SafetensorsWriter& writer,
                    const std::vector<NamedParameter>& parameters,
                    const std::string& prefix) {
  for (const auto& [name, p] : parameters) add_tensor(writer, prefix + name, p->value, p->layout);
}
void add_buffers(SafetensorsWriter& writer,
                 const std::vector<NamedBuffer>& buffers,
                 const std::string& prefix) {
  for (const auto& [name, tensor] : buffers) add_tensor(writer, prefix + name, tensor);
}

}  // namespace oche
