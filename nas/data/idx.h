// The idx format of MNIST (LeCun, Cortes, Burges): two zero bytes, the element type, the number of
// dimensions, their extents as big-endian 32-bit numbers, the elements.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "nas/data/dataset.h"

namespace oche::nas {

struct IdxArray {
  std::vector<int64_t> shape;
  std::string_view values;  // unsigned bytes, row-major; part of what was parsed
};

// An array of unsigned bytes with `rank` dimensions, which must fill `bytes` exactly. Throws
// DataError naming the source and the byte at which it departs from the format.
IdxArray parse_idx(std::string_view bytes, int64_t rank, std::string_view source);

// Contents in memory; source names them in errors.
struct IdxFile {
  std::string_view bytes, source;
};

// Appends images (n, height, width), of the size that `set` has, and labels (n), each below its
// number of classes, to a set of one channel. Throws DataError as above.
void append_idx(const IdxFile& images, const IdxFile& labels, Dataset& set);

}  // namespace oche::nas
