// The device of new tensors.
#include "engine/device.h"

namespace oche {
namespace {

Device chosen;

}  // namespace

Device default_device() {
  return chosen;
}
void set_default_device(Device device) {
  if (device.type == DeviceType::kCuda) cuda_context(device.index);  // throws where there is none
  chosen = device;
}

}  // namespace oche
