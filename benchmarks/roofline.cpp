// Writes the roofline plot as SVG by hand.
#include "benchmarks/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "benchmarks/format.h"
#include "benchmarks/label_placement.h"

namespace oche::bench {
namespace {

constexpr Box kSmallPlot{70, 96, 820, 640}, kLargePlot{70, 96, 1400, 1060};
constexpr size_t kManyMarks = 80;  // that make it a large one
constexpr double kRadius = 4;      // of a marker
constexpr double kLine = 14;       // height of a line of the key
constexpr double kGlyph = 6;       // width of a character, roughly

// Told apart on white, also by the colour-blind (Okabe and Ito, and darker shades of theirs).
constexpr const char* kColors[] = {"#0072b2",
                                   "#d55e00",
                                   "#009e73",
                                   "#cc79a7",
                                   "#b8860b",
                                   "#56b4e9",
                                   "#000000",
                                   "#7b3294",
                                   "#8c510a",
                                   "#4d4d4d",
                                   "#e41a1c",
                                   "#a6761d"};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// A logarithmic axis of whole decades, mapped to [from, to] of the picture.
struct Axis {
  Axis(double low, double high, double from, double to)
      : first(static_cast<int>(std::floor(std::log10(low)))),
        last(std::max(first + 1, static_cast<int>(std::ceil(std::log10(high))))),
        from(from),
        to(to) {}
  double at(double value) const {
    return from + (to - from) * (std::log10(value) - first) / (last - first);
  }
  int first, last;  // decades
  double from, to;
};

struct Mark {
  const Measurement* row;
  double intensity, flops_per_second;
};

std::vector<Mark> marks_of(const Report& report) {
  std::vector<Mark> marks;
  for (const Measurement& m : report.rows) {
    if (m.seconds.empty() || !(m.flops > 0) || !(m.bytes > 0)) continue;
    marks.push_back({&m, m.flops / m.bytes, m.flops / m.median()});
  }
  return marks;
}

class Picture {
 public:
  Picture(const Report& report, const std::string& subtitle)
      : roofs_(report.roofs),
        marks_(marks_of(report)),
        plot_(marks_.size() < kManyMarks ? kSmallPlot : kLargePlot),
        x_(x_axis()),
        y_(y_axis()) {
    for (const Mark& m : marks_) {
      colors_.emplace(m.row->group, kColors[colors_.size() % std::size(kColors)]);
      groups_.push_back(m.row->group);
    }
    draw_grid();
    draw_roofs();
    draw_marks();
    name_roofs();
    draw_key();
    draw_legend(subtitle, report.rows.size() - marks_.size());
  }

  std::string svg() const {
    const double height = plot_.y + plot_.height + 60;
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"sans-serif\" font-size=\"11\">\n"
        "<title>Roofline</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        "{2}</svg>\n",
        width_,
        height,
        body_);
  }

 private:
  Axis x_axis() const {
    double low = roofs_.ridge() / 10, high = roofs_.ridge() * 10;
    for (const Mark& m : marks_) {
      low = std::min(low, m.intensity);
      high = std::max(high, m.intensity);
    }
    return {low, high, plot_.x, plot_.x + plot_.width};
  }
  Axis y_axis() const {
    double low = roofs_.flops_per_second / 100, high = roofs_.flops_per_second * 1.5;
    for (const Mark& m : marks_) {
      low = std::min(low, m.flops_per_second);
      high = std::max(high, m.flops_per_second);
    }
    return {low, high, plot_.y + plot_.height, plot_.y};
  }

  void line(double x1, double y1, double x2, double y2, const std::string& style) {
    body_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n",
                         x1,
                         y1,
                         x2,
                         y2,
                         style);
  }
  void text(double x, double y, const std::string& content, const std::string& style = "") {
    body_ += fmt::format(
        "<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, style, escaped(content));
  }
  void disc(double x, double y, const std::string& color) {
    body_ += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" fill=\"{}\" stroke=\"#ffffff\" "
        "stroke-width=\"0.7\"/>\n",
        x,
        y,
        kRadius,
        color);
  }

  void draw_grid() {
    const double right = plot_.x + plot_.width, bottom = plot_.y + plot_.height;
    for (int decade = x_.first; decade <= x_.last; ++decade) {
      const double x = x_.at(std::pow(10, decade));
      line(x, plot_.y, x, bottom, "stroke=\"#d8d8d8\"");
      text(x, bottom + 16, fmt::format("{:g}", std::pow(10, decade)), "text-anchor=\"middle\"");
      for (int k = 2; k < 10 && decade < x_.last; ++k) {
        const double minor = x_.at(k * std::pow(10, decade));
        line(minor, bottom - 4, minor, bottom, "stroke=\"#909090\"");
      }
    }
    for (int decade = y_.first; decade <= y_.last; ++decade) {
      const double y = y_.at(std::pow(10, decade));
      line(plot_.x, y, right, y, "stroke=\"#d8d8d8\"");
      text(
          plot_.x - 6, y + 4, fmt::format("{:g}", std::pow(10, decade - 9)), "text-anchor=\"end\"");
      for (int k = 2; k < 10 && decade < y_.last; ++k) {
        const double minor = y_.at(k * std::pow(10, decade));
        line(plot_.x, minor, plot_.x + 4, minor, "stroke=\"#909090\"");
      }
    }
    line(plot_.x, bottom, right, bottom, "stroke=\"#404040\"");
    line(plot_.x, plot_.y, plot_.x, bottom, "stroke=\"#404040\"");
    text(plot_.x + plot_.width / 2,
         bottom + 36,
         "operational intensity, FLOP/byte",
         "text-anchor=\"middle\" font-size=\"13\"");
    text(0,
         0,
         "achieved, GFLOP/s",
         fmt::format("text-anchor=\"middle\" font-size=\"13\" transform=\"translate(22 {:.1f}) "
                     "rotate(-90)\"",
                     plot_.y + plot_.height / 2));
  }

