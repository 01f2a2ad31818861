// Decodes images by libpng's simplified interface and by libjpeg.
#include "nas/data/image_file.h"

#include <fmt/format.h>

#include <cstdio>  // which jpeglib.h needs and does not include
#include <memory>

#include "engine/error.h"
#include "nas/data/data_file.h"

#if OCHE_HAVE_PNG
#include <png.h>
#endif
#if OCHE_HAVE_JPEG
#include <jpeglib.h>

#include <csetjmp>
#endif

namespace oche::nas {
namespace {

constexpr std::string_view kPngStart = "\x89PNG\r\n\x1a\n", kJpegStart = "\xff\xd8\xff";

[[noreturn]] void fail(std::string_view source, std::string_view what) {
  throw DataError(fmt::format("{}: {}", quote(source, 400), what));
}

// Room for the pixels of an image of a size that a file claims.
[[maybe_unused]] Image make_image(int64_t height,
                                  int64_t width,
                                  int64_t channels,
                                  std::string_view source) {
  if (height < 1 || width < 1 || height > kMaxImageSide || width > kMaxImageSide) {
    fail(source,
         fmt::format("{}x{} pixels, expected sides of 1 to {}", height, width, kMaxImageSide));
  }
  Image image{.height = height, .width = width, .channels = channels};
  image.pixels.resize(static_cast<size_t>(height * width * channels));
  return image;
}

#if OCHE_HAVE_PNG
Image decode_png(std::string_view bytes, std::string_view source) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, decltype(&png_image_free)> cleanup(&png, png_image_free);
  if (!png_image_begin_read_from_memory(&png, bytes.data(), bytes.size())) {
    fail(source, fmt::format("libpng: {}", png.message));
  }
  const bool is_colour = (png.format & PNG_FORMAT_FLAG_COLOR) != 0;
  png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // as 8 bits are; otherwise they are taken for linear
  png.format = is_colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  Image image = make_image(png.height, png.width, is_colour ? 3 : 1, source);
  const png_color black{};
  if (!png_image_finish_read(&png, &black, image.pixels.data(), 0, nullptr)) {
    fail(source, fmt::format("libpng: {}", png.message));
  }
  return image;
}
#else
Image decode_png(std::string_view, std::string_view source) {
  fail(source, "a PNG image needs libpng, which this build lacks (Debian: libpng-dev)");
}
#endif

#if OCHE_HAVE_JPEG
// libjpeg reports errors by a function that must not return, and calls from C cannot be left by an
// exception. So each step jumps back to its own start; no step holds an object with a destructor.
class JpegDecoder {
 public:
  explicit JpegDecoder(std::string_view bytes) : bytes_(bytes) {}
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }

  // False when the step failed: message() says why.
  bool read_header() {
    info_.err = jpeg_std_error(&errors_.manager);
    errors_.manager.error_exit = jump_back;
    // Corrupt data is only worth a warning to libjpeg, which fills what is missing with grey.
    errors_.manager.emit_message = [](j_common_ptr info, int level) {
      if (level < 0) jump_back(info);
    };
    if (setjmp(errors_.start)) return false;
    jpeg_create_decompress(&info_);
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
    jpeg_read_header(&info_, TRUE);
    return true;
  }
  bool read_pixels(uint8_t* out) {
    if (setjmp(errors_.start)) return false;
    info_.out_color_space = info_.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      const size_t row_bytes = size_t{info_.output_width} * info_.output_components;
      JSAMPROW row = out + info_.output_scanline * row_bytes;
      jpeg_read_scanlines(&info_, &row, 1);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  int64_t height() const { return info_.image_height; }
  int64_t width() const { return info_.image_width; }
  int64_t components() const { return info_.num_components; }
  const char* message() const { return errors_.message; }

 private:
  struct Errors {
    jpeg_error_mgr manager;  // the first member, so that libjpeg's pointer to it is one to Errors
    std::jmp_buf start;
    char message[JMSG_LENGTH_MAX];
  };

  [[noreturn]] static void jump_back(j_common_ptr info) {
    auto* errors = reinterpret_cast<Errors*>(info->err);
    errors->manager.format_message(info, errors->message);
    std::longjmp(errors->start, 1);
  }

  std::string_view bytes_;
  jpeg_decompress_struct info_{};
  Errors errors_{};
};

Image decode_jpeg(std::string_view bytes, std::string_view source) {
  JpegDecoder decoder(bytes);
  const auto check = [&](bool succeeded) {
    if (!succeeded) fail(source, fmt::format("libjpeg: {}", decoder.message()));
  };
  check(decoder.read_header());
  if (decoder.components() != 1 && decoder.components() != 3) {
    fail(source, fmt::format("{} colour components, expected 1 or 3", decoder.components()));
  }
  Image image = make_image(decoder.height(), decoder.width(), decoder.components(), source);
  check(decoder.read_pixels(image.pixels.data()));
  return image;
}
#else
Image decode_jpeg(std::string_view, std::string_view source) {
  fail(source, "a JPEG image needs libjpeg, which this build lacks (Debian: libjpeg-dev)");
}
#endif

}  // namespace

std::string libpng_version() {
#if OCHE_HAVE_PNG
  return png_get_libpng_ver(nullptr);
#else
  return "";
#endif
}

std::string libjpeg_version() {
#if defined(LIBJPEG_TURBO_VERSION_NUMBER)
  constexpr int kVersion = LIBJPEG_TURBO_VERSION_NUMBER;
  return fmt::format(
      "turbo {}.{}.{}", kVersion / 1'000'000, kVersion / 1000 % 1000, kVersion % 1000);
#elif OCHE_HAVE_JPEG
  return fmt::to_string(JPEG_LIB_VERSION);
#else
  return "";
#endif
}

Image decode_image(std::string_view bytes, std::string_view source) {
  if (bytes.starts_with(kPngStart)) return decode_png(bytes, source);
  if (bytes.starts_with(kJpegStart)) return decode_jpeg(bytes, source);
  fail_at_byte(source, "neither a PNG nor a JPEG image", 0);
}

}  // namespace oche::nas
