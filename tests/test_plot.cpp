// Axes and line plots of the report.
#include <cmath>
#include <limits>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

#include "nas/report/axis.h"
#include "nas/report/html.h"
#include "nas/report/plot.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/markup.h"

using namespace oche::nas::report;
using namespace oche::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::string labels(const Axis& axis) {
  std::string all;
  for (const Tick& tick : axis.ticks) all += (all.empty() ? "" : " ") + tick.label;
  return all;
}

double parsed(std::string label) {
  const std::string minus = "−";
  const bool negative = label.starts_with(minus);
  const double value = std::stod(negative ? label.substr(minus.size()) : label);
  return negative ? -value : value;
}

Plot plot_of(std::vector<double> x, std::vector<double> y) {
  return {.title = "t",
          .x_label = "epoch",
          .y_label = "nats",
          .series = {{"a line", "blue", std::move(x), std::move(y)}},
          .x_range = {},
          .y_range = {}};
}

}  // namespace

TEST_CASE("ticks are at round numbers") {
  CHECK(labels(make_axis(0.13, 0.87, {.most = 5, .expand = true})) == "0 0.2 0.4 0.6 0.8 1.0");
  CHECK(labels(make_axis(0.13, 0.87, {.most = 5})) == "0.2 0.4 0.6 0.8");
  CHECK(labels(make_axis(1, 50, {.most = 6, .whole = true})) == "10 20 30 40 50");
  CHECK(labels(make_axis(1, 3, {.most = 6, .whole = true})) == "1 2 3");
  CHECK(labels(make_axis(-0.05, 0.02, {.most = 4, .expand = true})) == "−0.06 −0.04 −0.02 0 0.02");
  CHECK(labels(make_axis(0, 0.3, {.most = 3, .expand = true})) == "0 0.1 0.2 0.3");
  CHECK(labels(make_axis(0, 4e30, {.most = 4})) == "0 1e30 2e30 3e30 4e30");
  CHECK(labels(make_axis(0, 3e-7, {.most = 3})) == "0 1e-7 2e-7 3e-7");
}

TEST_CASE("an axis of one value has it in its middle") {
  const Axis one = make_axis(1, 1, {.whole = true});
  CHECK(labels(one) == "1");
  CHECK((one.lo == 0.5 && one.hi == 1.5));
  const Axis zero = make_axis(0, 0, {.expand = true});
  CHECK((zero.lo == -1 && zero.hi == 1));
  const Axis rate = make_axis(0.025, 0.025 * (1 + 1e-15), {});
  CHECK((rate.lo < 0.025 && 0.025 < rate.hi));
  CHECK(rate.ticks.size() >= 2);
  CHECK(make_axis(1 - 1e-7, 1, {.whole = true, .expand = true}).ticks.size() == 2);
}

TEST_CASE("axes of any range hold it, with some ticks that say what they are") {
  const std::vector<double> values = {
      -1e100, -3e7, -1, -0.3, -1e-300, 0, 1e-310, 1e-5, 0.7, 12, 1e100};
  for (const double lo : values) {
    for (const double hi : values) {
      if (lo > hi) continue;
      for (const bool expand : {false, true}) {
        CAPTURE(lo, hi, expand);
        const Axis axis = make_axis(lo, hi, {.most = 5, .expand = expand});
        CHECK(axis.lo < axis.hi);
        const double slack = 1e-5 * (axis.hi - axis.lo);
        CHECK((axis.lo <= lo + slack && hi - slack <= axis.hi));
        REQUIRE(axis.ticks.size() >= 2);
        CHECK(axis.ticks.size() <= 8);
        for (size_t i = 0; i < axis.ticks.size(); ++i) {
          const Tick& tick = axis.ticks[i];
          CHECK((tick.value >= axis.lo && tick.value <= axis.hi));
          CHECK(parsed(tick.label) == Approx(tick.value).margin(slack));
          if (i > 0) CHECK(tick.value > axis.ticks[i - 1].value);
        }
        if (expand)
          CHECK((axis.ticks.front().value == axis.lo && axis.ticks.back().value == axis.hi));
      }
    }
  }
  CHECK_THROWS_AS(make_axis(1, 0, {}), std::invalid_argument);
  CHECK_THROWS_AS(make_axis(0, kNan, {}), std::invalid_argument);
  CHECK_THROWS_AS(make_axis(0, kInfinity, {}), std::invalid_argument);
  CHECK_THROWS_AS(make_axis(0, 1, {.most = 0}), std::invalid_argument);
}

