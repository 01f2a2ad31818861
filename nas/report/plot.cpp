// Line plots as SVG.
#include "nas/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "nas/report/axis.h"
#include "nas/report/html.h"

namespace oche::nas::report {
namespace {

// Of the fonts that the style sheet asks for, pixels. A character is about as wide as this, which
// errs on the wide side for digits.
struct Font {
  double size, character;
};
constexpr Font kFont{12, 6.6}, kSmallFont{10, 5.6};
constexpr double kSwatch = 22, kGap = 16;  // of an entry of a legend: its line, the space behind

const Font& font_of(const Plot& plot) {
  return plot.small ? kSmallFont : kFont;
}

// Characters, not bytes.
size_t length_of(std::string_view utf8) {
  return static_cast<size_t>(
      std::ranges::count_if(utf8, [](char c) { return (c & 0xC0) != 0x80; }));
}

// The range of what can be drawn; nullopt of nothing.
using Range = std::optional<std::pair<double, double>>;
void widen(Range& range, double value) {
  if (!is_drawable(value)) return;
  if (!range) range = {value, value};
  range = {std::min(range->first, value), std::max(range->second, value)};
}

struct Entries {
  std::string svg;
  double height;
};

// The entries from (0, 0) on; a row is as high as 1.6 letters.
Entries entries(const std::vector<Series>& series, double width, const Font& font) {
  std::string svg;
  const double row = 1.6 * font.size;
  double x = 0, y = row / 2;
  for (const Series& s : series) {
    const double text = static_cast<double>(length_of(s.label)) * font.character;
    if (x > 0 && x + kSwatch + text > width) x = 0, y += row;
    svg += fmt::format(R"(<g class="line {}"><path d="M{:.1f} {:.1f}h16"/></g>)"
                       R"(<text x="{:.1f}" y="{:.1f}">{}</text>)",
                       escape(s.style),
                       x,
                       y,
                       x + kSwatch,
                       y + 0.35 * font.size,
                       escape(s.label));
    svg += '\n';
    x += kSwatch + text + kGap;
  }
  return {svg, y + row / 2};
}

std::string open_svg(double width, double height, std::string_view kind, std::string_view title) {
  return fmt::format(
      R"(<svg class="{0}" role="img" width="{1:.0f}" height="{2:.0f}" viewBox="0 0 {1:.0f} {2:.0f}">)"
      "\n<title>{3}</title>\n",
      kind,
      width,
      height,
      escape(title));
}

// Where values lie in the picture.
struct Frame {
  double left, top, right, bottom;
  Axis x_axis, y_axis;

