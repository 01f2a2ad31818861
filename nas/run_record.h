// The files of a run that grow: metrics.csv, events.jsonl, genotypes.jsonl.
#pragma once

#include <cstdint>
#include <filesystem>

#include "nas/search.h"

namespace oche::nas {

// Every line is appended and synced at once; a kill tears at most the last one.
//
// metrics.csv      a row an epoch, see EpochMetrics
// genotypes.jsonl  an object an epoch: alphas, weights, op counts, skip count and cells
// events.jsonl     objects of type start (with the edges and their candidates), resume, epoch (its
//                  metrics), end
class RunRecord {
 public:
  explicit RunRecord(const std::filesystem::path& directory);

  void start(Search& search) const;  // files with nothing in them yet
  void epoch(Search& search, const EpochReport& report) const;
  void end(const Search& search, const SearchResult& result) const;
  // Brings the record back to where the search is: what later epochs left goes, and so does a torn
  // line. Throws FormatError naming the file that lacks the lines of an earlier one.
  void resume(const Search& search) const;

 private:
  std::filesystem::path metrics_, genotypes_, events_;
};

}  // namespace oche::nas
