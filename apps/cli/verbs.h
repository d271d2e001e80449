// The verbs, one file each.
#pragma once

#include "apps/cli/common.h"

namespace inference::cli {

void add_run(const Program& program);
void add_models(const Program& program);
void add_backends(const Program& program);
void add_inspect(const Program& program);
void add_tokenize(const Program& program);
void add_render(const Program& program);
void add_logits(const Program& program);
void add_loglikelihood(const Program& program);
void add_perplexity(const Program& program);
void add_classify(const Program& program);
void add_bench(const Program& program);
void add_quantize(const Program& program);
void add_score(const Program& program);
void add_probe(const Program& program);
void add_compare(const Program& program);
void add_store(const Program& program);
void add_diff(const Program& program);
void add_completions(const Program& program);

}  // namespace inference::cli