  double x(double value) const {
    return left + (value - x_axis.lo) / (x_axis.hi - x_axis.lo) * (right - left);
  }
  double y(double value) const {
    return bottom - (value - y_axis.lo) / (y_axis.hi - y_axis.lo) * (bottom - top);
  }
};

std::string axes(const Frame& f, const Plot& plot) {
  const double size = font_of(plot).size;
  std::string svg;
  for (const Tick& tick : f.y_axis.ticks) {
    const double y = f.y(tick.value);
    svg += fmt::format(R"(<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/>)"
                       R"(<text class="y" x="{:.1f}" y="{:.1f}">{}</text>)",
                       f.left,
                       y,
                       f.right,
                       f.left - 0.5 * size,
                       y + 0.35 * size,
                       tick.label);
    svg += '\n';
  }
  svg +=
      fmt::format(R"(<path class="axis" d="M{:.1f} {:.1f}H{:.1f}"/>)", f.left, f.bottom, f.right);
  svg += '\n';
  for (const Tick& tick : f.x_axis.ticks) {
    svg += fmt::format(R"(<path class="axis" d="M{0:.1f} {1:.1f}v4"/>)"
                       R"(<text class="x" x="{0:.1f}" y="{2:.1f}">{3}</text>)",
                       f.x(tick.value),
                       f.bottom,
                       f.bottom + 5 + size,
                       tick.label);
    svg += '\n';
  }
  svg += fmt::format(R"(<text class="label" x="0" y="{:.1f}">{}</text>)"
                     R"(<text class="label end" x="{:.1f}" y="{:.1f}">{}</text>)",
                     f.top - 0.8 * size,
                     escape(plot.y_label),
                     f.right,
                     f.bottom + 7 + 2 * size,
                     escape(plot.x_label));
  return svg + '\n';
}

std::string line(const Series& s, const Frame& f) {
  std::string svg =
      fmt::format(R"(<g class="line {}"><title>{}</title>)", escape(s.style), escape(s.label));
  std::string points;
  int count = 0;
  const auto end_of_piece = [&](size_t end) {
    if (count == 1) {
      svg += fmt::format(
          R"(<circle cx="{:.1f}" cy="{:.1f}" r="2.5"/>)", f.x(s.x[end - 1]), f.y(s.y[end - 1]));
    } else if (count > 1) {
      svg += fmt::format(R"(<polyline points="{}"/>)", points);
    }
    points.clear();
    count = 0;
  };
  for (size_t i = 0; i < s.y.size(); ++i) {
    if (is_drawable(s.x[i]) && is_drawable(s.y[i])) {
      points += fmt::format("{}{:.1f},{:.1f}", count++ == 0 ? "" : " ", f.x(s.x[i]), f.y(s.y[i]));
    } else {
      end_of_piece(i);
    }
  }
  end_of_piece(s.y.size());
  return svg + "</g>\n";
}

}  // namespace

std::string line_plot(const Plot& plot) {
  Range x = plot.x_range, y = plot.y_range;
  for (const Series& s : plot.series) {
    if (s.x.size() != s.y.size()) {
      throw std::invalid_argument(
          fmt::format("plot: series {} has {} x and {} y", s.label, s.x.size(), s.y.size()));
    }
    for (size_t i = 0; i < s.x.size(); ++i) {
      if (!is_drawable(s.x[i]) || !is_drawable(s.y[i])) continue;
      if (!plot.x_range) widen(x, s.x[i]);
      if (!plot.y_range) widen(y, s.y[i]);
    }
  }
  const bool empty = !x || !y;
  if (!x) x = {1, 1};
  if (!y) y = {0, 1};
  if (plot.from_zero) widen(y, 0);

  const Font& font = font_of(plot);
  Frame f{
      .left = 0,
      .top = 2.2 * font.size,
      .right = plot.width - font.size,
      .bottom = plot.height - 2.6 * font.size - 2,
      .x_axis = make_axis(x->first, x->second, {.most = plot.small ? 3 : 6, .whole = true}),
      .y_axis = make_axis(
          y->first, y->second, {.most = plot.small ? 4 : 5, .whole = plot.whole, .expand = true})};
  std::string names;
  if (plot.legend) {
    const Entries all = entries(plot.series, plot.width, font);
    names = fmt::format("<g class=\"legend\">\n{}</g>\n", all.svg);
    f.top += all.height;
  }
  size_t widest = 0;
  for (const Tick& tick : f.y_axis.ticks) widest = std::max(widest, length_of(tick.label));
  f.left = static_cast<double>(widest) * font.character + font.size;

  std::string svg =
      open_svg(plot.width, plot.height, plot.small ? "plot small" : "plot", plot.title);
  svg += names + axes(f, plot);
  for (const Series& s : plot.series) svg += line(s, f);
  if (empty) {
    svg += fmt::format(R"(<text class="none" x="{:.1f}" y="{:.1f}">no values</text>)",
                       (f.left + f.right) / 2,
                       (f.top + f.bottom) / 2);
    svg += '\n';
  }
  return svg + "</svg>\n";
}

std::string figure(std::string_view caption, const Plot& plot) {
  return fmt::format(
      "<figure>\n<figcaption>{}</figcaption>\n{}</figure>\n", caption, line_plot(plot));
}

std::string line_legend(const std::vector<Series>& series, int width) {
  const Entries all = entries(series, width, kFont);
  return open_svg(width, all.height, "plot legend", "Legend") + all.svg + "</svg>\n";
}

}  // namespace oche::nas::report
