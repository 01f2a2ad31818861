// The Genotype(normal=[...], ...) text of the DARTS tools: writer and recursive-descent reader.
//   text    = [ NAME '=' ] 'Genotype' '(' field { ',' field } [ ',' ] ')'
//   field   = ( 'normal' | 'reduce' ) '=' list of pair  |  ( 'normal_concat' | 'reduce_concat' )
//   '=' concat pair    = '(' STRING ',' INTEGER [ ',' ] ')' concat  = 'range' '(' INTEGER ','
//   INTEGER [ ',' ] ')'  |  list of INTEGER list    = '[' or '(', items between commas, a trailing
//   comma if one likes, ']' or ')'
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "engine/error.h"
#include "nas/genotype.h"

namespace oche::nas {
namespace {

constexpr int kLastState = kCellInputs + kMaxGenotypeNodes - 1;
constexpr int kEdgesPerNode = 2;

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& source) : text_(text), source_(source) {}

  Genotype parse() {
    std::string_view name = word("Genotype(...)");
    if (accept('=')) name = word("Genotype(...)");
    if (name != "Genotype") fail(at_ - name.size(), "Genotype(...)", quote(name));
    expect('(', "'('");
    std::array<Field, 4> fields{{{"normal"}, {"normal_concat"}, {"reduce"}, {"reduce_concat"}}};
    while (!accept(')')) {
      read(fields);
      if (accept(',')) continue;
      expect(')', "',' or ')'");
      break;
    }
    for (const Field& field : fields) {
      if (!field.read) fail(at_ - 1, fmt::format("the argument {}=", field.name), "none");
    }
    if (peek() != '\0' || at_ < text_.size()) fail(at_, "the end of the text");
    const auto& [normal, normal_concat, reduce, reduce_concat] = fields;
    return {.normal = cell(normal, normal_concat), .reduce = cell(reduce, reduce_concat)};
  }

 private:
  struct Field {
    std::string_view name;
    bool read = false;
    std::vector<GenotypeEdge> edges{};
    std::vector<int> nodes{};
    std::vector<size_t> places{};  // of the nodes
  };

  void read(std::array<Field, 4>& fields) {
    static constexpr std::string_view kExpected =
        "one of normal=, normal_concat=, reduce=, reduce_concat=";
    const std::string_view name = word(kExpected);
    const auto field = std::ranges::find(fields, name, &Field::name);
    if (field == fields.end()) fail(at_ - name.size(), kExpected, quote(name));
    if (field->read)
      fail(at_ - name.size(), "each argument once", fmt::format("a second {}", name));
    field->read = true;
    expect('=', "'='");
    name.ends_with("_concat") ? read_concat(*field) : read_edges(*field);
  }

  void read_edges(Field& field) {
    std::vector<GenotypeEdge>& edges = field.edges;
    list("a list of ('operation', input) pairs", [&] {
      const int to = kCellInputs + static_cast<int>(edges.size()) / kEdgesPerNode;
      if (to > kLastState) fail(at_, fmt::format("at most {} nodes", kMaxGenotypeNodes), "more");
      expect('(', "an ('operation', input) pair");
      GenotypeEdge edge{.op = op_name(), .to = to};
      expect(',', "','");
      edge.from = integer(fmt::format("an input of node {}, 0 to {}", to, to - 1), 0, to - 1);
      accept(',');
      expect(')', "')'");
      edges.push_back(std::move(edge));
    });
    if (edges.size() % kEdgesPerNode != 0) {
      fail(at_ - 1,
           fmt::format("a second pair for node {}", kCellInputs + edges.size() / kEdgesPerNode));
    }
  }

  void read_concat(Field& field) {
    static constexpr std::string_view kExpected = "range(first, last + 1) or a list of nodes";
    std::vector<int>& nodes = field.nodes;
    const auto node = [&](int least, int most) {
      const int value = integer(fmt::format("an integer from {} to {}", least, most), least, most);
      field.places.push_back(token_);
      return value;
    };
    if (is_letter(peek())) {
      const std::string_view name = word(kExpected);
      if (name != "range") fail(at_ - name.size(), kExpected, quote(name));
      expect('(', "'('");
      const int first = node(kCellInputs, kLastState);
      expect(',', "','");
      const int end = node(first + 1, kLastState + 1);
      accept(',');
      expect(')', "')'");
      nodes.resize(static_cast<size_t>(end - first));
      std::iota(nodes.begin(), nodes.end(), first);
      field.places.assign(nodes.size(), field.places.back());
    } else {
      list(kExpected, [&] {
        nodes.push_back(node(nodes.empty() ? kCellInputs : nodes.back() + 1, kLastState));
      });
      if (nodes.empty()) fail(at_ - 1, "a node");
    }
  }

  // Only now, as concat may stand before the edges, is it known how many nodes there are.
  CellGenotype cell(const Field& edges, const Field& concat) const {
    const int last = kCellInputs - 1 + static_cast<int>(edges.edges.size() / kEdgesPerNode);
    for (size_t i = 0; i < concat.nodes.size(); ++i) {
      if (concat.nodes[i] > last) {
        fail(concat.places[i],
             fmt::format("{} to end at node {}, the last one in {}", concat.name, last, edges.name),
             fmt::format("node {}", concat.nodes[i]));
      }
    }
    return {edges.edges, concat.nodes};
  }

