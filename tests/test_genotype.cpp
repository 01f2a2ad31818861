// Genotypes: text and JSON, what they refuse and where, published tables.
#include <map>
#include <span>
#include <stdexcept>
#include <string>

#include "engine/error.h"
#include "engine/sha256.h"
#include "nas/genotype.h"
#include "nas/published.h"
#include "tests/support/catch.h"

namespace oche::nas {
namespace {

const std::string kDartsV2 =
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
    "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=range(2, 6))";

// Two nodes in each cell, the smallest text with something in it.
const Genotype kSmall{.normal = {{{"a", 0, 2}, {"b", 1, 2}, {"a", 2, 3}, {"c", 0, 3}}, {2, 3}},
                      .reduce = {{{"d", 1, 2}, {"d", 1, 2}}, {2}}};
const std::string kSmallText =
    "Genotype(normal=[('a', 0), ('b', 1), ('a', 2), ('c', 0)], normal_concat=range(2, 4), "
    "reduce=[('d', 1), ('d', 1)], reduce_concat=range(2, 3))";

CellGenotype all_edges() {
  CellGenotype cell{{}, {2, 3, 4, 5}};
  for (int to = 2; to < 6; ++to) {
    for (int from = 0; from < to; ++from) cell.edges.push_back({"sep_conv_3x3", from, to});
  }
  return cell;
}

CellGenotype two_ops_on_an_edge() {
  return {{{"skip_connect", 0, 2}, {"sep_conv_5x5", 0, 2}, {"skip_connect", 1, 2}}, {2}};
}

CellGenotype node_without_edges() {
  return {{{"skip_connect", 0, 2}, {"dil_conv_3x3", 3, 4}}, {2, 3, 4}};
}

template <typename Error, typename F>
std::string message_of(F f) {
  try {
    f();
  } catch (const Error& error) {
    UNSCOPED_INFO(error.what());
    return error.what();
  }
  return "nothing was thrown";
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

TEST_CASE("genotype: every published one survives text and JSON", "[genotype]") {
  for (const PublishedGenotype& known : published_genotypes()) {
    CAPTURE(known.name);
    const Genotype& genotype = known.genotype;
    CHECK(parse_genotype_text(to_text(genotype)) == genotype);
    CHECK(to_text(parse_genotype_text(to_text(genotype))) == to_text(genotype));
    CHECK(parse_genotype_json(to_json(genotype)) == genotype);
    CHECK(parse_genotype(known.name) == genotype);
    for (const CellGenotype* cell : {&genotype.normal, &genotype.reduce}) {
      CHECK(node_count(*cell) == (known.name == "NASNet" || known.name == "AmoebaNet" ? 5 : 4));
      CHECK(cell->edges.size() == 2 * static_cast<size_t>(node_count(*cell)));
    }
  }
}

TEST_CASE("genotype: the published tables are those of the authors", "[genotype]") {
  // SHA-256, in part, of the text form, computed from the tables in the authors' repositories.
  const std::map<std::string_view, std::string> digests{{"NASNet", "3a8fc5f8c0e1d6cc"},
                                                        {"AmoebaNet", "ed1d33f22d7b293a"},
                                                        {"DARTS_V1", "4c501796423dc7da"},
                                                        {"DARTS_V2", "f3f16f7000ba8223"},
                                                        {"PDARTS", "d34d80e6e5830da0"},
                                                        {"PC_DARTS_cifar", "4f02f9300898bc23"},
                                                        {"PC_DARTS_image", "5877c4d2698d4d8a"},
                                                        {"GDAS_V1", "a2d5c08c4f2f5fbd"}};
  std::map<std::string_view, std::string> found;
  for (const PublishedGenotype& known : published_genotypes()) {
    const std::string text = to_text(known.genotype);
    found[known.name] = sha256_hex(std::as_bytes(std::span(text))).substr(0, 16);
  }
  CHECK(found == digests);
}

TEST_CASE("genotype: published names and facts", "[genotype]") {
  REQUIRE(find_published("DARTS_V2"));
  CHECK(to_text(*find_published("DARTS_V2")) == kDartsV2);
  CHECK(find_published("darts-v2") == find_published("DARTS_V2"));
  CHECK(find_published("DARTS_V3") == nullptr);
  CHECK(find_published("DARTS_V") == nullptr);
  CHECK(find_published("") == nullptr);
  CHECK(count_op(find_published("DARTS_V1")->normal, "skip_connect") == 3);
  CHECK(count_op(find_published("DARTS_V2")->normal, "skip_connect") == 2);
  CHECK(count_op(find_published("DARTS_V2")->reduce, "max_pool_3x3") == 5);
  CHECK(count_op(find_published("GDAS_V1")->reduce, "skip_connect") == 0);
  CHECK(find_published("AmoebaNet")->reduce.concat == std::vector{3, 4, 6});
  CHECK(to_text(*find_published("AmoebaNet")).ends_with("reduce_concat=[3, 4, 6])"));
}

TEST_CASE("genotype: the exact forms", "[genotype]") {
  CHECK(to_text(kSmall) == kSmallText);
  CHECK(to_json(kSmall) == R"({
  "schema": 1,
  "space": "darts-cnn",
  "normal": {
    "edges": [
      ["a", 0, 2],
      ["b", 1, 2],
      ["a", 2, 3],
      ["c", 0, 3]
    ],
    "concat": [2, 3]
  },
  "reduce": {
    "edges": [
      ["d", 1, 2],
      ["d", 1, 2]
    ],
    "concat": [2]
  }
}
)");
}

TEST_CASE("genotype: text is read tolerantly", "[genotype]") {
  const std::string text = GENERATE_COPY(values(
      {kSmallText,
       "  \n\t" + kSmallText + "\r\n ",
       "MINE_2 = " + kSmallText,
       std::string(R"(Genotype(normal=[("a",0),("b",1),("a",2),('c',0)],normal_concat=[2,3],)"
                   R"(reduce=[("d",1),("d",1)],reduce_concat=[2]))"),
       std::string("Genotype(reduce_concat=(2,), normal_concat=(2, 3), normal=(('a', 0), ('b', 1), "
                   "('a', 2), "
                   "('c', 0)), reduce=(('d', 1), ('d', 1)))"),
       std::string("G=Genotype( # found after 50 epochs)\n normal = [ ('a', 0,), ('b', 1),\n ('a', "
                   "2), ('c', 0), "
                   "],\n normal_concat = range( 2 , 4, ),\n reduce=[('d', 1), ('d', 1),], "
                   "reduce_concat=[2,],\n)"
                   "  # end")}));
  CAPTURE(text);
  CHECK(parse_genotype_text(text) == kSmall);
  CHECK(parse_genotype(text) == kSmall);
}

TEST_CASE("genotype: malformed text is refused at its place", "[genotype]") {
  struct Row {
    std::string text, place, expected;
  };
  const std::string rest = ", normal_concat=[2], reduce=[('d', 1), ('d', 1)], reduce_concat=[2])";
  const std::string edges =
      "Genotype(normal=[('d', 1), ('d', 1)], reduce=[('d', 1), ('d', 1)], reduce_concat=[2], ";
  const std::string many = [] {
    std::string pairs;
    for (int i = 0; i < 2 * kMaxGenotypeNodes; ++i) pairs += "('a', 0), ";
    return pairs;
  }();
  // Column of what follows `edges`, "normal_concat=" included.
  const auto behind = [&](size_t n) {
    return "line 1, column " + std::to_string(edges.size() + 14 + n) + ":";
  };
  const std::vector<Row> rows{
      {"", "line 1, column 1:", "expected Genotype(...), found the end of the text"},
      {" \n  ", "line 2, column 3:", "expected Genotype(...), found the end"},
      {"genotype()", "line 1, column 1:", "found 'genotype'"},
      {"X = [1]", "line 1, column 5:", "expected Genotype(...), found '['"},
      {"Genotype", "line 1, column 9:", "expected '(', found the end of the text"},
      {"Genotype()", "line 1, column 10:", "expected the argument normal="},
      {"Genotype(normals=[])", "line 1, column 10:", "found 'normals'"},
      {"Genotype(normal [])", "line 1, column 17:", "expected '=', found '['"},
      {"Genotype(normal=3)", "line 1, column 17:", "pairs, found '3'"},
      {"Genotype(normal=[3])", "line 1, column 18:", "pair, found '3'"},
      {"Genotype(normal=[(a, 0)])",
       "line 1, column 19:",
       "in quotes, of a-z, 0-9 and _, found 'a'"},
      {"Genotype(normal=[('Conv', 0)])", "line 1, column 20:", "found 'Conv'"},
      {"Genotype(normal=[('', 0)])", "line 1, column 20:", "operation name"},
      {"Genotype(\n normal=[('a, 0)])",
       "line 2, column 19:",
       "expected a closing ', found the end"},
      {"Genotype(normal=[('a\n', 0)])", "line 1, column 21:", "expected a closing '"},
      {"Genotype(normal=[('a' 0)])", "line 1, column 23:", "expected ',', found '0'"},
      {"Genotype(normal=[('a', 2)])", "line 1, column 24:", "input of node 2, 0 to 1, found '2'"},
      {"Genotype(normal=[('a', -1)])", "line 1, column 24:", "0 to 1, found '-1'"},
      {"Genotype(normal=[('a', 99999999999)])", "line 1, column 24:", "found '99999999999'"},
      {"Genotype(normal=[('a', 0.5)])", "line 1, column 25:", "expected ')', found '.'"},
      {"Genotype(normal=[('a', 0, 0.13)])", "line 1, column 27:", "expected ')', found '0'"},
      {"Genotype(normal=[('a', 0)]" + rest,
       "line 1, column 26:",
       "second pair for node 2, found ']'"},
      {"Genotype(normal=[('a', 0) ('a', 1)])",
       "line 1, column 27:",
       "expected ',' or ']', found '('"},
      {"Genotype(normal=[('a', 0), ('a', 1)), ",
       "line 1, column 36:",
       "expected ',' or ']', found ')'"},
      {"Genotype(normal=[" + many + "('a', 0)])",
       "line 1, column " + std::to_string(18 + many.size()),
       "at most 64"},
      {"Genotype(normal=[]" + rest,
       "line 1, column 36:",
       "to end at node 1, the last one in normal, found node 2"},
      {"Genotype(normal=[('a', 0), ('a', 1)], normal=[])",
       "line 1, column 39:",
       "found a second normal"},
      {"Genotype(normal=[('a', 0), ('a', 1)] reduce=[])",
       "line 1, column 38:",
       "expected ',' or ')', found 'reduce'"},
      {edges + "normal_concat=2)",
       behind(1),
       "range(first, last + 1) or a list of nodes, found '2'"},
      {edges + "normal_concat=ring(2, 3))", behind(1), "found 'ring'"},
      {edges + "normal_concat=[])", behind(2), "expected a node, found ']'"},
      {edges + "normal_concat=[1])", behind(2), "an integer from 2 to 65, found '1'"},
      {edges + "normal_concat=[2, 2])", behind(5), "an integer from 3 to 65, found '2'"},
      {edges + "normal_concat=[2, 3])",
       behind(5),
       "to end at node 2, the last one in normal, found node 3"},
      {edges + "normal_concat=range(2, 5))", behind(10), "to end at node 2"},
      {edges + "normal_concat=range(2, 2))", behind(10), "an integer from 3 to 66, found '2'"},
      {edges + "normal_concat=range(2, 2000000000))", behind(10), "found '2000000000'"},
      {edges + "normal_concat=[2]", behind(4), "expected ',' or ')', found the end"},
      {edges + "normal_concat=[2]); import os",
       behind(5),
       "expected the end of the text, found ';'"},
      {kSmallText + std::string(1, '\0'),
       "line 1, column " + std::to_string(kSmallText.size() + 1),
       "the end"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const std::string message =
        message_of<FormatError>([&] { parse_genotype_text(row.text, "g.txt"); });
    CHECK(message.starts_with("g.txt: " + row.place));
    CHECK(contains(message, row.expected));
  }
}

TEST_CASE("genotype: every truncation of a text is refused", "[genotype]") {
  for (size_t n = 0; n < kSmallText.size(); ++n) {
    CAPTURE(n);
    CHECK_THROWS_AS(parse_genotype_text(kSmallText.substr(0, n)), FormatError);
  }
}

TEST_CASE("genotype: malformed JSON is refused by its path", "[genotype]") {
  const std::string good = R"({"edges": [["a", 0, 2]], "concat": [2]})";
  const auto with_normal = [&](const std::string& normal) {
    return R"({"schema": 1, "space": "darts-cnn", "normal": )" + normal + R"(, "reduce": )" + good +
           "}";
  };
  REQUIRE_NOTHROW(parse_genotype_json(with_normal(good)));
  const auto [text, expected] = GENERATE_COPY(table<std::string, std::string>({
      {"", "g.json: line 1, column"},
      {"[]", "g.json: expected an object, found '[]'"},
      {"{}", "schema: is missing"},
      {R"({"schema": 2, "cells": []})", "schema: expected 1, found '2'"},
      {R"({"schema": 1, "schema": 1})", "line 1, column 22: duplicate key 'schema'"},
      {with_normal("[]"), "normal: expected an object, found '[]'"},
      {with_normal(R"({"edges": []})"), "normal.concat: is missing"},
      {with_normal(R"({"edges": [], "concat": [2], "x": 0})"),
       "'normal.x': unknown key; expected edges, concat"},
      {with_normal(R"({"edges": {}, "concat": [2]})"),
       "normal.edges: expected an array, found '{}'"},
      {with_normal(R"({"edges": [["a", 0]], "concat": [2]})"),
       "normal.edges[0]: expected [operation, from, to]"},
      {with_normal(R"({"edges": [["a", 0, 2], [0, 0, 2]], "concat": [2]})"),
       "normal.edges[1]: expected [operation"},
      {with_normal(R"({"edges": [["a", 0.0, 2]], "concat": [2]})"),
       "normal.edges[0][1]: expected an integer from 0"},
      {with_normal(R"({"edges": [["a", 0, 66]], "concat": [2]})"),
       "normal.edges[0][2]: expected an integer from 0 to 65"},
      {with_normal(R"({"edges": [["a", 18446744073709551615, 2]], "concat": [2]})"),
       "normal.edges[0][1]: expected"},
      {with_normal(R"({"edges": [["a", -1, 2]], "concat": [2]})"), "normal.edges[0][1]: expected"},
      {with_normal(R"({"edges": [["a", 2, 2]], "concat": [2]})"),
       "normal.edges[0]: expected 0 <= from < to"},
      {with_normal(R"({"edges": [["A", 0, 2]], "concat": [2]})"),
       "normal.edges[0]: expected an operation name"},
      {with_normal(R"({"edges": [], "concat": [true]})"), "normal.concat[0]: expected an integer"},
      {with_normal(R"({"edges": [["a", 0, 2]], "concat": []})"),
       "normal.concat: expected at least one node, as there are edges"},
      {R"({"schema": 1, "space": "A b", "normal": )" + good + R"(, "reduce": )" + good + "}",
       "space: expected a name"},
      {R"({"schema": 1, "space": 3, "normal": )" + good + R"(, "reduce": )" + good + "}",
       "space: expected a name"},
  }));
  CAPTURE(text);
  const std::string json = text;
  const std::string message = message_of<FormatError>([&] { parse_genotype_json(json, "g.json"); });
  CHECK(message.starts_with("g.json: "));
  CHECK(contains(message, expected));
}

TEST_CASE("genotype: JSON holds what text cannot", "[genotype]") {
  CHECK(all_edges().edges.size() == 14);
  CHECK(node_count(node_without_edges()) == 3);
  CHECK(edges_into(all_edges(), 4) == 4);
  const auto [cell, refusal] = GENERATE(table<CellGenotype, std::string>({
      {all_edges(), "node 3 of the reduce cell has 3 edges"},
      {two_ops_on_an_edge(), "node 2 of the reduce cell has 3 edges"},
      {node_without_edges(), "node 2 of the reduce cell has 1 edge;"},
      {{{{"a", 0, 2}, {"a", 1, 2}}, {2, 3}}, "node 3 of the reduce cell has 0 edges"},
      {{{{"a", 0, 2}, {"a", 1, 2}, {"a", 0, 4}, {"a", 2, 4}}, {2, 4}},
       "node 3 of the reduce cell has 0 edges"},
      {CellGenotype{}, "node 2 of the reduce cell has 0 edges"},
  }));
  const Genotype genotype{.space = "other-space", .normal = kSmall.normal, .reduce = cell};
  CHECK(parse_genotype_json(to_json(genotype)) == genotype);
  CHECK(!has_text(genotype));
  CHECK(contains(message_of<std::invalid_argument>([&] { to_text(genotype); }), refusal));
}

TEST_CASE("genotype: edges may lead nowhere, or come from nothing", "[genotype]") {
  const auto [cell, connected] = GENERATE(table<CellGenotype, bool>({
      {{{{"a", 0, 2}}, {2}}, true},
      {{{{"a", 1, 2}, {"a", 2, 4}}, {3, 4}}, true},
      {{{{"a", 0, 2}}, {3}}, false},
      {{{{"a", 2, 3}, {"a", 3, 4}}, {2, 3, 4}}, false},
      {CellGenotype{{}, {2, 3}}, false},
      {CellGenotype{}, false},
  }));
  const CellGenotype c = cell;
  CAPTURE(c.edges.size(), c.concat);
  CHECK(is_connected(c) == connected);
}

TEST_CASE("genotype: invalid ones are not written", "[genotype]") {
  const auto [cell, expected] = GENERATE(table<CellGenotype, std::string>({
      {{{{"a b", 0, 2}}, {2}},
       "edges[0]: expected an operation name of a-z, 0-9 and _, found ['a b', 0, 2]"},
      {{{{std::string(65, 'a'), 0, 2}}, {2}}, "edges[0]: expected an operation name"},
      {{{{"a", 0, 1}}, {2}}, "edges[0]: expected a node from 2 to 65"},
      {{{{"a", 0, 66}}, {2}}, "edges[0]: expected a node from 2 to 65"},
      {{{{"a", 0, 2}, {"a", 3, 3}}, {2}}, "edges[1]: expected 0 <= from < to"},
      {{{{"a", -1, 2}}, {2}}, "edges[0]: expected 0 <= from < to"},
      {{{{"a", 0, 3}, {"a", 0, 2}}, {2, 3}},
       "edges[1]: expected node 3 or later, as edges are grouped by node"},
      {{{{"a", 0, 2}}, {}}, "concat: expected at least one node"},
      {{{{"a", 0, 2}}, {1}}, "concat[0]: expected a node from 2 to 65, found 1"},
      {{{{"a", 0, 2}}, {3, 2}}, "concat[1]: expected a node from 4 to 65, found 2"},
      {{{{"a", 0, 2}}, {66}}, "concat[0]: expected a node from 2 to 65, found 66"},
  }));
  CAPTURE(expected);
  const CellGenotype bad = cell;
  const Genotype genotype{.normal = kSmall.normal, .reduce = bad};
  CHECK(
      contains(message_of<std::invalid_argument>([&] { validate(bad); }), "genotype: " + expected));
  CHECK(contains(message_of<std::invalid_argument>([&] { to_json(genotype); }),
                 "reduce." + expected));
  CHECK_THROWS_AS(to_text(genotype), std::invalid_argument);
}

TEST_CASE("genotype: any form is recognised", "[genotype]") {
  CHECK(parse_genotype("\n " + to_json(kSmall)) == kSmall);
  CHECK(parse_genotype(" pc_darts_CIFAR\n") == *find_published("PC_DARTS_cifar"));
  CHECK(message_of<FormatError>([] {
          parse_genotype("DARTS_V3", "--genotype");
        }).starts_with("--genotype: expected Genotype(...), JSON or one of NASNet, "));
  CHECK(message_of<FormatError>([] {
          parse_genotype("DARTS_V3", "--genotype");
        }).ends_with("found 'DARTS_V3'"));
  CHECK_THROWS_AS(parse_genotype(""), FormatError);
  CHECK_THROWS_AS(parse_genotype("Genotype"), FormatError);
}

TEST_CASE("genotype: sizes are capped", "[genotype]") {
  const std::string space(kMaxGenotypeBytes - kSmallText.size(), ' ');
  CHECK(parse_genotype_text(space + kSmallText) == kSmall);
  const std::string expected = "1048577 bytes; a genotype has at most 1048576";
  CHECK(contains(message_of<FormatError>([&] { parse_genotype_text(space + " " + kSmallText); }),
                 expected));
  CHECK(contains(message_of<FormatError>(
                     [&] { parse_genotype_json(std::string(kMaxGenotypeBytes + 1, ' ')); }),
                 expected));
}

}  // namespace
}  // namespace oche::nas
