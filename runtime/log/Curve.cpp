// SPDX-License-Identifier: Apache-2.0
// The loss curve at the end of a run, in braille dots: 2 x 4 a character.
#include "runtime/base/File.h"
#include "runtime/log/Progress.h"
#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

namespace ltc {
namespace {

using Point = std::pair<double, double>; ///< step, loss

struct Metrics {
  std::vector<Point> train;
  std::map<std::string, std::vector<Point>> evals; ///< by set
};

Metrics readMetrics(std::string_view rest) {
  Metrics metrics;
  while (!rest.empty()) {
    size_t end = std::min(rest.find('\n'), rest.size());
    auto json = nlohmann::json::parse(rest.substr(0, end), nullptr, false);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!json.is_object())
      continue;
    double step = json.value("step", 0.0);
    if (json.contains("loss") && json["loss"].is_number())
      metrics.train.push_back({step, json["loss"].get<double>()});
    if (json.contains("eval_loss") && json["eval_loss"].is_number())
      metrics.evals[json.value("set", "eval")].push_back(
          {step, json["eval_loss"].get<double>()});
  }
  return metrics;
}

/// Character cells in which dots and letters are set by step and loss.
class Canvas {
public:
  Canvas(int width, int height)
      : width(width), height(height), cells(width * height, 0),
        letters(width * height, 0) {}

