// PNG and JPEG images, written by the same libraries, and folders of them.
#include <algorithm>
#include <cstdio>  // which jpeglib.h needs and does not include
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/error.h"
#include "nas/data/image_file.h"
#include "nas/data/image_folder.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"

#if OCHE_HAVE_PNG
#include <png.h>
#endif
#if OCHE_HAVE_JPEG
#include <jpeglib.h>
#endif

using namespace oche;
using namespace oche::nas;
using namespace oche::test;
namespace fs = std::filesystem;

namespace {

// A smooth picture, so that JPEG keeps it: pixel p of channel c is 40 + p / 2 + 60 c.
[[maybe_unused]] Image picture(int64_t height, int64_t width, int64_t channels) {
  Image image{.height = height, .width = width, .channels = channels};
  for (int64_t p = 0; p < height * width; ++p) {
    for (int64_t c = 0; c < channels; ++c)
      image.pixels.push_back(static_cast<uint8_t>(40 + p / 2 + 60 * c));
  }
  return image;
}

#if OCHE_HAVE_PNG
// `format` of libpng's simplified interface, of one byte a channel.
std::string png_bytes(int64_t height, int64_t width, uint32_t format, const void* pixels) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.height = static_cast<uint32_t>(height);
  png.width = static_cast<uint32_t>(width);
  png.format = format;
  png_alloc_size_t size = 0;
  REQUIRE(png_image_write_to_memory(&png, nullptr, &size, 0, pixels, 0, nullptr));
  std::string bytes(size, '\0');
  REQUIRE(png_image_write_to_memory(&png, bytes.data(), &size, 0, pixels, 0, nullptr));
  bytes.resize(size);
  return bytes;
}

std::string png_bytes(const Image& image) {
  return png_bytes(image.height,
                   image.width,
                   image.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY,
                   image.pixels.data());
}

// A row of grey pixels in 16 bits each, whose two bytes are the level: without a word on gamma,
// which the simplified interface cannot leave out.
std::string deep_png_bytes(const std::vector<uint8_t>& levels) {
  std::string bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  const auto append = [](png_structp writer, png_bytep data, size_t size) {
    static_cast<std::string*>(png_get_io_ptr(writer))->append(reinterpret_cast<char*>(data), size);
  };
  png_set_write_fn(png, &bytes, append, nullptr);
  const auto width = static_cast<png_uint_32>(levels.size());
  png_set_IHDR(png, info, width, 1, 16, PNG_COLOR_TYPE_GRAY, 0, 0, 0);
  png_write_info(png, info);
  std::vector<uint8_t> row;
  for (const uint8_t level : levels) row.insert(row.end(), 2, level);
  png_write_row(png, row.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}
#endif

#if OCHE_HAVE_JPEG
std::string jpeg_bytes(const Image& image) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &out, &size);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.input_components = static_cast<int>(image.channels);
  info.in_color_space = image.channels == 1   ? JCS_GRAYSCALE
                        : image.channels == 3 ? JCS_RGB
                                              : JCS_CMYK;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 100, TRUE);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    auto* row = const_cast<uint8_t*>(image.pixels.data()) +
                static_cast<int64_t>(info.next_scanline) * image.width * image.channels;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::string bytes(reinterpret_cast<const char*>(out), size);
  std::free(out);
  return bytes;
}
#endif

[[maybe_unused]] int64_t largest_difference(const Image& a, const Image& b) {
  int64_t largest = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i)
    largest = std::max<int64_t>(largest, std::abs(a.pixels[i] - b.pixels[i]));
  return largest;
}

std::string refusal(const std::string& bytes) {
  return message_of<DataError>([&] { decode_image(bytes, "some file"); });
}

