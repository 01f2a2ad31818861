// The execution contexts of this process: one for the CPU; a CUDA back end adds its own.
#pragma once

#include "kernels/context.h"

namespace oche {

kernels::CpuContext& cpu_context();

// The number of threads the CPU kernels use, the caller among them; results do not depend on it.
// Not while ops run.
void set_num_threads(int threads);
int num_threads();

using kernels::instruction_set;

}  // namespace oche
