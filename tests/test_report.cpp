// report.html of made-up runs: complete, well formed, the same twice.
#include <fmt/format.h>

#include <limits>
#include <string>

#include "engine/error.h"
#include "engine/file.h"
#include "nas/metrics.h"
#include "nas/report/page.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/markup.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;
namespace fs = std::filesystem;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Two edges into the one node of the normal cell, with candidates of their own; no edges are
// searched in the reduction cell.
constexpr std::string_view kStart =
    R"({{"schema":1,"type":"start","time":"2025-01-01T00:00:00Z","method":"{}","dataset":"patterns","seed":7,)"
    R"("epochs":3,"steps_per_epoch":5,"weights":1000,"alphas":5,"edges":{{"normal":[[0,2],[1,2]],"reduce":[]}},)"
    R"("candidates":{{"normal":[["none","skip_connect","own_op"],["none","sep_conv_3x3"]],"reduce":[]}}}})"
    "\n";
constexpr std::string_view kGenotype =
    R"({"schema":1,"space":"made-up","normal":{"edges":[["own_op",0,2],["sep_conv_3x3",1,2]],"concat":[2]},)"
    R"("reduce":{"edges":[],"concat":[]}})";

struct MadeUpRun {
  explicit MadeUpRun(const std::string& method = "darts") {
    write("events.jsonl", fmt::format(kStart, method));
    write("metrics.csv", csv_header());
  }

  fs::path path() const { return root.path(); }
  void write(const std::string& name, const std::string& text) const {
    append_to_file(root.path() / name, text);
  }
  void epoch(int64_t number, double loss = 1.5) const {
    EpochMetrics m{};
    m.epoch = number;
    m.train_loss = loss;
    m.search_accuracy = 0.25;
    m.temperature = 1;
    m.lr = 0.025;
    write("metrics.csv", csv_row(m));
    cells(number, "[[0.25,0.5,0.25],[0.9375,0.0625]]");
  }
  void cells(int64_t number, const std::string& normal, const std::string& more = "") const {
    write("genotypes.jsonl",
          fmt::format(R"({{"epoch":{},"weights":{{"normal":{},"reduce":[]}},{}"genotype":{}}})"
                      "\n",
                      number,
                      normal,
                      more,
                      kGenotype));
  }
  std::string page() const { return report::page_of(root.path()); }
  std::string refusal() const {
    return message_of<FormatError>([&] { page(); });
  }

  TemporaryDirectory root;
};

// The part from one heading to the next.
std::string section(const std::string& page, const std::string& heading) {
  const size_t begin = page.find("<h2>" + heading);
  REQUIRE(begin != page.npos);
  return page.substr(begin, page.find("<h2>", begin + 1) - begin);
}

}  // namespace

TEST_CASE("a page before the first epoch, after one, and after all") {
  MadeUpRun run;
  const std::string empty = run.page();
  CHECK(markup_error(empty) == "");
  CHECK(contains(empty, "<h1>darts on patterns, seed 7</h1>"));
  CHECK(contains(empty, "running or killed, 0 of 3 epochs of 5 steps"));
  CHECK(contains(empty, "No epoch has ended yet."));
  CHECK(count_of(empty, "<svg") == 0);

  run.epoch(1);
  const std::string one = run.page();
  CHECK(markup_error(one) == "");
  CHECK(contains(section(one, "Curves"), "<circle"));
  CHECK_FALSE(contains(one, "<polyline"));
  CHECK(contains(one, "The search has no result yet."));

  run.epoch(2);
  run.epoch(3);
  run.write("config.toml", "seed = 7\n");
  run.write("env.json",
            R"({"device":"cpu","revision":"abc","version":"1.2","libraries":{"fmt":"9"}})");
  run.write("genotype.json", std::string(kGenotype));
  run.write("events.jsonl",
            R"({"schema":1,"type":"end","finished":true,"steps":15,"train_accuracy":0.5,)"
            R"("search_accuracy":0.375,"discrete_accuracy":0.125})"
            "\n");
  const std::string whole = run.page();
  CHECK(markup_error(whole) == "");
  CHECK(contains(whole, "finished, 3 of 3 epochs"));
  CHECK(contains(whole, "Device cpu, oche 1.2 (abc)"));
  CHECK(contains(whole, ">37.50 %<"));
  CHECK(contains(whole, "<pre>seed = 7\n</pre>"));
  CHECK(contains(whole, "<td>fmt 9</td>"));
  CHECK(contains(section(whole, "Curves"), "<polyline"));
  CHECK(contains(section(whole, "Derived cells"), "<td>cₖ₋₁</td><td>0</td><td>sep_conv_3x3</td>"));
  CHECK(contains(section(whole, "Derived cells"), "Nothing is left of this cell."));
  CHECK(run.page() == whole);
}

TEST_CASE("every candidate of every edge is drawn, in the colour of its name") {
  MadeUpRun run;
  run.epoch(1);
  run.epoch(2);
  const std::string page = run.page(), normal = section(page, "Normal cell");
  CHECK(count_of(normal, "<figure>") == 2);
  CHECK(count_of(normal, "<polyline") == 5);
  CHECK(contains(normal, "<b>cₖ₋₂ → 0</b> <span>own_op</span>"));
  CHECK(contains(normal, "<b>cₖ₋₁ → 0</b> <span>sep_conv_3x3</span>"));
  CHECK(count_of(normal, "<title>none</title>") == 2);
  // Of each name, a line of the legend and one on each of its edges.
  CHECK(count_of(normal, R"(<g class="line grey dotted">)") == 3);
  CHECK(count_of(normal, R"(<g class="line ink">)") == 2);
  CHECK(count_of(normal, R"(<g class="line blue">)") == 2);
  CHECK(count_of(normal, R"(<g class="line green">)") == 2);
  CHECK(count_of(normal, ">epoch</text>") == 2);
  CHECK(count_of(normal, ">weight</text>") == 2);
  CHECK_FALSE(contains(page, "Reduction cell: weights"));  // nothing is searched there
}

