#include "consumers/scoring/html_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "platform/system.h"

namespace inference::scoring {
namespace {

constexpr const char* kHead = R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>)html";
constexpr const char* kStyle = R"html(</title>
<style>
:root { color-scheme: light dark; --line: #8884; --bar: #3b78c4; --low: #c4553b; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
.bar { fill: var(--bar); } .minus { fill: var(--low); } .whisker { stroke: currentColor; stroke-width: 1.5; }
.axis { stroke: var(--line); } pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0; }
details { border-bottom: 1px solid var(--line); padding: .3rem 0; } .bad { color: var(--low); }
</style></head><body>
)html";

std::string number(double value, const char* format = "%.3f") {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

std::string cell(std::string_view text) {
  return "<td>" + escape_html(text) + "</td>";
}
std::string number_cell(std::string_view text) {
  return "<td class=\"n\">" + escape_html(text) + "</td>";
}

struct Bar {
  std::string label;
  Interval interval;
};

/// Horizontal bars from zero with whiskers for the interval.
std::string chart(const std::string& title, const std::vector<Bar>& bars) {
  constexpr double kWidth = 900;
  constexpr double kLabels = 330;
  constexpr double kRow = 22;
  constexpr double kValues = 80;
  double low = 0;
  double high = 0;
  for (const Bar& bar : bars) {
    low = std::min({low, bar.interval.low, bar.interval.mean});
    high = std::max({high, bar.interval.high, bar.interval.mean});
  }
  if (high - low < 1e-12) high = low + 1;
  const auto x = [&](double value) {
    return kLabels + (value - low) / (high - low) * (kWidth - kLabels - kValues);
  };
  const double height = kRow * static_cast<double>(bars.size()) + 8;
  std::string out = "<svg role=\"img\" aria-label=\"" + escape_html(title) + "\" viewBox=\"0 0 " +
                    number(kWidth, "%.0f") + " " + number(height, "%.0f") +
                    "\" width=\"100%\">\n<line class=\"axis\" x1=\"" + number(x(0), "%.1f") +
                    "\" x2=\"" + number(x(0), "%.1f") + "\" y1=\"0\" y2=\"" +
                    number(height, "%.0f") + "\"/>\n";
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const Interval& value = bars[i].interval;
    const double top = kRow * static_cast<double>(i) + 4;
    const double middle = top + kRow / 2 - 2;
    out += "<text x=\"" + number(kLabels - 8, "%.0f") + "\" y=\"" + number(middle + 4, "%.1f") +
           "\" text-anchor=\"end\">" + escape_html(bars[i].label) + "</text><rect class=\"bar" +
           (value.mean < 0 ? " minus" : "") + "\" x=\"" +
           number(std::min(x(0), x(value.mean)), "%.1f") + "\" y=\"" + number(top, "%.1f") +
           "\" width=\"" + number(std::abs(x(value.mean) - x(0)), "%.1f") + "\" height=\"" +
           number(kRow - 6, "%.0f") + "\"/><line class=\"whisker\" x1=\"" +
           number(x(value.low), "%.1f") + "\" x2=\"" + number(x(value.high), "%.1f") + "\" y1=\"" +
           number(middle, "%.1f") + "\" y2=\"" + number(middle, "%.1f") + "\"/><text x=\"" +
           number(kWidth - kValues + 8, "%.0f") + "\" y=\"" + number(middle + 4, "%.1f") + "\">" +
           number(value.mean) + "</text>\n";
  }
  return out + "</svg>\n";
}

std::string averages_section(const Summary& summary) {
  std::vector<std::string> suites;
  for (const Average& average : summary.averages)
    if (std::ranges::find(suites, average.suite) == suites.end()) suites.push_back(average.suite);
  std::string out;
  for (const std::string& suite : suites) {
    out += "<h2>" + escape_html(suite) + "</h2>\n";
    std::vector<Bar> bars;
    std::string rows;
    for (const Average& average : summary.averages) {
      if (average.suite != suite) continue;
      if (average.count > 0)
        bars.push_back({average.metric + " · " + average.model, average.interval});
      rows += "<tr>" + cell(average.model) + cell(average.metric) +
              number_cell(average.count > 0 ? number(average.interval.mean) : "–") +
              number_cell(average.count > 0
                              ? number(average.interval.low) + " … " + number(average.interval.high)
                              : "–") +
              number_cell(std::to_string(average.count)) +
              number_cell(std::to_string(average.without)) + "</tr>\n";
    }
    if (!bars.empty()) out += chart("means of " + suite, bars);
    out +=
        "<table><tr><th>model</th><th>metric</th><th class=\"n\">mean</th><th class=\"n\">95 % "
        "interval</th><th class=\"n\">items</th>"
        "<th class=\"n\">without a value</th></tr>\n" +
        rows + "</table>\n";
  }
  return out;
}

