// Images in folders: each sub-folder is a class, in the byte order of their names; its images are
// the files *.png, *.jpg and *.jpeg in it, at any depth, in the order of their paths. What begins
// with a dot and other files are passed over.
#pragma once

#include <filesystem>

#include "nas/data/dataset.h"

namespace oche::nas {

// The classes are those of directory/train where there is such a sub-folder, of `directory`
// otherwise. Looks at the names of all files and at the first image. Throws DataError.
DatasetShape image_folder_shape(const std::filesystem::path& directory);

// The training images, or those of directory/test, which has the same classes. All must have the
// size and the channels of the first training image. Throws DataError naming the file.
Dataset load_image_folder(const std::filesystem::path& directory, Part part);

}  // namespace oche::nas
