// Tensors in safetensors files. Files hold PyTorch's layouts: see Layout.
#pragma once

#include <string>
#include <vector>

#include "engine/nn.h"
#include "engine/safetensors.h"

namespace oche {

// The array called `name`, brought into memory layout and, if it is floating, into `dtype`. Throws
// FormatError naming the file and the array when it is absent or of another kind.
Tensor read_tensor(const SafetensorsFile& file,
                   const std::string& name,
                   DType dtype,
                   Layout layout = Layout::kPlain);
void add_tensor(SafetensorsWriter& writer,
                const std::string& name,
                const Tensor& t,
                Layout layout = Layout::kPlain);

// Overwrites `target` with the array called `name`; FormatError unless the shapes agree.
void read_into(const Tensor& target,
               const SafetensorsFile& file,
               const std::string& name,
               Layout layout = Layout::kPlain);

// All parameters and buffers under prefix + name.
void read_parameters(const std::vector<NamedParameter>& parameters,
                     const SafetensorsFile& file,
                     const std::string& prefix);
void read_buffers(const std::vector<NamedBuffer>& buffers,
                  const SafetensorsFile& file,
                  const std::string& prefix);
void add_parameters(SafetensorsWriter& writer,
                    const std::vector<NamedParameter>& parameters,
                    const std::string& prefix);
void add_buffers(SafetensorsWriter& writer,
                 const std::vector<NamedBuffer>& buffers,
                 const std::string& prefix);

}  // namespace oche