std::string numbers_section(const Summary& summary) {
  if (summary.derived.empty() && summary.metrics.empty()) return {};
  std::string out = "<h2>Whole run</h2>\n<table>\n";
  for (const Derived& derived : summary.derived)
    out += "<tr>" + cell(derived.metric) + cell(derived.model) +
           number_cell(number(derived.value, "%.5f")) + "</tr>\n";
  for (const store::Metric& metric : summary.metrics)
    out += "<tr>" + cell(metric.name) + cell(metric.detail) +
           number_cell(metric.value ? number(*metric.value) : "–") + "</tr>\n";
  return out + "</table>\n";
}

std::string categories_section(const Summary& summary) {
  if (summary.run.kind != "probe") return {};
  std::vector<Bar> bars;
  for (const auto& [domain, average] : by_domain(summary, "probes", "passed"))
    if (average.count > 0) bars.push_back({domain, average.interval});
  return "<h2>Categories</h2>\n" +
         (bars.empty() ? std::string() : chart("passed by category", bars));
}

std::string items_section(const Summary& summary) {
  std::string out = "<h2>Items</h2>\n";
  for (const ItemResult& item : summary.items) {
    out += "<details><summary>" + escape_html(item.response.item_id) + " · " +
           escape_html(item.response.domain) + " · " + escape_html(item.response.model);
    if (!item.response.error.empty()) out += " · <span class=\"bad\">error</span>";
    out += "</summary><pre>" + escape_html(item.response.prompt) + "</pre><hr><pre>" +
           escape_html(item.response.response) + "</pre>";
    if (!item.response.error.empty())
      out += "<p class=\"bad\">" + escape_html(item.response.error) + "</p>";
    out += "<table>";
    for (const store::Score& score : item.scores)
      out += "<tr>" + cell(score.suite) + cell(score.metric) +
             number_cell(score.value ? number(*score.value) : "–") +
             cell(score.error.empty() ? score.raw : score.error) + "</tr>";
    out += "</table></details>\n";
  }
  return out;
}

std::string page(const std::string& title, const std::string& body) {
  return kHead + escape_html(title) + kStyle + "<h1>" + escape_html(title) + "</h1>\n" + body +
         "</body></html>\n";
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
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
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')
          out += "\xEF\xBF\xBD";
        else
          out += c;
    }
  }
  return out;
}

std::string to_html(const Summary& summary) {
  const std::string facts =
      "<p>" + std::to_string(summary.items.size()) + " items · " +
      escape_html(store::to_string(summary.run.state)) +
      (summary.run.model.empty() ? "" : " · " + escape_html(summary.run.model)) + "</p>\n";
  return page(summary.run.kind + " run " + std::to_string(summary.run.id) + ": " + summary.run.name,
              facts + categories_section(summary) + averages_section(summary) +
                  numbers_section(summary) + items_section(summary));
}

std::string to_html(const RunComparison& comparison) {
  std::vector<Bar> bars;
  std::string rows;
  for (const Comparison& row : comparison.rows) {
    const std::string label =
        row.suite + "." + row.metric + (row.model.empty() ? "" : " · " + row.model);
    bars.push_back({label, row.delta});
    std::string flips;
    if (row.pass_fail)
      for (const Flip& flip : row.flips)
        flips += (flips.empty() ? "" : ", ") + std::string(flip.after > flip.before ? "+" : "-") +
                 flip.item;
    rows += "<tr>" + cell(label) + number_cell(number(row.before)) +
            number_cell(number(row.after)) + number_cell(number(row.delta.mean, "%+.3f")) +
            number_cell(number(row.delta.low, "%+.3f") + " … " + number(row.delta.high, "%+.3f")) +
            number_cell(number(row.p, "%.4f")) + number_cell(std::to_string(row.pairs)) +
            cell(flips) + "</tr>\n";
  }
  std::string alone;
  for (const auto& [label, list] : {std::pair("Only in the old run", &comparison.only_before),
                                    std::pair("Only in the new run", &comparison.only_after)})
    if (!list->empty()) {
      alone += "<p>" + std::string(label) + ":";
      for (const std::string& item : *list) alone += " " + escape_html(item);
      alone += "</p>\n";
    }
  return page("Run " + std::to_string(comparison.before.id) + " → run " +
                  std::to_string(comparison.after.id),
              (bars.empty() ? std::string() : chart("change of the means", bars)) +
                  "<table><tr><th>metric</th><th class=\"n\">old</th><th class=\"n\">new</th><th "
                  "class=\"n\">delta</th>"
                  "<th class=\"n\">95 % interval</th><th class=\"n\">p</th><th "
                  "class=\"n\">pairs</th><th>flipped</th></tr>\n" +
                  rows + "</table>\n" + alone);
}

Status write_whole(const std::string& path, std::string_view text) {
  return platform::write_file_atomically(path, text.data(), text.size());
}

}  // namespace inference::scoring