  template <typename Item>
  void list(std::string_view expected, Item item) {
    const char open = peek();
    if (open != '[' && open != '(') fail(at_, expected);
    ++at_;
    const char close = open == '[' ? ']' : ')';
    while (!accept(close)) {
      item();
      if (accept(',')) continue;
      expect(close, fmt::format("',' or '{}'", close));
      return;
    }
  }

  std::string_view word(std::string_view expected) {
    if (!is_letter(peek())) fail(at_, expected);
    const size_t begin = at_;
    while (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_]))) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  std::string op_name() {
    static constexpr std::string_view kExpected = "an operation name in quotes, of a-z, 0-9 and _";
    const char mark = peek();
    if (mark != '\'' && mark != '"') fail(at_, kExpected);
    const size_t begin = ++at_;
    at_ = std::min(text_.find_first_of(std::array{mark, '\n'}.data(), begin, 2), text_.size());
    const std::string_view name = text_.substr(begin, at_ - begin);
    if (at_ == text_.size() || text_[at_] != mark) fail(at_, fmt::format("a closing {}", mark));
    if (!is_op_name(name)) fail(begin, kExpected, quote(name));
    ++at_;
    return std::string(name);
  }

  int integer(std::string_view expected, int least, int most) {
    peek();
    token_ = at_;
    int value = 0;
    const auto [end, error] =
        std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc() || value < least || value > most) fail(at_, expected);
    at_ = static_cast<size_t>(end - text_.data());
    return value;
  }

  void expect(char c, std::string_view expected) {
    if (!accept(c)) fail(at_, expected);
  }

  bool accept(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }

  // The next character after space and comments; NUL at the end.
  char peek() {
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == '#')
        at_ = std::min(text_.find('\n', at_), text_.size() - 1);
      else if (std::string_view(" \t\r\n\f\v").find(text_[at_]) == std::string_view::npos)
        return text_[at_];
    }
    return '\0';
  }

  // What stands at a place: a whole word or number, else one character.
  std::string found(size_t at) const {
    if (at >= text_.size()) return "the end of the text";
    size_t end = at + (text_[at] == '-' ? 1 : 0);
    while (end < text_.size() && (is_letter(text_[end]) || is_digit(text_[end]))) ++end;
    return quote(text_.substr(at, std::max<size_t>(end - at, 1)));
  }

  [[noreturn]] void fail(size_t at, std::string_view expected) const {
    fail(at, expected, found(at));
  }

  [[noreturn]] void fail(size_t at, std::string_view expected, std::string_view found) const {
    const std::string_view before = text_.substr(0, at);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t column = at - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
    throw FormatError(fmt::format(
        "{}: line {}, column {}: expected {}, found {}", source_, line, column, expected, found));
  }

  std::string_view text_;
  const std::string& source_;
  size_t at_ = 0;
  size_t token_ = 0;  // where the last integer began
};

// The first node that does not have two edges; there has to be a node.
std::optional<int> odd_node(const CellGenotype& cell) {
  for (int node = kCellInputs; node < kCellInputs + std::max(1, node_count(cell)); ++node) {
    if (edges_into(cell, node) != kEdgesPerNode) return node;
  }
  return std::nullopt;
}

void check_two_edges(const CellGenotype& cell, std::string_view name) {
  if (const std::optional<int> node = odd_node(cell)) {
    const int edges = edges_into(cell, *node);
    throw std::invalid_argument(
        fmt::format("to_text: node {} of the {} cell has {} edge{}; the text form needs {} each, "
                    "JSON holds any",
                    *node,
                    name,
                    edges,
                    edges == 1 ? "" : "s",
                    kEdgesPerNode));
  }
}

std::string cell_text(const CellGenotype& cell, std::string_view name) {
  std::vector<std::string> pairs;
  for (const auto& [op, from, to] : cell.edges)
    pairs.push_back(fmt::format("('{}', {})", op, from));
  const int first = cell.concat.front(), last = cell.concat.back();
  const bool contiguous = last - first + 1 == static_cast<int>(cell.concat.size());
  return fmt::format("{0}=[{1}], {0}_concat={2}",
                     name,
                     fmt::join(pairs, ", "),
                     contiguous ? fmt::format("range({}, {})", first, last + 1)
                                : fmt::format("[{}]", fmt::join(cell.concat, ", ")));
}

}  // namespace

std::string to_text(const Genotype& genotype) {
  validate(genotype);
  check_two_edges(genotype.normal, "normal");
  check_two_edges(genotype.reduce, "reduce");
  return fmt::format("Genotype({}, {})",
                     cell_text(genotype.normal, "normal"),
                     cell_text(genotype.reduce, "reduce"));
}

bool has_text(const Genotype& genotype) {
  validate(genotype);
  return !odd_node(genotype.normal) && !odd_node(genotype.reduce);
}

Genotype parse_genotype_text(std::string_view text, const std::string& source) {
  check_genotype_size(text, source);
  return Parser(text, source).parse();
}

}  // namespace oche::nas
