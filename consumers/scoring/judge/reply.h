// The numbers in a judge's reply, wherever it put them.
#pragma once

#include <string_view>
#include <vector>

#include "consumers/scoring/judge/rubric.h"
#include "inference/error.h"

namespace inference::scoring {

/// One value per dimension, in their order: from the first JSON object that has all of them as
/// numbers on the scale ("7", 7, 7.5 and "7/10" are), itself or one level inside. Looked for in the
/// whole text, in fences and in prose; thoughts are removed. corrupt_data says what is missing.
/// Time is bounded: 64 beginnings of objects are tried, each up to 64 KiB.
Result<std::vector<double>> read_reply(std::string_view reply, const Rubric& rubric);

}  // namespace inference::scoring
