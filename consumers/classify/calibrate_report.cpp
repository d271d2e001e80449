// A calibration report as JSON, text and a page.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "consumers/classify/calibrate.h"

namespace inference::classify {
namespace {

using OutJson = nlohmann::ordered_json;

OutJson diagram(const Reliability& from) {
  OutJson bins = OutJson::array();
  for (const auto& bin : from.bins)
    bins.push_back(
        {{"count", bin.count}, {"confidence", bin.confidence}, {"accuracy", bin.accuracy}});
  return {{"ece", from.ece}, {"bins", bins}};
}

OutJson model_json(const ModelReport& model) {
  OutJson out = {{"model", model.model}, {"domains", model.counts}, {"seconds", model.seconds}};
  if (model.accuracy) {
    out["accuracy"] = *model.accuracy;
    out["temperature"] = model.temperature;
    out["ece_before"] = model.before.ece;
    out["ece_after"] = model.after.ece;
    out["reliability_before"] = diagram(model.before);
    out["reliability_after"] = diagram(model.after);
  }
  return out;
}

std::string fixed(double value, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, value);
  return buffer;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else
      out += c;
  }
  return out;
}

std::string model_text(const char* name, const ModelReport& model) {
  std::string out = std::string(name) + ": " + model.model + ", " + fixed(model.seconds, 1) + " s";
  for (const auto& [label, count] : model.counts)
    out += "\n  " + label + " " + std::to_string(count);
  out += "\n";
  if (!model.accuracy) return out;
  out += "  accuracy " + fixed(*model.accuracy, 4) + ", temperature " +
         fixed(model.temperature, 3) + ", expected calibration error " +
         fixed(model.before.ece, 4) + " -> " + fixed(model.after.ece, 4) + "\n\nbefore\n" +
         reliability_text(model.before) + "\nafter\n" + reliability_text(model.after);
  return out;
}

}  // namespace

std::string to_json(const CalibrationReport& report) {
  OutJson skipped = OutJson::array();
  for (const SkippedLine& line : report.skipped)
    skipped.push_back({{"line", line.line}, {"reason", line.reason}});
  const OutJson out = {{"total", report.items},
                       {"with_truth", report.with_truth},
                       {"skipped", report.skipped.size()},
                       {"skipped_lines", skipped},
                       {"agreement", report.agreement},
                       {"confusion", report.confusion},
                       {"a", model_json(report.a)},
                       {"b", model_json(report.b)}};
  return out.dump(-1, ' ', false, OutJson::error_handler_t::replace);
}

std::string to_text(const CalibrationReport& report) {
  std::string out = std::to_string(report.items) + " prompts, " +
                    std::to_string(report.with_truth) + " with truth, " +
                    std::to_string(report.skipped.size()) + " lines skipped\nagreement " +
                    fixed(report.agreement, 4) + "\n";
  for (const auto& [pair, count] : report.confusion)
    out += "  " + pair + ": " + std::to_string(count) + "\n";
  out += "\n" + model_text("A", report.a) + "\n" + model_text("B", report.b);
  if (report.with_truth == 0)
    out += "\nno line says what is right, so there is no accuracy and no calibration\n";
  return out;
}

std::string to_html(const CalibrationReport& report) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Calibration</title>\n"
      "<style>body{font:15px sans-serif;max-width:70em;margin:2em auto}table{border-collapse:"
      "collapse}td,th{padding:.2em .8em;border:1px solid #bbb;text-align:left}</style>\n"
      "<h1>Calibration</h1>\n";
  out += "<p>" + std::to_string(report.items) + " prompts, " + std::to_string(report.with_truth) +
         " with truth, " + std::to_string(report.skipped.size()) + " lines skipped. Agreement " +
         fixed(report.agreement, 4) +
         ".</p>\n<table><tr><th>A said -> B said</th><th>n</th></tr>\n";
  for (const auto& [pair, count] : report.confusion)
    out += "<tr><td>" + escaped(pair) + "</td><td>" + std::to_string(count) + "</td></tr>\n";
  out += "</table>\n";
  for (const ModelReport* model : {&report.a, &report.b}) {
    out += "<h2>" + escaped(model->model) + "</h2>\n<table><tr>";
    for (const auto& [label, count] : model->counts) out += "<th>" + escaped(label) + "</th>";
    out += "<th>seconds</th></tr><tr>";
    for (const auto& [label, count] : model->counts)
      out += "<td>" + std::to_string(count) + "</td>";
    out += "<td>" + fixed(model->seconds, 1) + "</td></tr></table>\n";
    if (!model->accuracy) continue;
    out += "<p>Accuracy " + fixed(*model->accuracy, 4) + ", fitted temperature " +
           fixed(model->temperature, 3) + ", expected calibration error " +
           fixed(model->before.ece, 4) + " before and " + fixed(model->after.ece, 4) +
           " after fitting (each half with the other half's temperature).</p>\n" +
           reliability_svg(model->before, "before") + reliability_svg(model->after, "after");
  }
  return out + "</html>\n";
}

}  // namespace inference::classify
