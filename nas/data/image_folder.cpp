// Lists folders and reads their images.
#include "nas/data/image_folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <vector>

#include "engine/error.h"
#include "nas/data/data_file.h"
#include "nas/data/image_file.h"

namespace oche::nas {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxFileBytes = int64_t{1} << 28;

[[noreturn]] void fail(const fs::path& path, std::string_view what) {
  throw DataError(fmt::format("{}: {}", quote(path.native(), 400), what));
}

bool is_hidden(const fs::path& path) {
  return path.filename().native().starts_with('.');
}

bool is_image(const fs::path& path) {
  std::string extension = path.extension().native();
  for (char& c : extension) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

// The paths of those entries that `wanted` holds for, in byte order. Iterator: of a directory, or a
// recursive one.
template <typename Iterator, typename Wanted>
std::vector<fs::path> sorted_entries(const fs::path& directory, const Wanted& wanted) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (Iterator entry(directory, error); !error && entry != Iterator(); entry.increment(error)) {
    if (!is_hidden(entry->path()) && wanted(*entry)) paths.push_back(entry->path());
  }
  if (error) {
    fail(directory,
         fmt::format("cannot be listed: {}; expected a folder of images", error.message()));
  }
  std::ranges::sort(paths, {}, [](const fs::path& path) { return path.native(); });
  return paths;
}

struct Listing {
  std::vector<std::string> classes;
  std::vector<fs::path> images;
  std::vector<int64_t> labels;
};

Listing list_images(const fs::path& folder) {
  const std::vector<fs::path> folders =
      sorted_entries<fs::directory_iterator>(folder, [](const fs::directory_entry& entry) {
        std::error_code ignored;
        return entry.is_directory(ignored);
      });
  if (folders.size() < 2) {
    fail(folder,
         fmt::format("{} sub-folders; expected one for each of at least 2 classes, with PNG or "
                     "JPEG images in it",
                     folders.size()));
  }
  Listing listing;
  for (const fs::path& path : folders) {
    const std::vector<fs::path> images = sorted_entries<fs::recursive_directory_iterator>(
        path, [](const fs::directory_entry& entry) {
          std::error_code ignored;
          return is_image(entry.path()) && entry.is_regular_file(ignored);
        });
    if (images.empty()) fail(path, "no PNG or JPEG image in this class; add some or remove it");
    listing.images.insert(listing.images.end(), images.begin(), images.end());
    listing.labels.insert(listing.labels.end(), images.size(), std::ssize(listing.classes));
    listing.classes.push_back(path.filename().native());
  }
  return listing;
}

Listing list_training_images(const fs::path& directory) {
  std::error_code ignored;
  const fs::path inside = directory / "train";
  return list_images(fs::is_directory(inside, ignored) ? inside : directory);
}

Image read_image(const fs::path& file) {
  return decode_image(read_data_file(file, kMaxFileBytes), file.native());
}

DatasetShape shape_of(const Listing& listing) {
  const Image first = read_image(listing.images.front());
  return {.images = std::ssize(listing.images),
          .height = first.height,
          .width = first.width,
          .channels = first.channels,
          .classes = std::ssize(listing.classes)};
}

Dataset read_images(const Listing& listing, const DatasetShape& shape) {
  Dataset set{.name = "folder",
              .classes = shape.classes,
              .height = shape.height,
              .width = shape.width,
              .channels = shape.channels,
              .labels = listing.labels};
  set.pixels.reserve(static_cast<size_t>(set.size() * set.image_size()));
  for (const fs::path& file : listing.images) {
    const Image image = read_image(file);
    if (image.height != set.height || image.width != set.width || image.channels != set.channels) {
      fail(file,
           fmt::format("{}x{} pixels of {} channels, expected {}x{} of {} as in the first image; "
                       "bring all images to one size and colour space",
                       image.height,
                       image.width,
                       image.channels,
                       set.height,
                       set.width,
                       set.channels));
    }
    set.pixels.insert(set.pixels.end(), image.pixels.begin(), image.pixels.end());
  }
  return set;
}

}  // namespace

DatasetShape image_folder_shape(const fs::path& directory) {
  return shape_of(list_training_images(directory));
}

Dataset load_image_folder(const fs::path& directory, Part part) {
  const Listing listing = list_training_images(directory);
  const DatasetShape shape = shape_of(listing);
  Dataset train = read_images(listing, shape);
  measure_channels(train);
  if (part == Part::kTrain) return train;

  const fs::path folder = directory / "test";
  const Listing tests = list_images(folder);
  if (tests.classes != listing.classes) {
    fail(folder,
         fmt::format("classes {}; expected those of the training images, {}",
                     fmt::join(tests.classes, ", "),
                     fmt::join(listing.classes, ", ")));
  }
  Dataset test = read_images(tests, shape);
  test.mean = train.mean;
  test.deviation = train.deviation;
  return test;
}

}  // namespace oche::nas
