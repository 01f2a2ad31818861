// The parts of `oche bench` that reckon: names of rows, medians and rates, comparison, numbers for
// people, the plot.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <regex>

#include "benchmarks/compare.h"
#include "benchmarks/format.h"
#include "benchmarks/label_placement.h"
#include "benchmarks/report.h"
#include "benchmarks/roofline.h"
#include "benchmarks/row.h"
#include "engine/error.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"

namespace oche::bench {
namespace {

using nlohmann::json;
using test::contains;
using test::message_of;

// Two families without work; the second's check fails.
std::vector<Family> families() {
  const auto make = [](double error) {
    return [error](const Arguments& a, DType) {
      return Case{.run = [] {},
                  .check =
                      [error] {
                        return Check{error, 1, "nothing"};
                      },
                  .bytes = 8,
                  .flops = static_cast<double>(a["n"]) * 1e8};
    };
  };
  return {{.name = "plain",
           .group = "one",
           .summary = "",
           .parameters = {{"n", 3}, {"c", 5, 0}},
           .instances = {{}, {{"c", 0}}},
           .make = make(0.5),
           .batch = "n"},
          {.name = "library/wrong",
           .group = "two",
           .summary = "",
           .parameters = {{"n", 1}},
           .instances = {{}},
           .make = make(2)}};
}

constexpr MeasureOptions kQuick{.repetitions = 3, .min_seconds = 1e-9};

Measurement measured(std::string name, double bytes, double flops, std::vector<double> seconds) {
  return {.row = name,
          .short_name = name,
          .family = name,
          .group = "group of " + name,
          .arguments = {},
          .bytes = bytes,
          .flops = flops,
          .check = {0, 1, ""},
          .seconds = std::move(seconds)};
}

}  // namespace

TEST_CASE("names of rows: defaults, any order, families with slashes") {
  const std::vector<Family> all = families();
  const auto full = [&](std::string_view text) { return parse_row(text, all).name(); };
  CHECK(full("plain") == "plain/n:3/c:5");
  CHECK(full("plain/c:0") == "plain/n:3/c:0");
  CHECK(full("plain/c:7/n:268435456") == "plain/n:268435456/c:7");
  CHECK(full("library/wrong") == "library/wrong/n:1");
  CHECK(full("library/wrong/n:2") == "library/wrong/n:2");
  CHECK(parse_row("plain/c:1", all).short_name() == "plain c:1");
  CHECK(parse_row("plain/n:3", all).short_name() == "plain");
  std::vector<std::string> names;
  for (const Row& row : default_rows(all)) names.push_back(row.name());
  CHECK(names == std::vector<std::string>{"plain/n:3/c:5", "plain/n:3/c:0", "library/wrong/n:1"});
}

TEST_CASE("names of rows: what is wrong is said") {
  const std::vector<Family> all = families();
  const std::pair<std::string, std::string> cases[] = {
      {"plan", "row 'plan' is not known; did you mean plain?"},
      {"", "row '' is not known"},
      {"/n:1", "row '' is not known"},
      {"library", "row 'library' is not known"},
      {"plain/", "row 'plain/' is not known"},
      {"plain/k:1", "plain: no parameter 'k'"},
      {"plain/:1", "no parameter ''"},
      {"plain/n:1/", "no parameter ''"},
      {"plain/n:1/c", "plain: c:'' is not allowed"},
      {"plain/n:0", "n:'0' is not allowed; expected 1 to 268435456"},
      {"plain/c:-1", "c:'-1' is not allowed; expected 0"},
      {"plain/n:", "n:'' is not allowed"},
      {"plain/n:1x", "n:'1x' is not allowed"},
      {"plain/n:99999999999999999999", "is not allowed"},
      {"plain/n:1/n:1", "n is given twice"},
  };
  for (const auto& [text, expected] : cases) {
    CAPTURE(text);
    const std::string message =
        message_of<std::invalid_argument>([&, &name = text] { parse_row(name, all); });
    CAPTURE(message);
    CHECK(contains(message, expected));
  }
  CHECK(volume({1 << 16, 1 << 12}) == int64_t{1} << 28);
  CHECK_THROWS_AS(volume({1 << 16, 1 << 12, 2}), std::invalid_argument);
}

TEST_CASE("a row is checked before it is timed, at a smaller batch where it is large") {
  const std::vector<Family> all = families();
  const Measurement small = measure(parse_row("plain/n:4", all), kQuick);
  CHECK(small.passed());
  CHECK(small.checked_at.empty());
  CHECK(small.seconds.size() == 3);
  CHECK(small.median() > 0);
  CHECK(measure(parse_row("plain/n:10", all), kQuick).checked_at == "plain/n:4/c:5");
  CHECK(measure(parse_row("plain/n:1000", all), kQuick).checked_at == "plain/n:4/c:5");

  const Report report{.options = kQuick,
                      .roofs = {1e9, 1e9, 1},
                      .rows = {small, measure(parse_row("library/wrong", all), kQuick)}};
  CHECK_FALSE(report.rows[1].passed());
  CHECK(report.rows[1].seconds.empty());
  const json document = to_json(report);
  CHECK(document["rows"][1]["check"]["passed"] == false);
  CHECK_FALSE(document["rows"][1].contains("seconds"));
  CHECK(contains(to_table(report), "library/wrong/n:1  check FAILED: error 2, at most 1 allowed"));
  const std::string csv = to_csv(report);
  CHECK(std::ranges::count(csv, '\n') == 3);
  CHECK(std::ranges::count(csv, ',') == 3 * 13);
}

TEST_CASE("a result that is not a number fails its check") {
  CHECK_FALSE(Check{std::numeric_limits<double>::quiet_NaN(), 1, ""}.passed());
}

TEST_CASE("medians and rates") {
  CHECK(median({3, 1, 2}) == 2);
  CHECK(median({4, 1, 3, 2}) == 2.5);
  CHECK(std::isnan(median({})));
  const Roofs roofs{.bytes_per_second = 100, .flops_per_second = 1000, .copied_bytes = 1};
  const Rates low = rates(50, 400, 2, roofs), high = rates(50, 600, 2, roofs);
  CHECK(low.bytes_per_second == 25);
  CHECK(low.flops_per_second == 200);
  CHECK(low.percent_of_bandwidth == 25);
  CHECK(high.percent_of_peak == 30);
  CHECK(low.bound == Bound::kBandwidth);
  CHECK(high.bound == Bound::kPeak);
}

TEST_CASE("numbers for people keep three digits, and round before they choose a unit") {
  const std::pair<double, std::string> digits[] = {{0, "0"},
                                                   {1, "1.00"},
                                                   {9.994, "9.99"},
                                                   {9.996, "10.0"},
                                                   {99.96, "100"},
                                                   {0.0123456, "0.0123"},
                                                   {0.9996, "1.00"},
                                                   {1234.5, "1234"},
                                                   {-2.5, "-2.50"},
                                                   {1.0 / 0.0, "-"}};
  for (const auto& [value, text] : digits) CHECK(three_digits(value) == text);
  CHECK(format_seconds(1.5e-9) == "1.50 ns");
  CHECK(format_seconds(0.9996e-3) == "1.00 ms");
  CHECK(format_seconds(90) == "90.0 s");
  CHECK(format_seconds(12345) == "12345 s");
  CHECK(format_si(3.2e10, "B/s") == "32.0 GB/s");
  CHECK(format_si(12, "B/s") == "12.0 B/s");
}

TEST_CASE("comparison: ratios, rows of one side, failed checks, conditions") {
  const double none = std::numeric_limits<double>::quiet_NaN();
  const Run before{{{"a", 1}, {"b", 1}, {"c", 1}, {"gone", 1}, {"d", 1}, {"e", 1}},
                   {{"threads", "2"}, {"cpu", "x"}}};
  const Run after{{{"b", 1.1}, {"a", 3}, {"new", 1}, {"c", 4}, {"d", none}, {"e", 0.5}},
                  {{"threads", "4"}, {"cpu", "x"}}};
  const Comparison c = compare(before, after, 1.1);
  std::vector<std::string> slower;
  for (const Comparison::Row& row : c.slower()) slower.push_back(row.row);
  CHECK(slower == std::vector<std::string>{"c", "a"});  // the worst first; b is not past the ratio
  CHECK(c.rows.size() == 4);
  CHECK(c.only_before == std::vector<std::string>{"gone"});
  CHECK(c.only_after == std::vector<std::string>{"new"});
  CHECK(c.failed == std::vector<std::string>{"d"});
  CHECK(c.other_conditions == std::vector<std::string>{"threads: 2, then 4"});
  CHECK(compare(before, before, 1).slower().empty());
}

TEST_CASE("comparison reads its own documents and refuses others") {
  const Report report{.options = kQuick,
                      .roofs = {1e9, 1e9, 1},
                      .rows = {measured("a", 1, 1, {2, 1, 4}), measured("b", 1, 1, {})}};
  json document = to_json(report);
  document["rows"][1]["check"]["passed"] = false;
  const Run run = read_run(document, "file");
  REQUIRE(run.rows.size() == 2);
  CHECK(run.rows[0].seconds == 2);
  CHECK(std::isnan(run.rows[1].seconds));
  const auto refused = [](const json& d) {
    return contains(message_of<FormatError>([&] { read_run(d, "file"); }), "'file': no document");
  };
  for (const char* key : {"schema", "kind", "rows"}) {
    json other = document;
    other.erase(key);
    CHECK(refused(other));
  }
  document["rows"][0]["seconds"]["median"] = -1;
  CHECK(refused(document));
  document["rows"][0]["seconds"]["median"] = "fast";
  CHECK(refused(document));
  CHECK(refused(json::array()));
}

TEST_CASE("labels cover neither each other nor a point, and stay within the frame") {
  const Box frame{0, 0, 600, 400};
  std::mt19937 bits(1);
  std::vector<Point> points(60, {300, 200});  // all in one place, and some anywhere
  for (int i = 0; i < 60; ++i) {
    points.push_back({20 + bits() % 560 * 1.0, 20 + bits() % 360 * 1.0});
  }
  points.push_back({600, 400});  // a corner
  const std::vector<Box> sizes(points.size(), {0, 0, 13, 9});
  const std::vector<Box> labels = place_labels(points, sizes, 4, frame);
  REQUIRE(labels.size() == points.size());
  int overlaps = 0, outside = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    outside += !labels[i].inside(frame);
    for (size_t j = 0; j < labels.size(); ++j) {
      overlaps += i < j && labels[i].overlaps(labels[j]);
      overlaps += labels[i].overlaps({points[j].x - 4, points[j].y - 4, 8, 8});
    }
  }
  CHECK(overlaps == 0);
  CHECK(outside == 0);
  // Near where there is room.
  CHECK(std::hypot(labels[0].center().x - 300, labels[0].center().y - 200) < 20);
}

