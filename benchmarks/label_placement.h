// Labels beside points, so that none covers another or a point.
#pragma once

#include <vector>

namespace oche::bench {

struct Point {
  double x, y;
};
struct Box {
  double x, y, width, height;  // the corner of smallest x and y, and the extents

  Point center() const { return {x + width / 2, y + height / 2}; }
  bool overlaps(const Box& other) const {
    return x < other.x + other.width && other.x < x + width && y < other.y + other.height &&
           other.y < y + height;
  }
  bool inside(const Box& frame) const {
    return x >= frame.x && y >= frame.y && x + width <= frame.x + frame.width &&
           y + height <= frame.y + frame.height;
  }
};

// Where the labels of these sizes (x and y of `sizes` are not looked at) go: as near to their
// points as the labels before them and all points, squares of 2 * radius, leave room within the
// frame. A label for which the frame has no room covers its point.
std::vector<Box> place_labels(const std::vector<Point>& points,
                              const std::vector<Box>& sizes,
                              double radius,
                              const Box& frame);

}  // namespace oche::bench
