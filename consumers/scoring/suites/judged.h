// What the judged suites share.
#pragma once

#include <map>

#include "consumers/scoring/suites/suites.h"

namespace inference::scoring {

/// The places that every rubric may fill: prompt, response, best_answer, correct_answer, risk_area.
std::map<std::string, std::string> places_of(const Item& item);

/// One measure per dimension of the rubric. A verdict that cannot be
/// used gives measures with an error.
Result<std::vector<Measure>> judged(Judge& judge, const Rubric& rubric,
                                    const std::map<std::string, std::string>& places,
                                    const std::stop_token& stop);

}  // namespace inference::scoring
