// Greedy placement: rings of candidate places around each point, from the inside out.
#include "benchmarks/label_placement.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

namespace oche::bench {
namespace {

constexpr int kDirections = 16;
constexpr double kRing = 4;  // from one ring of candidates to the next

Box box_around(Point center, const Box& size) {
  return {center.x - size.width / 2, center.y - size.height / 2, size.width, size.height};
}

}  // namespace

std::vector<Box> place_labels(const std::vector<Point>& points,
                              const std::vector<Box>& sizes,
                              double radius,
                              const Box& frame) {
  std::vector<Box> taken;
  for (const Point& p : points) taken.push_back(box_around(p, {0, 0, 2 * radius, 2 * radius}));
  const auto is_free = [&](const Box& box) {
    return box.inside(frame) &&
           std::ranges::none_of(taken, [&](const Box& other) { return box.overlaps(other); });
  };
  const auto find_place = [&](Point p, const Box& size) -> std::optional<Box> {
    const double reach = std::hypot(frame.width, frame.height);
    for (double ring = 0; ring < reach; ring += kRing) {
      for (int i = 0; i < kDirections; ++i) {
        // From the right upwards; the label's nearer edge lies on the ring.
        const double angle = -2 * std::numbers::pi * i / kDirections;
        const Box box = box_around({p.x + std::cos(angle) * (radius + ring + size.width / 2),
                                    p.y + std::sin(angle) * (radius + ring + size.height / 2)},
                                   size);
        if (is_free(box)) return box;
      }
    }
    return std::nullopt;
  };
  std::vector<Box> labels;
  for (size_t i = 0; i < points.size(); ++i) {
    labels.push_back(find_place(points[i], sizes[i]).value_or(box_around(points[i], sizes[i])));
    taken.push_back(labels.back());
  }
  return labels;
}

}  // namespace oche::bench