  // Where the slanted roof enters the plot: at its left or at its bottom edge.
  Point roof_foot() const {
    const double intensity =
        std::max(std::pow(10, x_.first), std::pow(10, y_.first) / roofs_.bytes_per_second);
    return {x_.at(intensity), y_.at(intensity * roofs_.bytes_per_second)};
  }

  void draw_roofs() {
    const std::string style = "stroke=\"#303030\" stroke-width=\"2\"";
    const double ridge = roofs_.ridge(), peak = roofs_.flops_per_second;
    const Point foot = roof_foot();
    const Point top{x_.at(ridge), y_.at(peak)};
    line(foot.x, foot.y, top.x, top.y, style);
    line(top.x, top.y, plot_.x + plot_.width, top.y, style);
  }

  void name_roofs() {
    const double peak = roofs_.flops_per_second;
    const Point foot = roof_foot(), top{x_.at(roofs_.ridge()), y_.at(peak)};
    const std::string halo = "stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\"";
    const double angle = std::atan2(top.y - foot.y, top.x - foot.x) * 180 / M_PI;
    text(0,
         -7,
         fmt::format("copy bandwidth {}", format_si(roofs_.bytes_per_second, "B/s")),
         halo +
             fmt::format(" font-size=\"12\" transform=\"translate({:.1f} {:.1f}) rotate({:.2f})\"",
                         foot.x + (top.x - foot.x) * 0.08,
                         foot.y + (top.y - foot.y) * 0.08,
                         angle));
    text(plot_.x + plot_.width - 4,
         top.y - 7,
         fmt::format("multiply-adds in registers {}", format_si(peak, "FLOP/s")),
         halo + " text-anchor=\"end\" font-size=\"12\"");
  }

  void draw_marks() {
    std::vector<Point> points;
    std::vector<Box> sizes;
    for (size_t i = 0; i < marks_.size(); ++i) {
      points.push_back({x_.at(marks_[i].intensity), y_.at(marks_[i].flops_per_second)});
      sizes.push_back({0, 0, kGlyph * static_cast<double>(std::to_string(i + 1).size()) + 1, 9});
    }
    const std::vector<Box> labels = place_labels(points, sizes, kRadius, plot_);
    for (size_t i = 0; i < marks_.size(); ++i) {
      const Point c = labels[i].center();
      const double distance = std::hypot(c.x - points[i].x, c.y - points[i].y);
      if (distance > 3 * kRadius + sizes[i].width / 2) {
        line(points[i].x, points[i].y, c.x, c.y, "stroke=\"#b0b0b0\" stroke-width=\"0.6\"");
      }
    }
    for (size_t i = 0; i < marks_.size(); ++i) disc(points[i].x, points[i].y, colors_[groups_[i]]);
    for (size_t i = 0; i < marks_.size(); ++i) {
      text(labels[i].center().x,
           labels[i].y + labels[i].height - 0.5,
           std::to_string(i + 1),
           fmt::format("text-anchor=\"middle\" font-size=\"10\" fill=\"{}\" stroke=\"#ffffff\" "
                       "stroke-width=\"2\" paint-order=\"stroke\"",
                       colors_[groups_[i]]));
    }
  }

  void draw_key() {
    const auto lines = static_cast<size_t>(plot_.height / kLine);
    double x = plot_.x + plot_.width + 30, widest = 0;
    for (size_t i = 0; i < marks_.size(); ++i) {
      if (i > 0 && i % lines == 0) {
        x += widest + 24;
        widest = 0;
      }
      const double y = plot_.y + 10 + kLine * static_cast<double>(i % lines);
      text(x + 22, y, std::to_string(i + 1), "text-anchor=\"end\" font-size=\"10\"");
      disc(x + 32, y - 3.5, colors_[groups_[i]]);
      text(x + 42, y, marks_[i].row->short_name, "font-size=\"10\"");
      widest = std::max(widest, 42 + 5.6 * static_cast<double>(marks_[i].row->short_name.size()));
    }
    width_ = std::max(plot_.x + plot_.width + 40, x + widest + 16);
  }

  void draw_legend(const std::string& subtitle, size_t left_out) {
    text(plot_.x, 26, "Roofline", "font-size=\"18\" font-weight=\"bold\"");
    text(plot_.x + 96, 26, subtitle, "font-size=\"12\" fill=\"#505050\"");
    if (left_out > 0) {
      text(plot_.x + 96,
           42,
           fmt::format("{} without arithmetic or measurement {} not shown",
                       left_out == 1 ? "1 row" : fmt::format("{} rows", left_out),
                       left_out == 1 ? "is" : "are"),
           "fill=\"#505050\"");
    }
    double x = plot_.x, y = 62;
    for (const auto& [group, color] : colors_) {
      const double width = 22 + kGlyph * static_cast<double>(group.size()) + 12;
      if (x + width > plot_.x + plot_.width) {
        x = plot_.x;
        y += 16;
      }
      disc(x + 6, y - 4, color);
      text(x + 16, y, group);
      x += width;
    }
  }

  const Roofs roofs_;
  const std::vector<Mark> marks_;
  const Box plot_;
  const Axis x_, y_;
  std::vector<std::string> groups_;  // of each mark
  std::map<std::string, std::string> colors_;
  std::string body_;
  double width_ = 0;
};

}  // namespace

std::string roofline_svg(const Report& report, const std::string& subtitle) {
  return Picture(report, subtitle).svg();
}

}  // namespace oche::bench
