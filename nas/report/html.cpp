// Text in HTML.
#include "nas/report/html.h"

#include <fmt/format.h>

#include "nas/report/style.h"

namespace oche::nas::report {

std::string escape(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else if (c == '\'') {
      result += "&#39;";
    } else if ((static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\t') || c == '\x7f') {
      result += "\uFFFD";
    } else {
      result += c;
    }
  }
  return result;
}

std::string page_start(std::string_view title, std::string_view introduction) {
  return fmt::format(R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{0}</title>
<style>{1}</style>
</head>
<body>
<header>
<h1>{0}</h1>
<p>{2}</p>
</header>
<main>
)",
                     escape(title),
                     kStyleSheet,
                     introduction);
}

}  // namespace oche::nas::report
