// Teams: how the threads of a block share a reduction of the middle of (outer, n, inner). An item
// is one column, or W neighbouring ones, of one slab; the `lanes` threads of its team take every
// lanes-th row of it and then merge what they have. How many lanes a team has follows from the
// shape alone, and so does the order of every sum.
#pragma once

#include "kernels/blocks.h"
#include "kernels/cuda/device.cuh"

namespace oche::kernels::cuda {

// W for rows of `inner` elements, as far as the shape allows it; whether the pointers do as well is
// aligned()'s to say. Lanes are counted by this W in either case.
template <typename T>
int vector_width(int64_t inner) {
  constexpr int kWidth = 16 / sizeof(T);
  return inner % kWidth == 0 ? kWidth : 1;
}

// Lanes for teams whose threads are neighbours (inner = 1): `per_lane` elements or more for each,
// as long as a warp holds more than one team; a power of two up to a warp, or the whole block.
inline int row_lanes(int64_t n, int64_t per_lane) {
  if (n > per_lane * 2 * kWarpSize) return kBlockSize;
  int lanes = 1;
  while (lanes < kWarpSize && lanes * per_lane < n) lanes *= 2;
  return lanes;
}

// Lanes for teams that read columns: four rows or more for each, and in a block so many columns
// side by side that they make up 64 bytes.
inline int column_lanes(int64_t rows, int64_t item_bytes) {
  return static_cast<int>(std::clamp<int64_t>(rows / 4, 1, kBlockSize * item_bytes / 64));
}

// One block for as many items as it has teams.
inline unsigned team_grid(int64_t items, int lanes) {
  return grid_blocks(ceil_div(items, kBlockSize / lanes));
}

// Quotients of n in [0, 2^63) by one divisor > 0, as the upper half of a product (Granlund and
// Montgomery, "Division by invariant integers using multiplication", PLDI 1994): a division of 64
// bits is a call with some 70 instructions. With 2^(l-1) < d <= 2^l and m = ceil(2^(63+l) / d),
// floor(n m / 2^(63+l)) exceeds n / d by less than 1 / d.
class Divider {
 public:
  explicit Divider(int64_t divisor) : divisor_(std::max<int64_t>(1, divisor)) {
    while (int64_t{1} << shift_ < divisor_) ++shift_;
    __extension__ using Wide = unsigned __int128;
    const Wide d = static_cast<Wide>(divisor_);
    magic_ = static_cast<uint64_t>(((Wide{1} << (63 + shift_)) + d - 1) / d);
  }
  __device__ int64_t divisor() const { return divisor_; }
  __device__ int64_t quotient(int64_t n) const {
    return static_cast<int64_t>(high_product(2 * static_cast<uint64_t>(n), magic_) >> shift_);
  }
  // n % divisor, where `quotient` is n / divisor.
  __device__ int64_t rest(int64_t n, int64_t quotient) const { return n - quotient * divisor_; }

 private:
  __device__ static uint64_t high_product(uint64_t a, uint64_t b) {
#ifdef OCHE_CUDA_HOST
    __extension__ using Wide = unsigned __int128;
    return static_cast<uint64_t>((Wide{a} * b) >> 64);
#else
    return __umul64hi(a, b);
#endif
  }

  int64_t divisor_;
  uint64_t magic_;
  int shift_ = 0;
};

struct Plus {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

// The place of a thread among the teams of its block, kBlockSize threads. kNeighbours: the lanes of
// a team follow one another, for rows; else those of one lane in all teams do, for columns.
template <bool kNeighbours>
struct Team {
  int lanes, teams;  // of a block
  int lane, team;    // the last threads of a block may have lane >= lanes: they have no team

  __device__ explicit Team(int lanes_of_team)
      : lanes(lanes_of_team), teams(kBlockSize / lanes_of_team) {
    const int thread = static_cast<int>(threadIdx.x);
    lane = kNeighbours ? thread % lanes : thread / teams;
    team = kNeighbours ? thread / lanes : thread % teams;
  }

  // The items that a block goes through: body(item, live) for each, by all threads at once, so
  // that they may meet in merge(). live: the item exists and the thread has a part in it.
  template <typename Body>
  __device__ void for_items(int64_t items, const Body& body) const {
    const int64_t step = static_cast<int64_t>(gridDim.x) * teams;
    for (int64_t first = static_cast<int64_t>(blockIdx.x) * teams; first < items; first += step) {
      const int64_t item = first + team;
      body(item, item < items && lane < lanes);
    }
  }

  // value[i] of all lanes of the team, merged by halves, to each of them; merge(a, b) and
  // merge(b, a) are the same. The whole block takes part.
  template <typename V, int N, typename Merge>
  __device__ void merge(V (&value)[N], const Merge& merge) const {
    if constexpr (kNeighbours) {
      for (V& v : value) {
        if (lanes > kWarpSize) {
          v = block_merge(v, merge);
        } else {
          for (int bits = lanes / 2; bits > 0; bits /= 2) {
            v = merge(v, __shfl_xor_sync(kAllLanes, v, bits));
          }
        }
      }
    } else {
      if (lanes == 1) return;
      CU_SHARED(V, partial, N * kBlockSize);
      const int thread = static_cast<int>(threadIdx.x);
      __syncthreads();  // what an earlier call left there has been read
      for (int i = 0; i < N; ++i) partial[i * kBlockSize + thread] = value[i];
      for (int left = lanes; left > 1;) {
        const int half = (left + 1) / 2;
        __syncthreads();
        if (lane + half < left) {
          for (int i = 0; i < N; ++i) {
            V* const mine = partial + i * kBlockSize + thread;
            *mine = merge(*mine, mine[half * teams]);
          }
        }
        left = half;
      }
      __syncthreads();
      for (int i = 0; i < N; ++i) value[i] = partial[i * kBlockSize + team];
    }
  }
};

}  // namespace oche::kernels::cuda