TEST_CASE("a frame without room ends the search") {
  const std::vector<Point> points(3, {5, 5});
  const std::vector<Box> labels = place_labels(points, {3, {0, 0, 8, 8}}, 4, {0, 0, 10, 10});
  for (const Box& label : labels) CHECK(label.center().x == 5);
}

TEST_CASE("the plot is well-formed and shows each row that computes") {
  Report report{.options = kQuick, .roofs = {2e10, 1e11, 1}, .rows = {}};
  report.rows = {measured("first", 100, 1e-3, {1e-9}),
                 measured("copy", 100, 0, {1e-9}),
                 measured("failed", 100, 100, {}),
                 measured("far", 1, 1e12, {1e-3})};
  const std::string svg = roofline_svg(report, "a <b> & c");
  CHECK(contains(svg, "a &lt;b&gt; &amp; c"));
  CHECK(contains(svg, ">first</text>"));
  CHECK(contains(svg, ">far</text>"));
  CHECK_FALSE(contains(svg, ">copy</text>"));
  CHECK(contains(svg, "2 rows without arithmetic or measurement are not shown"));
  CHECK(contains(svg, "copy bandwidth 20.0 GB/s"));
  CHECK(contains(svg, "multiply-adds in registers 100 GFLOP/s"));
  CHECK_FALSE(std::regex_search(svg, std::regex("\"-?(nan|inf)")));
  // Every element is closed.
  std::vector<std::string> open;
  const std::regex tag("<(/?)([a-z]+)[^>]*?(/?)>");
  for (std::sregex_iterator t(svg.begin(), svg.end(), tag), end; t != end; ++t) {
    if ((*t)[1].length() > 0) {
      REQUIRE_FALSE(open.empty());
      CHECK(open.back() == (*t)[2]);
      open.pop_back();
    } else if ((*t)[3].length() == 0) {
      open.push_back((*t)[2]);
    }
  }
  CHECK(open.empty());
}

}  // namespace oche::bench
