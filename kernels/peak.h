// Multiply-adds on registers alone: what the machine could compute if it never waited for memory.
#pragma once

#include <cstdint>

#include "kernels/context.h"

namespace oche::kernels {

// Runs `rounds` of independent chains of multiply-adds in each of `tasks` tasks: on the CPU with
// the vectors that the other kernels are compiled for, on a CUDA device in a thread each. y[task]
// takes a result that depends on all of them. Returns the number of floating-point operations, two
// for a multiply-add.
template <typename T>
int64_t multiply_add_chains(CpuContext&, int64_t tasks, int64_t rounds, T* y);
template <typename T>
int64_t multiply_add_chains(CudaContext&, int64_t tasks, int64_t rounds, T* y);

}  // namespace oche::kernels
