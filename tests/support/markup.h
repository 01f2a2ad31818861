// Whether a page is well formed, as far as our pages go: elements nested, attributes in quotes, no
// stray markup; and how often something occurs in it.
#pragma once

#include <cctype>
#include <string>
#include <string_view>
#include <vector>

namespace oche::test {

inline int count_of(std::string_view text, std::string_view part) {
  int count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size()))
    ++count;
  return count;
}

// Walks over a page; "" or what is wrong first.
class MarkupCheck {
 public:
  explicit MarkupCheck(std::string_view page) : rest_(page) {}

  std::string run() {
    while (error_.empty() && !rest_.empty()) {
      if (rest_.starts_with("</")) {
        close();
      } else if (rest_.starts_with("<!DOCTYPE html>")) {
        rest_.remove_prefix(15);
      } else if (rest_.front() == '<') {
        open();
      } else {
        text(rest_.substr(0, rest_.find('<')));
      }
    }
    if (error_.empty() && !open_.empty()) error_ = "open at the end: " + open_.back();
    return error_;
  }

 private:
  static bool is_name(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == ':' || c == '_';
  }
  std::string take_name() {
    size_t length = 0;
    while (length < rest_.size() && is_name(rest_[length])) ++length;
    const std::string name(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return name;
  }
  void fail(const std::string& what) { error_ = what + " at " + std::string(rest_.substr(0, 60)); }

  void close() {
    rest_.remove_prefix(2);
    const std::string name = take_name();
    if (open_.empty() || open_.back() != name || !rest_.starts_with('>'))
      return fail("</" + name + " closes " + (open_.empty() ? "nothing" : open_.back()));
    open_.pop_back();
    rest_.remove_prefix(1);
  }

  void open() {
    rest_.remove_prefix(1);
    const std::string name = take_name();
    if (name.empty()) return fail("a bare <");
    while (!rest_.empty() && std::isspace(static_cast<unsigned char>(rest_.front()))) {
      while (std::isspace(static_cast<unsigned char>(rest_.front()))) rest_.remove_prefix(1);
      if (rest_.front() == '>' || rest_.front() == '/') break;
      const std::string attribute = take_name();
      if (attribute.empty() || !rest_.starts_with("=\"")) return fail("attribute " + attribute);
      rest_.remove_prefix(2);
      const std::string_view value = rest_.substr(0, rest_.find('"'));
      if (value.find('<') != value.npos) return fail("a bare < in " + attribute);
      text(value);
      rest_.remove_prefix(1);
    }
    const bool is_void = name == "meta";
    if (rest_.starts_with("/>")) {
      rest_.remove_prefix(2);
    } else if (rest_.starts_with('>')) {
      rest_.remove_prefix(1);
      if (!is_void) open_.push_back(name);
      if (name == "style") rest_.remove_prefix(std::min(rest_.find("</style>"), rest_.size()));
    } else {
      fail("the end of <" + name);
    }
  }

  // Takes it, if each & in it begins an entity.
  void text(std::string_view piece) {
    for (size_t at = piece.find('&'); at != piece.npos; at = piece.find('&', at + 1)) {
      size_t end = at + 1;
      while (end < piece.size() && (is_name(piece[end]) || piece[end] == '#')) ++end;
      if (end == at + 1 || end == piece.size() || piece[end] != ';') return fail("a bare &");
    }
    rest_.remove_prefix(piece.size());
  }

  std::string_view rest_;
  std::vector<std::string> open_;
  std::string error_;
};

inline std::string markup_error(std::string_view page) {
  return MarkupCheck(page).run();
}

}  // namespace oche::test
