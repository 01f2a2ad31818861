// metrics.csv: its columns, writer and reader.
#include "nas/metrics.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

#include "engine/error.h"
#include "engine/file.h"

namespace oche::nas {
namespace {

using M = EpochMetrics;
constexpr MetricColumn kColumns[] = {{"epoch", &M::epoch},
                                     {"lr", &M::lr},
                                     {"train_loss", &M::train_loss},
                                     {"search_loss", &M::search_loss},
                                     {"train_accuracy", &M::train_accuracy},
                                     {"search_accuracy", &M::search_accuracy},
                                     {"discrete_accuracy", &M::discrete_accuracy},
                                     {"discretisation_gap", &M::discretisation_gap},
                                     {"skip_normal", &M::skip_normal},
                                     {"skip_reduce", &M::skip_reduce},
                                     {"entropy_normal", &M::entropy_normal},
                                     {"entropy_reduce", &M::entropy_reduce},
                                     {"temperature", &M::temperature},
                                     {"seconds", &M::seconds},
                                     {"images_per_second", &M::images_per_second},
                                     {"peak_bytes", &M::peak_bytes}};

std::string csv_line(const std::vector<std::string>& fields) {
  return fmt::format("{}\r\n", fmt::join(fields, ","));
}

std::vector<std::string_view> split_fields(std::string_view line) {
  std::vector<std::string_view> fields;
  for (;;) {
    const size_t comma = line.find(',');
    fields.push_back(line.substr(0, comma));
    if (comma == line.npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

template <typename T>
T parse_number(std::string_view field, std::string_view column, const std::string& place) {
  T value{};
  const char* end = field.data() + field.size();
  const auto [stop, error] = std::from_chars(field.data(), end, value);
  if (error != std::errc() || stop != end) {
    throw FormatError(fmt::format("{}, {}: {} is not {} number",
                                  place,
                                  column,
                                  quote(field),
                                  std::is_integral_v<T> ? "a whole" : "a"));
  }
  return value;
}

EpochMetrics parse_row(std::string_view line, const std::string& place) {
  const std::vector<std::string_view> fields = split_fields(line);
  if (fields.size() != std::size(kColumns)) {
    throw FormatError(
        fmt::format("{}: {} fields; expected {}", place, fields.size(), std::size(kColumns)));
  }
  EpochMetrics metrics{};
  for (size_t i = 0; i < fields.size(); ++i) {
    const MetricColumn& column = kColumns[i];
    const auto set = [&]<typename T>(T M::*member) {
      metrics.*member = parse_number<T>(fields[i], column.name, place);
    };
    std::visit(set, column.member);
  }
  return metrics;
}

}  // namespace

EpochMetrics metrics_of(const EpochReport& r) {
  return {.epoch = r.epoch + 1,
          .lr = r.lr,
          .train_loss = r.train_loss,
          .search_loss = r.validation_loss,
          .train_accuracy = r.train_accuracy,
          .search_accuracy = r.search_accuracy,
          .discrete_accuracy = r.discrete_accuracy,
          .discretisation_gap = r.discretisation_gap(),
          .skip_normal = count_op(r.genotype.normal, "skip_connect"),
          .skip_reduce = count_op(r.genotype.reduce, "skip_connect"),
          .entropy_normal = mean_entropy(r.weights.normal),
          .entropy_reduce = mean_entropy(r.weights.reduce),
          .temperature = r.temperature,
          .seconds = r.seconds,
          .images_per_second = r.images_per_second,
          .peak_bytes = r.peak_bytes};
}

std::span<const MetricColumn> metric_columns() {
  return kColumns;
}

std::string csv_header() {
  std::vector<std::string> names;
  for (const MetricColumn& column : kColumns) names.emplace_back(column.name);
  return csv_line(names);
}

std::string csv_row(const EpochMetrics& metrics) {
  std::vector<std::string> fields;
  for (const MetricColumn& column : kColumns) {
    std::visit([&](auto member) { fields.push_back(fmt::to_string(metrics.*member)); },
               column.member);
  }
  return csv_line(fields);
}

std::vector<EpochMetrics> parse_metrics(std::string_view csv, const std::string& source) {
  const std::vector<std::string_view> lines = whole_lines(csv);
  const std::string header = csv_header();
  if (lines.empty() || lines[0] != whole_lines(header)[0]) {
    throw FormatError(fmt::format("{}: line 1: {} is not the header {}",
                                  source,
                                  quote(lines.empty() ? csv : lines[0]),
                                  quote(whole_lines(header)[0], header.size())));
  }
  std::vector<EpochMetrics> rows;
  for (size_t i = 1; i < lines.size(); ++i) {
    rows.push_back(parse_row(lines[i], fmt::format("{}: line {}", source, i + 1)));
  }
  return rows;
}

}  // namespace oche::nas