TEST_CASE("why a search ended before its last epoch stands on the page") {
  MadeUpRun run;
  run.epoch(1);
  run.write("genotype.json", std::string(kGenotype));
  run.write(
      "events.jsonl",
      R"({"schema":1,"type":"end","finished":true,"steps":5,"ended_by":"skip-count","reason":"2 skips < 3",)"
      R"("genotype_of_epoch":1,"train_accuracy":0.5,"search_accuracy":0.375,"discrete_accuracy":0.125})"
      "\n");
  CHECK(
      contains(run.page(), "finished, 1 of 3 epochs of 5 steps; it ended early: 2 skips &lt; 3."));
}

TEST_CASE("what is not finite leaves a gap and is called so") {
  MadeUpRun run;
  run.epoch(1, kNan);
  run.cells(2, "[[null,null,null],[null,1.0]]");
  run.cells(3, "[[0.5,0.25,0.25],[0.5,0.5]]");
  const std::string page = run.page();
  CHECK(markup_error(page) == "");
  CHECK(contains(page, ">not finite<"));
  CHECK(contains(page, ">no values</text>") == false);  // the loss of the search half is a number
  CHECK(count_of(section(page, "Normal cell"), "<circle") == 8);
  CHECK(count_of(section(page, "Normal cell"), "<polyline") == 1);
}

TEST_CASE("a page needs nothing else, and escapes what files hold") {
  MadeUpRun run("<script>alert(1)</script>&amp;");
  run.epoch(1);
  run.epoch(2);
  run.write("config.toml", "# </pre><img src=x> & more\n");
  run.write("env.json", R"({"<b>":"</table>","device":"\u0001<i>"})");
  const std::string page = run.page();
  CHECK(markup_error(page) == "");
  for (const char* markup :
       {"<script", "<img", "</pre><", "<b>\"", "<i>", " src=\"", " href=\"", "url(", "@import"}) {
    CAPTURE(markup);
    CHECK_FALSE(contains(page, markup));
  }
  CHECK(contains(page, "&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp; on patterns"));
  CHECK(contains(page, "# &lt;/pre&gt;&lt;img src=x&gt; &amp; more"));
  CHECK(count_of(page, " id=") == 0);
  CHECK(count_of(page, "<svg") == count_of(page, "role=\"img\""));
}

TEST_CASE("weights that edges have of their own are drawn beside those of their candidates") {
  const auto page_with = [](const std::string& own) {
    const MadeUpRun run;
    run.write("metrics.csv", "");
    run.cells(1,
              "[[0.25,0.5,0.25],[0.9375,0.0625]]",
              own.empty() ? "" : R"("edge_weights":{"normal":)" + own + R"(,"reduce":[]},)");
    return own == "[1.0]" ? run.refusal() : run.page();
  };
  CHECK(count_of(page_with("[0.75,0.25]"), "the edge itself") ==
        1 + 2);  // in the legend, and on both edges
  CHECK(count_of(page_with(""), "the edge itself") == 0);
  CHECK(contains(page_with("[1.0]"), "edge_weights: 1 numbers; the run searches 2 edges"));

  // A run that another version went on with has them for a part of its epochs.
  MadeUpRun run;
  run.write("metrics.csv", "");
  const std::string rows = "[[0.25,0.5,0.25],[0.9375,0.0625]]",
                    own = R"("edge_weights":{"normal":[0.75,0.25],"reduce":[]},)";
  for (int epoch = 1; epoch <= 4; ++epoch)
    run.cells(epoch, rows, epoch == 2 || epoch == 3 ? own : "");
  const std::string page = run.page();
  CHECK(markup_error(page) == "");
  CHECK(count_of(page, "<title>the edge itself</title><polyline") == 2);
}

TEST_CASE("a line that is being written is left out; what is malformed is named by file and line") {
  MadeUpRun run;
  run.epoch(1);
  const std::string before = run.page();
  run.write("genotypes.jsonl", R"({"epoch":2,"wei)");
  run.write("metrics.csv", "2,0.02");
  run.write("events.jsonl", R"({"schema":1,"ty)");
  CHECK(run.page() == before);

  run.write("genotypes.jsonl", "\n");
  CHECK(contains(run.refusal(), "genotypes.jsonl: line 2"));
  const auto refused = [](const std::string& normal) {
    const MadeUpRun other;
    other.epoch(1);
    other.cells(2, normal);
    return other.refusal();
  };
  CHECK(contains(refused("[[1.0,2.0,3.0]]"),
                 "genotypes.jsonl: line 2: weights: 1 rows; the run searches 2 edges"));
  CHECK(contains(refused("[[1.0,2.0,3.0],[1.0]]"),
                 "line 2: weights: 1 numbers on edge 1, which has 2 candidates"));
  CHECK(contains(refused("[[1.0,2.0,true],[1.0,2.0]]"),
                 "line 2: weights: expected numbers, found 'true'"));
  CHECK(contains(refused("{}"), "line 2: "));
  const MadeUpRun environment;
  environment.write("env.json", "[]");
  CHECK(contains(environment.refusal(), "env.json: expected an object"));

  const TemporaryDirectory nothing;
  CHECK_THROWS_AS(report::page_of(nothing.path()), IoError);
}
