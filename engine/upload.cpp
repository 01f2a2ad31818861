// The turns of an upload.
#include "engine/upload.h"

#include <stdexcept>

namespace oche {

void Upload::send(int64_t bytes, const std::function<void(std::byte*)>& write) {
  if (pending() == kSlots) throw std::logic_error("upload: both slots are to be received first");
  const int slot = static_cast<int>(sent_ % kSlots);
  driver_->host_awaits_copy(slot);
  write(driver_->on_host(slot));
  driver_->copies_await_use(slot);
  driver_->copy(slot, bytes);
  ++sent_;
}

void Upload::receive(const std::function<void(const std::byte*)>& read) {
  if (pending() == 0) throw std::logic_error("upload: nothing was sent");
  const int slot = static_cast<int>(received_ % kSlots);
  driver_->work_awaits_copy(slot);
  read(driver_->on_device(slot));
  driver_->mark_use(slot);
  ++received_;
}

}  // namespace oche
