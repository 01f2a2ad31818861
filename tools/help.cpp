// Lays out --help: groups under headings, descriptions wrapped beside the names.
#include "tools/help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <vector>

#include "tools/option_tree.h"
#include "tools/terminal.h"

namespace oche::tools {
namespace {

constexpr size_t kWidest = 100, kNarrowest = 20;

// Where descriptions begin and where lines end; descriptions move below the names where there is
// little room beside them.
struct Page {
  size_t width = std::clamp(terminal_columns(STDOUT_FILENO).value_or(kWidest), kNarrowest, kWidest);
  size_t column = width < 60 ? 6 : 27;
};

// `text` behind `line`, in lines of the page's width that begin at `column`.
std::string fill(std::string line, const std::string& text, size_t column, const Page& page) {
  std::string out;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const bool begins = line.size() <= column;
    if (!begins && line.size() + 1 + word.size() > page.width) {
      out += line + '\n';
      line.assign(column, ' ');
    } else if (!begins) {
      line += ' ';
    }
    line += word;
  }
  return out + line + '\n';
}

std::string entry(const std::string& name, const std::string& description, const Page& page) {
  if (name.size() + 2 < page.column) {
    return fill(fmt::format("  {:<{}}", name, page.column - 2), description, page.column, page);
  }
  return fmt::format(
      "  {}\n{}", name, fill(std::string(page.column, ' '), description, page.column, page));
}

std::string section(const std::string& heading,
                    const std::vector<OptionEntry>& options,
                    const Page& page) {
  std::string out;
  for (const OptionEntry& o : options) {
    out += entry(
        fmt::format(
            "{}{}{}", fmt::join(o.names, ", "), o.placeholder.empty() ? "" : " ", o.placeholder),
        o.description,
        page);
  }
  return fmt::format("\n{}:\n{}", heading, out);
}

// Paragraphs are filled; lines that are indented stay as they are. Commands among them get a
// prompt, by which help2man, too, tells them from text.
std::string notes(const std::string& text, const Page& page) {
  std::string out, paragraph;
  const auto end_paragraph = [&] {
    if (!paragraph.empty()) out += fill("", paragraph, 0, page);
    paragraph.clear();
  };
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line[0] != ' ') {
      paragraph += line + '\n';
    } else {
      end_paragraph();
      out += (line.starts_with("  oche ") ? "  $" + line.substr(1) : line) + '\n';
    }
  }
  end_paragraph();
  return out;
}

}  // namespace

std::string HelpFormatter::make_usage(const CLI::App* app, std::string program) const {
  std::string usage = fmt::format("Usage: {} [OPTIONS]", program);
  for (const OptionEntry& o : describe(*app).options) {
    if (!o.positional) continue;
    const std::string& name = o.names[0];
    const std::string argument = o.values > 2 ? name + "..." : name;
    usage += o.required ? fmt::format(" {}", argument) : fmt::format(" [{}]", argument);
    if (o.values == 2) usage += fmt::format(" [{}]", name);
  }
  return usage + (app->get_subcommands({}).empty() ? "\n" : " COMMAND\n");
}

std::string HelpFormatter::make_help(const CLI::App* app,
                                     std::string name,
                                     CLI::AppFormatMode) const {
  const Page page;
  const CommandEntry command = describe(*app);
  std::string out = fill("", command.purpose, 0, page) + '\n' + make_usage(app, name);
  std::vector<std::string> headings;
  std::map<std::string, std::vector<OptionEntry>> sections;
  for (const OptionEntry& option : command.options) {
    const std::string heading = option.positional ? "Arguments" : option.group;
    if (!sections.contains(heading)) headings.push_back(heading);
    sections[heading].push_back(option);
  }
  for (const std::string& heading : headings) out += section(heading, sections[heading], page);
  std::string commands;
  for (const CLI::App* c : app->get_subcommands({})) {
    commands += entry(c->get_name(), c->get_description(), page);
  }
  if (!commands.empty()) out += "\nCommands:\n" + commands;
  return fmt::format("{}\n{}", out, notes(app->get_footer(), page));
}

}  // namespace oche::tools
