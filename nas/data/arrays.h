// Images and labels as arrays of a safetensors file, laid out as in PyTorch: x_train (n, channels,
// height, width), or (n, height, width) for one channel, of U8, F32 or F64, and y_train (n) of any
// integer type; x_test and y_test likewise. Bytes are pixels; floats are taken as they are.
#pragma once

#include <filesystem>

#include "engine/safetensors.h"
#include "nas/data/dataset.h"

namespace oche::nas {

// The images of one part. There are as many classes as the largest label of y_train says. Throws
// DataError naming the array, and the byte where a value is out of range.
Dataset read_arrays(const SafetensorsFile& file, Part part);

// The same from a file; the shape takes reading it, for only the labels tell the classes.
Dataset load_arrays(const std::filesystem::path& path, Part part);
DatasetShape arrays_shape(const std::filesystem::path& path);

}  // namespace oche::nas
