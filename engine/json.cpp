// A SAX handler that builds a nlohmann::json and refuses duplicate keys and deep nesting.
#include "engine/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "engine/error.h"

namespace oche {
namespace {

using nlohmann::json;

[[noreturn]] void fail(std::string_view text,
                       size_t bytes_read,
                       const std::string& source,
                       std::string_view what) {
  // The place is that of the last character read.
  const std::string_view before = text.substr(0, bytes_read == 0 ? 0 : bytes_read - 1);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t column = before.size() - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
  throw FormatError(fmt::format("{}: line {}, column {}: {}", source, line, column, what));
}

// Reads text and publishes how far it came: SAX events other than errors carry no position.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(pointer at, size_t* bytes_read) : at_(at), bytes_read_(bytes_read) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++at_;
    ++*bytes_read_;
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  pointer at_;
  size_t* bytes_read_;
};

class Builder final : public nlohmann::json_sax<json> {
 public:
  Builder(std::string_view text, const std::string& source) : text_(text), source_(source) {}

  json parse() {
    json::sax_parse(CountingIterator(text_.data(), &bytes_read_),
                    CountingIterator(text_.data() + text_.size(), &bytes_read_),
                    this);
    return std::move(root_);
  }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(json::number_integer_t value) override { return add(value); }
  bool number_unsigned(json::number_unsigned_t value) override { return add(value); }
  bool number_float(json::number_float_t value, const std::string&) override { return add(value); }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(json::binary_t& value) override { return add(std::move(value)); }
  bool start_array(size_t) override { return open(json::array()); }
  bool end_array() override { return close(); }
  bool start_object(size_t) override { return open(json::object()); }
  bool end_object() override { return close(); }

  bool key(std::string& name) override {
    const auto [member, is_new] = open_.back()->emplace(name, nullptr);
    if (!is_new) fail_here(fmt::format("duplicate key {}; keep one", quote(name)));
    member_ = &*member;
    return true;
  }

  bool parse_error(size_t bytes_read, const std::string&, const json::exception& error) override {
    // "[json.exception...] parse error at line 1, column 2: text": our own place is put before the
    // text.
    std::string_view what = error.what();
    what.remove_prefix(what.find("] ") + 2);
    if (what.starts_with("parse error at ")) what.remove_prefix(what.find(": ") + 2);
    fail(text_, bytes_read, source_, one_line(what));
  }

 private:
  [[noreturn]] void fail_here(std::string_view what) { fail(text_, bytes_read_, source_, what); }

  // Puts value where the document stands: at the root, behind the last key, or at the end of an
  // array.
  json& place(json value) {
    if (open_.empty()) return root_ = std::move(value);
    if (open_.back()->is_object()) return *member_ = std::move(value);
    open_.back()->push_back(std::move(value));
    return open_.back()->back();
  }

  bool add(json value) {
    place(std::move(value));
    return true;
  }

  bool open(json container) {
    if (open_.size() == static_cast<size_t>(kMaxJsonDepth)) {
      fail_here(fmt::format("nested deeper than {} levels", kMaxJsonDepth));
    }
    open_.push_back(&place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::string& source_;
  size_t bytes_read_ = 0;
  json root_;
  std::vector<json*> open_;  // containers not yet closed, outermost first
  json* member_ = nullptr;   // the value of the last key read
};

}  // namespace

json parse_json(std::string_view text, const std::string& source, size_t max_bytes) {
  if (text.size() > max_bytes) {
    fail(text,
         0,
         source,
         fmt::format("{} bytes of JSON; at most {} are accepted", text.size(), max_bytes));
  }
  // nlohmann takes a NUL for the end of the text, and would not look at what follows.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    fail(text, nul + 1, source, "NUL byte; JSON text has none");
  }
  return Builder(text, source).parse();
}

}  // namespace oche
