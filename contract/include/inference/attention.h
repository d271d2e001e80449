// Looking into a model's attention.
#pragma once

#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "inference/text_model.h"

namespace inference {

/// Keys (and queries) of one prompt, as the attention saw them: after normalisation and RoPE.
struct AttentionSnapshot {
  int num_layers = 0;
  int num_heads = 0;  ///< key/value heads
  int num_query_heads = 0;
  int seq_len = 0;  ///< tokens of the prompt
  int head_dim = 0;
  std::vector<std::vector<std::vector<float>>>
      keys;  ///< [layer][kv head], flat [seq_len, head_dim]
  std::vector<std::vector<std::vector<float>>>
      queries;  ///< [layer][query head], likewise; may be empty
  std::string architecture;
};

class AttentionInspector : public virtual TextModel {
 public:
  /// Prefills the prompt (special tokens as in generate()) and returns what every layer attended
  /// with.
  virtual Result<AttentionSnapshot> inspect_attention(std::string_view prompt,
                                                      std::stop_token stop = {}) = 0;
};

}  // namespace inference
