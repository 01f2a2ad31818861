// Bytes that go to a device while it computes: two buffers on the host, used in turn, each with its
// twin on the device, and a queue of the device's for copies alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "engine/types.h"

namespace oche {

// The calls that an Upload is made of; `slot` is 0 or 1. The device has two queues, of work and of
// copies, that know nothing of each other but for these calls. None waits but the one that says so.
class UploadDriver {
 public:
  virtual ~UploadDriver() = default;

  virtual std::byte* on_host(int slot) = 0;
  virtual const std::byte* on_device(int slot) = 0;

  virtual void host_awaits_copy(int slot) = 0;  // returns when the slot's last copy has been made
  virtual void copies_await_use(int slot) = 0;  // later copies come after the slot's last use
  virtual void copy(int slot, int64_t bytes) = 0;  // the first bytes of the slot
  virtual void work_awaits_copy(int slot) = 0;     // later work comes after the slot's last copy
  virtual void mark_use(
      int slot) = 0;  // the work so far is the slot's last use, for the time being
};

// The driver of a CUDA device, for slots of so many bytes. Throws OutOfMemory;
// std::invalid_argument where the device is none.
std::unique_ptr<UploadDriver> make_upload_driver(Device device, int64_t bytes);

// First sent, first received; at most two are under way.
class Upload {
 public:
  static constexpr int64_t kSlots = 2;

  explicit Upload(std::unique_ptr<UploadDriver> driver) : driver_(std::move(driver)) {}

  int64_t pending() const { return sent_ - received_; }  // sent and not yet received

  // write(to) puts `bytes` there, which are then copied beside what the device is doing. Waits only
  // where the copy before the last is still under way. Throws std::logic_error where two are
  // pending. If write() throws, nothing is sent.
  void send(int64_t bytes, const std::function<void(std::byte*)>& write);

  // read(from) asks the device for work on the bytes, which it then does when they have arrived.
  // They stay until that work is done and no longer. Throws std::logic_error where none is pending.
  // If read() throws, they are still to be received.
  void receive(const std::function<void(const std::byte*)>& read);

 private:
  std::unique_ptr<UploadDriver> driver_;
  int64_t sent_ = 0, received_ = 0;
};

}  // namespace oche
