// What a thread of a kernel may call: synchronisation, and the shared memory of its block. model.h
// spells them as CUDA does.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oche::cuda_host {

// Where a kernel called.
struct Site {
  const char* call;
  const char* file;
  int line;
};

// Waits for all threads of the block; returns for how many of them `predicate` holds.
int barrier(bool predicate, Site);
// Waits for the lanes of `mask`, of which the caller is one; returns the values of the 32 lanes,
// all bits set for those not in the mask. They are valid up to the next call.
const uint64_t* meet(unsigned mask, uint64_t value, bool orders_memory, Site);
int lane();
// The block's array of the declaration `key`, of 0xFF bytes when it is new.
void* shared(const void* key, size_t bytes, size_t align);
void* dynamic_shared();
void fence();

}  // namespace oche::cuda_host
