// What the architectures' files share: experts, windows and positions.
#pragma once

#include <functional>

#include "engine/arch/config_reader.h"
#include "engine/arch/spec.h"

namespace inference::engine {

// Bounds of hyper-parameters: far above any model, far below where a product could overflow.
inline constexpr int kMaxLayers = 4096;
inline constexpr int kMaxHeads = 4096;
inline constexpr int kMaxHeadDim = 4096;
inline constexpr int kMaxWidth = 1 << 20;
inline constexpr int kMaxVocab = 1 << 24;
inline constexpr int kMaxContext = 1 << 30;
inline constexpr int kMaxExperts = 4096;
inline constexpr float kMaxScale = 1e9F;

/// Reads widths, heads, layers and positions that every architecture has.
void read_common(ConfigReader& in, ModelSpec& spec);

/// Positions of all layers: rope_parameters or rope_theta and rope_scaling, or GGUF's rope.*.
RopeParameters read_rope(ConfigReader& in, const ModelSpec& spec);
/// One object of the new form ({"rope_type", "rope_theta", …}); missing members from `defaults`.
RopeParameters read_rope_object(ConfigReader& in, const ModelSpec& spec, RopeParameters defaults);

/// Gives layers a window: config.json's layer_types where there, else the layers that `slides`
/// names.
void set_windows(ConfigReader& in, ModelSpec& spec, int window,
                 const std::function<bool(int layer)>& slides);

/// Number and width of the experts; all layers get them.
void read_experts(ConfigReader& in, ModelSpec& spec, Key count, Key used, Key width);

}  // namespace inference::engine