  void setRange(double firstStep, double lastStep, double lowest,
                double highest) {
    first = firstStep;
    span = lastStep > firstStep ? lastStep - firstStep : 1;
    low = lowest;
    high = highest > lowest ? highest : lowest + 1;
  }
  int column(double step) const { // in dots
    double x = (step - first) / span * (2 * width - 1) + 0.5;
    return std::clamp(int(x), 0, 2 * width - 1);
  }
  int row(double loss) const { // in dots; above the scale: the first
    double y = (high - loss) / (high - low) * (4 * height - 1) + 0.5;
    return int(std::clamp(y, 0.0, 4.0 * height - 1));
  }
  void dot(int x, int y) {
    static const int bits[4][2] = {
        {0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    cells[y / 4 * width + x / 2] |= bits[y % 4][x % 2];
  }
  void letter(const Point &at, char c) {
    letters[row(at.second) / 4 * width + column(at.first) / 2] = c;
  }
  std::string line(int y) const {
    std::string text;
    for (int x = 0; x < width; ++x) {
      int code = 0x2800 + cells[y * width + x]; // UTF-8 of a braille pattern
      if (char c = letters[y * width + x]) {
        text += c;
      } else if (code == 0x2800) {
        text += ' ';
      } else {
        text += char(0xe0 | code >> 12);
        text += char(0x80 | (code >> 6 & 0x3f));
        text += char(0x80 | (code & 0x3f));
      }
    }
    return text.substr(0, text.find_last_not_of(' ') + 1);
  }
  double lossOf(int y) const {
    return high - (high - low) * (4 * y + 1.5) / (4 * height - 1);
  }

  const int width, height;

private:
  std::vector<int> cells;
  std::vector<char> letters;
  double first = 0, span = 1, low = 0, high = 1;
};

/// The mean of the points of each column of dots; columns without are left out.
std::map<int, double> columnMeans(const Canvas &canvas,
                                  const std::vector<Point> &points) {
  std::map<int, std::pair<double, int>> sums;
  for (auto [step, loss] : points) {
    auto &[sum, count] = sums[canvas.column(step)];
    sum += loss;
    ++count;
  }
  std::map<int, double> means;
  for (auto &[x, sum] : sums)
    means[x] = sum.first / sum.second;
  return means;
}

/// Joins neighbouring columns by a line of dots, so that steep parts hang
/// together and few steps make a curve too.
void drawMeans(Canvas &canvas, const std::map<int, double> &means) {
  int lastX = -1, lastY = 0;
  for (auto [x, loss] : means) {
    int y = canvas.row(loss);
    int steps = lastX < 0 ? 0 : std::max(x - lastX, std::abs(y - lastY));
    for (int i = 0; i < steps; ++i)
      canvas.dot(lastX + (x - lastX) * i / steps,
                 lastY + (y - lastY) * i / steps);
    canvas.dot(x, y);
    lastX = x;
    lastY = y;
  }
}

/// The largest loss to show: all, unless the first tenth of the curve would
/// press the rest into less than a third of the height.
double topOf(const std::map<int, double> &means, double low) {
  double highest = low, later = low;
  size_t index = 0;
  for (auto [x, loss] : means) {
    highest = std::max(highest, loss);
    if (index++ >= means.size() / 10)
      later = std::max(later, loss);
  }
  bool pressed = later > low && highest - low > 3 * (later - low);
  return pressed ? low + 1.5 * (later - low) : highest;
}

/// "0.001       0.01       0.1": the ends and the middle of the axis.
std::string axisText(double first, double last, bool logarithmic, int width) {
  std::string text(width, ' ');
  double middle = logarithmic ? std::sqrt(first * last) : (first + last) / 2;
  double values[] = {first, middle, last};
  for (int i = 0; i < 3; ++i) {
    char label[32];
    int size = std::snprintf(label, sizeof label, "%.3g", values[i]);
    int at = (width - 1) * i / 2 - size * i / 2;
    text.replace(std::max(at, 0), size, label);
  }
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

} // namespace

std::string drawPoints(const std::vector<Point> &points, bool logarithmic,
                       int width, int height) {
  auto place = [&](double x) { return logarithmic ? std::log(x) : x; };
  std::vector<double> losses;
  for (auto [x, y] : points)
    if (std::isfinite(y))
      losses.push_back(y);
  if (losses.size() < 2)
    return "(too few results for a curve)\n";
  std::sort(losses.begin(), losses.end());
  // A far worse end must not press the valley flat.
  double low = losses.front(), middle = losses[losses.size() / 2];
  double top = std::min(losses.back(), low + 4 * (middle - low));
  Canvas canvas(width, height);
  canvas.setRange(place(points.front().first), place(points.back().first), low,
                  top > low ? top : losses.back());
  std::map<int, double> means;
  for (auto [x, y] : points)
    if (std::isfinite(y))
      means[canvas.column(place(x))] = y;
  drawMeans(canvas, means);
  for (auto [x, y] : points)
    if (!std::isfinite(y))
      canvas.letter({place(x), INFINITY}, 'x');
    else if (y == low)
      canvas.letter({place(x), y}, '*');
  std::string text;
  for (int y = 0; y < height; ++y) {
    char label[32];
    bool labelled = y % 3 == 0 || y == height - 1;
    std::snprintf(label, sizeof label, "%7.3f ", canvas.lossOf(y));
    text += (labelled ? label : "        ") + canvas.line(y) + "\n";
  }
  return text + "        " + axisText(points.front().first,
                                      points.back().first, logarithmic,
                                      width) + "\n";
}

Result<std::string> drawCurve(const std::string &metricsPath, int width,
                              int height) {
  LTC_ASSIGN(MappedFile file, MappedFile::open(metricsPath));
  Metrics metrics = readMetrics({file.bytes().data(), file.bytes().size()});
  if (metrics.train.size() < 2)
    return std::string("(too few steps for a curve)\n");
  Canvas canvas(width, height);
  double first = metrics.train.front().first;
  double last = metrics.train.back().first;
  canvas.setRange(first, last, 0, 1);
  auto means = columnMeans(canvas, metrics.train);
  double low = INFINITY;
  for (auto [x, loss] : means)
    low = std::min(low, loss);
  for (auto &[set, points] : metrics.evals)
    for (auto [step, loss] : points)
      low = std::min(low, loss);
  double top = topOf(means, low);
  canvas.setRange(first, last, low, top);
  drawMeans(canvas, means);
  std::string legend, text;
  char label[64], letter = 'a';
  for (auto &[set, points] : metrics.evals) {
    for (const Point &point : points)
      canvas.letter(point, letter);
    std::snprintf(label, sizeof label, ", %c: %s %.4f", letter, set.c_str(),
                  points.back().second);
    legend += label;
    letter = letter == 'z' ? 'z' : char(letter + 1);
  }
  for (int y = 0; y < height; ++y) {
    bool labelled = y % 3 == 0 || y == height - 1;
    std::snprintf(label, sizeof label, "%7.3f ", canvas.lossOf(y));
    text += (labelled ? label : "        ") + canvas.line(y) + "\n";
  }
  std::snprintf(label, sizeof label, "loss, steps %.0f to %.0f", first, last);
  text += "        " + std::string(label) + legend + "\n";
  if (metrics.train.front().second > top)
    text += "        (the first steps are above the scale)\n";
  return text;
}

} // namespace ltc
