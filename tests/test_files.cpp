// Below the file formats: SHA-256, untrusted JSON, reading, atomic writing, one-line errors.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/file.h"
#include "engine/json.h"
#include "engine/sha256.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"

using namespace oche;
using namespace oche::test;
using namespace std::string_literals;
namespace fs = std::filesystem;

namespace {

std::string sha256_of(const std::string& text) {
  return sha256_hex(std::as_bytes(std::span(text)));
}

std::string nested_arrays(int depth) {
  return std::string(static_cast<size_t>(depth), '[') +
         std::string(static_cast<size_t>(depth), ']');
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// While it lives, a write beyond this file size is cut short, and the next one fails with EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limited{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limited);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

}  // namespace

TEST_CASE("SHA-256 gives the published digests") {
  struct Row {
    std::string text;
    std::string digest;
  };
  // The first three and the last are NIST's examples; the others surround the padding's boundaries.
  const std::vector<Row> rows = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {std::string(55, 'a'), "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
      {std::string(63, 'a'), "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
      {std::string(64, 'a'), "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
      {std::string(65, 'a'), "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0"},
      {std::string(119, 'a'), "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb"},
      {std::string(120, 'a'), "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c"},
      {std::string(1'000'000, 'a'),
       "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}};
  for (const Row& row : rows) {
    CAPTURE(row.text.size());
    CHECK(sha256_of(row.text) == row.digest);
  }
}

TEST_CASE("SHA-256 does not depend on how the bytes are cut") {
  const std::string text(150, 'q');
  const auto bytes = std::as_bytes(std::span(text));
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Sha256 hash;
    hash.update(bytes.first(cut));
    hash.update(bytes.subspan(cut));
    CAPTURE(cut);
    CHECK(hash.finish_hex() == sha256_of(text));
  }
}

TEST_CASE("JSON that is well formed is read whole") {
  const std::vector<std::string> texts = {"{}",
                                          "null",
                                          "\"\\u00e9\"",
                                          "[1,{\"a\":[2,3],\"b\":\"x\"},-4,1.5,true,null,[[],{}]]",
                                          nested_arrays(64)};
  for (const std::string& text : texts) {
    CAPTURE(text);
    CHECK(parse_json(text, "t") == nlohmann::json::parse(text));
  }
  CHECK(parse_json("  {\"a\":1}\n", "t")["a"] == 1);
}

TEST_CASE("JSON is refused with source, line and column") {
  struct Row {
    std::string text;
    std::string place;
    std::string fault;
  };
  const std::vector<Row> rows = {
      {"{\"a\":1,\n \"a\":2}", "line 2, column 4", "duplicate key 'a'"},
      {"[{\"a\":{\"b\":1,\"b\":1}}]", "line 1, column 16", "duplicate key 'b'"},
      {"{\"a\":1,\"\\u0061\":2}", "line 1, column 15", "duplicate key 'a'"},
      {nested_arrays(65), "line 1, column 65", "nested deeper than 64"},
      {std::string(100'000, '['), "line 1, column 65", "nested deeper than 64"},
      {"{} x", "line 1, column 4", "expected end of input"},
      {"{}{}", "line 1, column 3", "expected end of input"},
      {"{}\0 x"s, "line 1, column 3", "NUL byte"},
      {"[\"\0\"]"s, "line 1, column 3", "NUL byte"},
      {"\"\xff\"", "line 1, column 2", "ill-formed UTF-8"},
      {"\"\xc0\xaf\"", "line 1, column 2", "ill-formed UTF-8"},
      {"\"\\ud800\"", "line 1, column 8", "surrogate"},
      {"[1e999]", "line 1, column 6", "number overflow"},
      {"[NaN]", "line 1, column 2", "invalid literal"},
      {"[01]", "line 1, column 3", "expected ']'"},
      {"[1,]", "line 1, column 4", "unexpected ']'"},
      {"{\"a\":1,}", "line 1, column 8", "expected string literal"},
      {"// note\n1", "line 1, column 1", "invalid literal"},
      {"\"a\nb\"", "line 1, column 3", "control character"},
      {"\n\n[1,", "line 3, column 4", "unexpected end of input"},
      {"", "line 1, column 1", "unexpected end of input"},
      {std::string(1001, ' '), "line 1, column 1", "1001 bytes of JSON; at most 1000"}};
  for (const Row& row : rows) {
    const size_t limit = row.text.size() == 1001 ? 1000 : kMaxJsonBytes;
    const auto message = message_of<FormatError>([&] { parse_json(row.text, "some.json", limit); });
    CAPTURE(row.text.substr(0, 80), message);
    CHECK(message.starts_with("some.json: " + row.place + ": "));
    CHECK(contains(message, row.fault));
    CHECK_FALSE(contains(message, "\n"));
  }
}

TEST_CASE("reading a file keeps to the limit and names what failed") {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "file";
  const std::string text("ten\0bytes\n", 10);
  write_file_atomically(path, text);
  CHECK(read_file(path) == text);
  CHECK(read_file(path, 10) == text);
  CHECK(message_of<FormatError>([&] { read_file(path, 9); }) ==
        path.native() + ": more than the 9 bytes accepted here");
  CHECK(read_file("/dev/null").empty());
  CHECK(contains(message_of<FormatError>([&] { read_file("/dev/zero", 1 << 20); }),
                 "/dev/zero: more than"));

  const fs::path missing = directory.path() / "missing";
  CHECK(message_of<IoError>([&] { read_file(missing); }) ==
        "cannot open '" + missing.native() + "': No such file or directory");
  CHECK(contains(message_of<IoError>([&] { read_file(directory.path()); }), "Is a directory"));
}

TEST_CASE("an atomic write replaces the file and leaves nothing else") {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "file";
  for (const std::string& text : {"old"s, std::string(3 << 20, 'n'), ""s}) {
    write_file_atomically(path, text);
    CHECK(read_file(path) == text);
    CHECK(names_in(directory.path()) == std::vector{"file"s});
  }
}

TEST_CASE("a failed atomic write keeps the old file and removes its temporary") {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "file";
  write_file_atomically(path, "old"s);
  fs::create_directory(directory.path() / "taken");
  const auto names = names_in(directory.path());

  SECTION("the disk has no room") {
    const auto message = message_of<IoError>([&] {
      const FileSizeLimit limit(64 << 10);
      write_file_atomically(path, std::string(1 << 20, 'n'));
    });
    CHECK(message.starts_with("cannot write '" + path.native() + "."));
    CHECK(contains(message, "File too large"));
  }
  SECTION("a directory has the name") {
    const fs::path taken = directory.path() / "taken";
    CHECK(message_of<IoError>([&] { write_file_atomically(taken, "new"s); }) ==
          "cannot replace '" + taken.native() + "': Is a directory");
  }
  SECTION("the directory is missing") {
    const fs::path nowhere = directory.path() / "missing";
    CHECK(message_of<IoError>([&] { write_file_atomically(nowhere / "file", "new"s); }) ==
          "cannot open '" + nowhere.native() + "': No such file or directory");
  }
  CHECK(read_file(path) == "old");
  CHECK(names_in(directory.path()) == names);
}

TEST_CASE("temporaries of a killed writer neither stop a new one nor survive a sweep") {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "file";
  const std::string stale = "file." + std::to_string(::getpid()) + "-0.oche-tmp";
  write_file_atomically(directory.path() / stale, "half"s);
  write_file_atomically(path, "whole"s);
  CHECK(names_in(directory.path()) == std::vector{"file"s, stale});

  CHECK(sweep_temporaries(directory.path()) == 1);
  CHECK(names_in(directory.path()) == std::vector{"file"s});
  CHECK(sweep_temporaries(directory.path()) == 0);
  CHECK(sweep_temporaries(directory.path() / "missing") == 0);
  CHECK(contains(message_of<IoError>([&] { sweep_temporaries(path); }), "Not a directory"));
}

TEST_CASE("errors say in one line what, where and what to do") {
  CHECK(OutOfMemory("conv2d", 4096, 1024, "--batch-size").what() ==
        "conv2d: out of memory: 4096 bytes asked while 1024 are held; lower --batch-size"s);
  CHECK(
      NonFinite("step 12, cell 3, edge 5", "relu").what() ==
      "non-finite value in relu at step 12, cell 3, edge 5; lower the learning rate or clip the gradients"s);
  CHECK(NonFinite("", "loss").what() ==
        "non-finite value in loss; lower the learning rate or clip the gradients"s);
  const IoError error("write", "/full", ENOSPC);
  CHECK(error.what() == "cannot write '/full': No space left on device"s);
  CHECK(error.code() == std::errc::no_space_on_device);

  CHECK(quote("a\n\x1b[2J\x7f") == "'a\\x0a\\x1b[2J\\x7f'");
  CHECK(quote("four", 4) == "'four'");
  CHECK(quote("fives", 4) == "'five...'");
  CHECK(quote("aé", 2) == "'a...'");  // not half of a UTF-8 sequence
}