TEST_CASE("a plot has a title, both labels, ticks, and its line within its bounds") {
  const Plot plot = plot_of({1, 2, 3, 4}, {2.5, -1, 0.5, 7.25});
  const std::string svg = line_plot(plot);
  CHECK(markup_error(svg) == "");
  CHECK(contains(svg, "<title>t</title>"));
  CHECK(contains(svg, ">epoch</text>"));
  CHECK(contains(svg, ">nats</text>"));
  CHECK(contains(svg, ">−2</text>"));
  CHECK(contains(svg, ">8</text>"));
  CHECK(count_of(svg, ">a line</text>") == 1);
  CHECK(count_of(svg, "<polyline") == 1);
  CHECK(line_plot(plot) == svg);

  std::smatch points;
  REQUIRE(std::regex_search(svg, points, std::regex("points=\"([^\"]+)\"")));
  std::istringstream numbers(std::regex_replace(points[1].str(), std::regex(","), " "));
  double x = 0, y = 0, last_x = 0;
  std::vector<double> heights;
  while (numbers >> x >> y) {
    CHECK((x > last_x && x <= plot.width));
    CHECK((y >= 0 && y <= plot.height));
    last_x = x;
    heights.push_back(y);
  }
  REQUIRE(heights.size() == 4);
  CHECK(heights[3] < heights[0]);  // what is more is higher up
  CHECK(heights[0] < heights[2]);
  CHECK(heights[2] < heights[1]);
}

TEST_CASE("what cannot be drawn is a gap, and a point by itself a dot") {
  const std::string gap = line_plot(plot_of({1, 2, 3, 4, 5, 6}, {1, 2, kNan, 3, kInfinity, 1e200}));
  CHECK(count_of(gap, "<polyline") == 1);
  CHECK(count_of(gap, "<circle") == 1);
  CHECK_FALSE(contains(gap, "nan"));
  CHECK_FALSE(contains(gap, "inf"));
  const std::string one = line_plot(plot_of({1}, {0.5}));
  CHECK(count_of(one, "<circle") == 1);
  CHECK(count_of(one, "<polyline") == 0);
  for (const std::string& none :
       {line_plot(plot_of({}, {})), line_plot(plot_of({1, 2}, {kNan, kNan}))}) {
    CHECK(contains(none, ">no values</text>"));
    CHECK(count_of(none, "<circle") + count_of(none, "<polyline") == 0);
    CHECK(markup_error(none) == "");
  }
  CHECK(contains(message_of<std::invalid_argument>([] {
                   line_plot(plot_of({1, 2}, {1}));
                 }),
                 "series a line has 2 x and 1 y"));
}

TEST_CASE("ranges that are given, and zero, are kept to") {
  Plot plot = plot_of({1, 2}, {3, 4});
  CHECK_FALSE(contains(line_plot(plot), ">0</text>"));
  plot.from_zero = true;
  CHECK(contains(line_plot(plot), ">0</text>"));
  plot.y_range = {0, 100};
  plot.x_range = {1, 9};
  CHECK(contains(line_plot(plot), ">100</text>"));
  CHECK(contains(line_plot(plot), ">8</text>"));
}

TEST_CASE("texts of a plot are escaped, and its legend breaks into rows") {
  Plot plot = plot_of({1, 2}, {3, 4});
  plot.title = plot.x_label = plot.y_label = plot.series[0].label = "<b>&\"'\x01";
  plot.series[0].style = "\"><script>";
  const std::string svg = line_plot(plot);
  CHECK(markup_error(svg) == "");
  CHECK_FALSE(contains(svg, "<script"));
  CHECK_FALSE(contains(svg, "<b>"));
  CHECK(escape("<b>&\"'\x01\t\n") == "&lt;b&gt;&amp;&quot;&#39;\uFFFD\t\n");

  const std::vector<Series> names(7, {"a candidate", "blue", {}, {}});
  const std::string wide = line_legend(names, 2000), narrow = line_legend(names, 200);
  CHECK(count_of(wide, ">a candidate</text>") == 7);
  CHECK(markup_error(narrow) == "");
  CHECK(contains(wide, "height=\"19\""));
  CHECK(contains(narrow, "height=\"134\""));
}