void write(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

TEST_CASE("what is no image is refused by its first bytes") {
  for (const std::string bytes : {"", "GIF89a", "\x89PNG", "P6 1 1 255 abc"}) {
    CHECK(refusal(bytes) == "'some file': neither a PNG nor a JPEG image at byte 0");
  }
}

TEST_CASE("a format that the build lacks is named with its package") {
  if (libpng_version().empty()) {
    CHECK(contains(refusal("\x89PNG\r\n\x1a\n"), "needs libpng, which this build lacks"));
  }
  if (libjpeg_version().empty()) {
    CHECK(contains(refusal("\xff\xd8\xff"), "needs libjpeg, which this build lacks"));
  }
}

#if OCHE_HAVE_PNG
TEST_CASE("PNG images are decoded to the byte") {
  for (const int64_t channels : {1, 3}) {
    const Image image = picture(5, 7, channels), read = decode_image(png_bytes(image), "memory");
    CHECK(read.height == 5);
    CHECK(read.width == 7);
    CHECK(read.channels == channels);
    CHECK(read.pixels == image.pixels);
  }
  // Transparent white over black, and 16 bits.
  const std::vector<uint8_t> rgba = {255, 255, 255, 0, 200, 100, 50, 255};
  const Image blended = decode_image(png_bytes(1, 2, PNG_FORMAT_RGBA, rgba.data()), "memory");
  CHECK(blended.pixels == std::vector<uint8_t>{0, 0, 0, 200, 100, 50});
  const Image deep = decode_image(deep_png_bytes({0, 0x40, 0x81, 0xff}), "memory");
  CHECK(deep.channels == 1);
  CHECK(deep.pixels == std::vector<uint8_t>{0, 0x40, 0x81, 0xff});
}

TEST_CASE("damaged PNG images are refused") {
  const std::string good = png_bytes(picture(9, 9, 3));
  for (size_t length = 8; length < good.size() - 12; ++length) {  // 12: the end marker
    CAPTURE(length);
    CHECK(contains(refusal(good.substr(0, length)), "'some file': libpng: "));
  }
  std::string flipped = good;
  flipped[flipped.size() - 20] ^= 1;  // in the compressed pixels, or their checksum
  CHECK(contains(refusal(flipped), "libpng: "));
  CHECK(contains(refusal(png_bytes(picture(1, 4097, 1))), "1x4097 pixels, expected sides of 1 to"));
}
#endif

#if OCHE_HAVE_JPEG
TEST_CASE("JPEG images are decoded as well as they were kept") {
  for (const int64_t channels : {1, 3}) {
    const Image image = picture(6, 11, channels), read = decode_image(jpeg_bytes(image), "memory");
    CHECK(read.height == 6);
    CHECK(read.width == 11);
    CHECK(read.channels == channels);
    REQUIRE(read.pixels.size() == image.pixels.size());
    CHECK(largest_difference(read, image) <= 12);  // colours are kept at half the resolution
  }
}

TEST_CASE("damaged JPEG images are refused") {
  const std::string good = jpeg_bytes(picture(9, 9, 3));
  for (size_t length = 3; length < good.size() - 2; ++length) {  // 2: the end marker
    CAPTURE(length);
    CHECK(contains(refusal(good.substr(0, length)), "'some file': libjpeg: "));
  }
  CHECK(contains(refusal(jpeg_bytes(picture(2, 2, 4))), "4 colour components, expected 1 or 3"));
  CHECK(contains(refusal(jpeg_bytes(picture(4097, 1, 1))), "4097x1 pixels"));
}
#endif

TEST_CASE("folders that hold no classes are refused") {
  const TemporaryDirectory directory;
  const auto refused = [&](const fs::path& folder) {
    return message_of<DataError>([&] { load_image_folder(folder, Part::kTrain); });
  };
  CHECK(contains(refused(directory.path() / "none"), "cannot be listed: No such file"));
  CHECK(contains(refused(directory.path()), "0 sub-folders; expected one for each of at least 2"));
  write(directory.path() / "a" / "x.png", "");
  fs::create_directory(directory.path() / ".hidden");
  CHECK(contains(refused(directory.path()), "1 sub-folders; expected"));
  write(directory.path() / "b" / "notes.txt", "");
  CHECK(contains(refused(directory.path()), "b': no PNG or JPEG image in this class"));
  write(directory.path() / "b" / "y.jpg", "");
  CHECK(contains(refused(directory.path()), "a/x.png': neither a PNG nor a JPEG image at byte 0"));
  CHECK(contains(message_of<DataError>([&] { image_folder_shape(directory.path()); }), "a/x.png"));
}

#if OCHE_HAVE_PNG
TEST_CASE("a folder of images is read in the order of its names") {
  const TemporaryDirectory directory;
  const fs::path root = directory.path();
  const auto add = [&](const std::string& file, int value, int64_t height = 3, int64_t width = 2) {
    Image image = picture(height, width, 1);
    image.pixels[0] = static_cast<uint8_t>(value);
    write(root / file, png_bytes(image));
  };
  add("b/2.PNG", 4);
  add("b/10.png", 3);
  add("a/deep/er/z.jpg", 1);  // the contents tell the format
  add("a/z.png", 2);
  add("B/1.png", 0);
  write(root / "a" / "readme.md", "no image");
  write(root / "a" / ".x.png", "no image");
  write(root / "list.csv", "no class");

  const DatasetShape shape = image_folder_shape(root);
  CHECK(shape.images == 5);
  CHECK(shape.classes == 3);
  CHECK(shape.height == 3);
  CHECK(shape.width == 2);
  CHECK(shape.channels == 1);
  const Dataset set = load_image_folder(root, Part::kTrain);
  CHECK(set.labels == std::vector<int64_t>{0, 1, 1, 2, 2});
  for (size_t i = 0; i < 5; ++i) CHECK(set.pixels[i * 6] == i);
  REQUIRE(set.mean.size() == 1);
  double sum = 0;
  for (const uint8_t pixel : set.pixels) sum += pixel;
  CHECK(set.mean[0] == Approx(sum / 30 / 255));

  const auto refused = [&](Part part) {
    return message_of<DataError>([&] { load_image_folder(root, part); });
  };
  add("b/9.png", 0, 2, 3);
  CHECK(contains(refused(Part::kTrain), "b/9.png': 2x3 pixels of 1 channels, expected 3x2 of 1"));
  write(root / "b" / "9.png", png_bytes(picture(3, 2, 3)));
  CHECK(contains(refused(Part::kTrain), "b/9.png': 3x2 pixels of 3 channels, expected 3x2 of 1"));
  fs::remove(root / "b" / "9.png");
  CHECK(contains(refused(Part::kTest), "test': cannot be listed"));

  // With train/ inside, the classes are in there, and test/ is the other part.
  add("train/cat/1.png", 7);
  add("train/dog/1.png", 8);
  add("test/cat/1.png", 9);
  add("test/cow/1.png", 9);
  CHECK(load_image_folder(root, Part::kTrain).size() == 2);
  CHECK(contains(refused(Part::kTest), "test': classes cat, cow; expected those of the training"));
  fs::rename(root / "test" / "cow", root / "test" / "dog");
  const Dataset test = load_image_folder(root, Part::kTest);
  CHECK(test.pixels[0] == 9);
  CHECK(test.mean == load_image_folder(root, Part::kTrain).mean);
}
#endif
