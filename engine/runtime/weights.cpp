#include "engine/runtime/weights.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "engine/arch/names.h"
#include "engine/quant/half.h"
#include "engine/quant/quant.h"
#include "model/formats/checked.h"

namespace inference::engine {
namespace {

using model::DType;
using model::quote_name;
using model::TensorView;

std::string show_shape(const std::vector<std::uint64_t>& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i)
    out += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return out + "]";
}

using Shape = std::vector<std::uint64_t>;

std::uint64_t size_of(int value) {
  return static_cast<std::uint64_t>(value);
}

/// Looks tensors up, checks them and remembers which were used.
class Loader {
 public:
  Loader(const ModelFile& file, ThreadPool& pool, const std::function<void(double)>& on_progress)
      : spec_(file.spec), tensors_(*file.tensors), pool_(pool), on_progress_(on_progress) {}

  Result<Weights> load(std::uint64_t packed_bytes) {
    auto arena = PanelArena::create(packed_bytes);
    if (!arena) return refuse(arena.error().code, arena.error().message);
    weights_.arena = std::make_unique<PanelArena>(std::move(*arena));
    if (auto ok = load_ends(); !ok) return std::unexpected(ok.error());
    weights_.layers.resize(spec_.layers.size());
    for (std::size_t i = 0; i < weights_.layers.size(); ++i) {
      if (auto ok = load_layer(static_cast<int>(i)); !ok) return std::unexpected(ok.error());
      if (on_progress_)
        on_progress_(static_cast<double>(i + 1) / static_cast<double>(weights_.layers.size() + 1));
    }
    if (auto ok = check_unused(); !ok) return std::unexpected(ok.error());
    if (on_progress_) on_progress_(1.0);
    return std::move(weights_);
  }

 private:
  std::unexpected<Error> refuse(ErrorCode code, std::string message) const {
    return fail(code, std::move(message), tensors_.path());
  }

  Result<const TensorView*> find(const std::string& name, const Shape& shape) {
    const TensorView* tensor = tensors_.find(name);
    if (tensor == nullptr)
      return refuse(ErrorCode::not_found, "tensor " + quote_name(name) + " is missing");
    if (tensor->shape != shape)
      return refuse(ErrorCode::corrupt_data, "tensor " + quote_name(name) + ": shape " +
                                                 show_shape(tensor->shape) + ", expected " +
                                                 show_shape(shape));
    used_.insert(tensor->name);
    return tensor;
  }

  Status vector(const std::string& name, std::uint64_t size, std::vector<float>& out,
                bool norm = false) {
    const auto tensor = find(name, {size});
    if (!tensor) return std::unexpected(tensor.error());
    return values(**tensor, norm, out);
  }

  Status values(const TensorView& tensor, bool norm, std::vector<float>& out) const {
    out.resize(tensor.element_count());
    if (auto ok = dequantize(tensor.dtype, tensor.bytes, out); !ok)
      return refuse(ok.error().code,
                    "tensor " + quote_name(tensor.name) + ": " + ok.error().message);
    if (norm && spec_.norm_adds_one)
      for (float& value : out) value += 1.0F;
    return {};
  }

  Status optional_bias(const std::string& name, std::uint64_t rows, std::vector<float>& out) {
    if (tensors_.find(name + ".bias") == nullptr) return {};
    return vector(name + ".bias", rows, out);
  }

  Status matrix(const TensorView& tensor, std::uint64_t rows, std::uint64_t cols,
                std::span<const std::byte> bytes, Matrix& out) {
    PackOptions options;
    options.arena = weights_.arena.get();
    options.pool = &pool_;
    // Rows that were taken from an owned copy are no part of the file.
    if (!tensor.bytes.empty())
      options.on_packed = [file = &tensors_, of = &tensor](std::span<const std::byte> done) {
        file->release(*of, done);
      };
    auto made = Matrix::create(tensor.dtype, rows, cols, bytes, tensor.name, options);
    if (!made) return refuse(made.error().code, made.error().message);
    out = std::move(*made);
    weights_.packed_bytes += out.packed_bytes();
    // Every pass reads all of a dense model. (Of experts only some are.)
    if (out.packed_bytes() == 0 && spec_.experts == 0 && !tensor.bytes.empty())
      tensors_.prefetch(tensor, bytes);
    return {};
  }

  Status linear(const std::string& name, int rows, int cols, Linear& out) {
    const auto tensor = find(name + ".weight", {size_of(rows), size_of(cols)});
    if (!tensor) return std::unexpected(tensor.error());
    if (auto ok = matrix(**tensor, size_of(rows), size_of(cols), (*tensor)->bytes, out.weight); !ok)
      return ok;
    return optional_bias(name, size_of(rows), out.bias);
  }

  /// Consecutive rows of one tensor as several matrices.
  Status fused(const std::string& name, int cols,
               std::initializer_list<std::pair<int, Linear*>> parts) {
    int rows = 0;
    for (const auto& [count, part] : parts) rows += count;
    const auto tensor = find(name + ".weight", {size_of(rows), size_of(cols)});
    if (!tensor) return std::unexpected(tensor.error());
    std::vector<float> bias;
    if (auto ok = optional_bias(name, size_of(rows), bias); !ok) return ok;
    const std::size_t row_bytes = (*tensor)->bytes.size() / size_of(rows);
    std::size_t row = 0;
    for (const auto& [count, part] : parts) {
      const auto bytes = (*tensor)->bytes.subspan(row * row_bytes, size_of(count) * row_bytes);
      if (auto ok = matrix(**tensor, size_of(count), size_of(cols), bytes, part->weight); !ok)
        return ok;
      if (!bias.empty())
        part->bias.assign(bias.begin() + static_cast<std::ptrdiff_t>(row),
                          bias.begin() + static_cast<std::ptrdiff_t>(row) + count);
      row += size_of(count);
    }
    return {};
  }

  Status load_ends() {
    const auto table = find(spec_.name(Role::token_embedding) + ".weight",
                            {size_of(spec_.vocab_size), size_of(spec_.hidden)});
    if (!table) return std::unexpected(table.error());
    weights_.embedding = *table;
    // Rows of the table must be readable one by one.
    std::vector<float> row(size_of(spec_.hidden));
    const std::size_t row_bytes = (*table)->bytes.size() / size_of(spec_.vocab_size);
    if (auto ok = dequantize((*table)->dtype, (*table)->bytes.first(row_bytes), row); !ok)
      return refuse(ok.error().code,
                    "tensor " + quote_name((*table)->name) + ": " + ok.error().message);
    if (auto ok = vector(spec_.name(Role::output_norm) + ".weight", size_of(spec_.hidden),
                         weights_.output_norm, true);
        !ok)
      return ok;
    const std::string output = spec_.name(Role::output);
    const bool tied = spec_.tied_output ||
                      (spec_.output_optional && tensors_.find(output + ".weight") == nullptr);
    if (!tied) return linear(output, spec_.vocab_size, spec_.hidden, weights_.output);
    used_.insert(output + ".weight");  // a copy of the table, if it is there at all
    return matrix(**table, size_of(spec_.vocab_size), size_of(spec_.hidden), (*table)->bytes,
                  weights_.output.weight);
  }

  std::string name(Role role, int layer, int expert = 0) const {
    return tensor_name(spec_.name(role), layer, expert);
  }

  Status norm(Role role, int layer, std::uint64_t size, std::vector<float>& out) {
    return vector(name(role, layer) + ".weight", size, out, true);
  }

  Status load_layer(int i) {
    LayerWeights& layer = weights_.layers[static_cast<std::size_t>(i)];
    const std::uint64_t hidden = size_of(spec_.hidden);
    Status ok;
    if (spec_.pre_norm) {
      if (ok = norm(Role::attention_norm, i, hidden, layer.attention_norm); !ok) return ok;
      if (ok = norm(Role::feed_forward_norm, i, hidden, layer.feed_forward_norm); !ok) return ok;
    }
    if (spec_.post_norm) {
      if (ok = norm(Role::attention_post_norm, i, hidden, layer.attention_post_norm); !ok)
        return ok;
      if (ok = norm(Role::feed_forward_post_norm, i, hidden, layer.feed_forward_post_norm); !ok)
        return ok;
    }
    if (ok = load_attention(i, layer); !ok) return ok;
    if (spec_.layers[static_cast<std::size_t>(i)].experts) return load_experts(i, layer);
    if (spec_.fused_gate_up)
      ok = fused(name(Role::gate_up, i), spec_.hidden,
                 {{spec_.feed_forward, &layer.gate}, {spec_.feed_forward, &layer.up}});
    else if (ok = linear(name(Role::gate, i), spec_.feed_forward, spec_.hidden, layer.gate); ok)
      ok = linear(name(Role::up, i), spec_.feed_forward, spec_.hidden, layer.up);
    if (!ok) return ok;
    return linear(name(Role::down, i), spec_.hidden, spec_.feed_forward, layer.down);
  }

  Status load_attention(int i, LayerWeights& layer) {
    const int q = spec_.heads * spec_.head_dim;
    const int kv = spec_.kv_heads * spec_.head_dim;
    Status ok;
    if (spec_.fused_qkv) {
      ok = fused(name(Role::query_key_value, i), spec_.hidden,
                 {{q, &layer.query}, {kv, &layer.key}, {kv, &layer.value}});
    } else {
      if (ok = linear(name(Role::query, i), q, spec_.hidden, layer.query); !ok) return ok;
      if (ok = linear(name(Role::key, i), kv, spec_.hidden, layer.key); !ok) return ok;
      ok = linear(name(Role::value, i), kv, spec_.hidden, layer.value);
    }
    if (!ok) return ok;
    if (ok = linear(name(Role::attention_output, i), spec_.hidden, q, layer.attention_output); !ok)
      return ok;
    if (spec_.head_norm != HeadNorm::none) {
      const bool full = spec_.head_norm == HeadNorm::full_width;
      if (ok = norm(Role::query_norm, i, size_of(full ? q : spec_.head_dim), layer.query_norm); !ok)
        return ok;
      if (ok = norm(Role::key_norm, i, size_of(full ? kv : spec_.head_dim), layer.key_norm); !ok)
        return ok;
    }
    return spec_.sinks ? vector(name(Role::sinks, i), size_of(spec_.heads), layer.sinks) : ok;
  }

  Status load_experts(int i, LayerWeights& layer) {
    if (auto ok = linear(name(Role::router, i), spec_.experts, spec_.hidden, layer.router); !ok)
      return ok;
    layer.experts.resize(size_of(spec_.experts));
    switch (spec_.expert_layout) {
      case ExpertLayout::separate:
        return separate_experts(i, layer);
      case ExpertLayout::stacked:
        return stacked_experts(i, layer);
      case ExpertLayout::stacked_transposed:
        return transposed_experts(i, layer);
    }
    return {};
  }

  Status separate_experts(int i, LayerWeights& layer) {
    for (int e = 0; e < spec_.experts; ++e) {
      ExpertWeights& expert = layer.experts[static_cast<std::size_t>(e)];
      const int width = spec_.expert_feed_forward;
      if (auto ok = linear(name(Role::expert_gate, i, e), width, spec_.hidden, expert.gate); !ok)
        return ok;
      if (auto ok = linear(name(Role::expert_up, i, e), width, spec_.hidden, expert.up); !ok)
        return ok;
      if (auto ok = linear(name(Role::expert_down, i, e), spec_.hidden, width, expert.down); !ok)
        return ok;
    }
    return {};
  }

  /// [experts, rows, cols], and biases [experts, rows] where there are any.
  Status stack(const std::string& base, int rows, int cols, LayerWeights& layer,
               Linear ExpertWeights::* part) {
    const auto tensor =
        find(base + ".weight", {size_of(spec_.experts), size_of(rows), size_of(cols)});
    if (!tensor) return std::unexpected(tensor.error());
    std::vector<float> bias;
    if (tensors_.find(base + ".bias") != nullptr) {
      const auto biases = find(base + ".bias", {size_of(spec_.experts), size_of(rows)});
      if (!biases) return std::unexpected(biases.error());
      if (auto ok = values(**biases, false, bias); !ok) return ok;
    }
    const std::size_t bytes = (*tensor)->bytes.size() / size_of(spec_.experts);
    for (std::size_t e = 0; e < layer.experts.size(); ++e) {
      Linear& out = layer.experts[e].*part;
      if (auto ok = matrix(**tensor, size_of(rows), size_of(cols),
                           (*tensor)->bytes.subspan(e * bytes, bytes), out.weight);
          !ok)
        return ok;
      if (!bias.empty())
        out.bias.assign(bias.begin() + static_cast<std::ptrdiff_t>(e) * rows,
                        bias.begin() + static_cast<std::ptrdiff_t>(e + 1) * rows);
    }
    return {};
  }

  Status stacked_experts(int i, LayerWeights& layer) {
    const int width = spec_.expert_feed_forward;
    if (auto ok =
            stack(name(Role::expert_gate, i), width, spec_.hidden, layer, &ExpertWeights::gate);
        !ok)
      return ok;
    if (auto ok = stack(name(Role::expert_up, i), width, spec_.hidden, layer, &ExpertWeights::up);
        !ok)
      return ok;
    return stack(name(Role::expert_down, i), spec_.hidden, width, layer, &ExpertWeights::down);
  }

  /// Keeps rearranged weights alive and makes a matrix of them.
  Status owned_matrix(DType type, const std::string& from, int rows, int cols,
                      std::vector<std::byte> bytes, Matrix& out) {
    weights_.owned.push_back(std::make_unique<std::vector<std::byte>>(std::move(bytes)));
    const std::vector<std::byte>& kept = *weights_.owned.back();
    TensorView view;
    view.name = from;
    view.dtype = type;
    if (auto ok = matrix(view, size_of(rows), size_of(cols), kept, out); !ok) return ok;
    if (out.packed_bytes() > 0) {
      weights_.owned.pop_back();  // the panels are a copy
    } else {
      weights_.packed_bytes += kept.size();
    }
    return {};
  }

  /// Rows first, first + step, … of expert e in row-major order, from [experts, cols, all_rows]
  /// floats or from MXFP4 blocks and scales [experts, all_rows, cols / 32 (, 16)].
  Status take_rows(const std::string& base, int e, int all_rows, int cols, int first, int step,
                   Matrix& out) {
    if (tensors_.find(base + "_blocks") != nullptr)
      return take_mxfp4_rows(base, e, all_rows, cols, first, step, out);
    const auto tensor = find(base, {size_of(spec_.experts), size_of(cols), size_of(all_rows)});
    if (!tensor) return std::unexpected(tensor.error());
    const model::DTypeInfo& info = *model::dtype_info((*tensor)->dtype);
    if (info.block_values != 1)
      return refuse(ErrorCode::unsupported, "tensor " + quote_name(base) + ": type " +
                                                std::string(info.name) + " cannot be transposed");
    const std::size_t size = info.block_bytes;
    const int rows = all_rows / step;
    std::vector<std::byte> bytes(size_of(rows) * size_of(cols) * size);
    const std::byte* from =
        (*tensor)->bytes.data() + size_of(e) * size_of(cols) * size_of(all_rows) * size;
    for (std::size_t r = 0; r < size_of(rows); ++r)
      for (std::size_t c = 0; c < size_of(cols); ++c)
        std::memcpy(bytes.data() + (r * size_of(cols) + c) * size,
                    from + (c * size_of(all_rows) + r * size_of(step) + size_of(first)) * size,
                    size);
    return owned_matrix((*tensor)->dtype, base, rows, cols, std::move(bytes), out);
  }

  /// In these checkpoints byte j of a block holds weights 2j and 2j + 1; in GGUF's MXFP4 it holds j
  /// and 16 + j, behind the scale.
  Status take_mxfp4_rows(const std::string& base, int e, int all_rows, int cols, int first,
                         int step, Matrix& out) {
    constexpr std::size_t kBlock = 17;
    if (cols % 32 != 0)
      return refuse(ErrorCode::corrupt_data, "tensor " + quote_name(base) + ": rows of " +
                                                 std::to_string(cols) + " weights");
    const std::size_t blocks = size_of(cols) / 32;
    const auto codes =
        find(base + "_blocks", {size_of(spec_.experts), size_of(all_rows), blocks, 16});
    if (!codes) return std::unexpected(codes.error());
    const auto scales = find(base + "_scales", {size_of(spec_.experts), size_of(all_rows), blocks});
    if (!scales) return std::unexpected(scales.error());
    if ((*codes)->dtype != DType::u8 || (*scales)->dtype != DType::u8)
      return refuse(ErrorCode::corrupt_data,
                    "tensor " + quote_name(base) + "_blocks: MXFP4 is stored as U8");
    const int rows = all_rows / step;
    std::vector<std::byte> bytes(size_of(rows) * blocks * kBlock);
    for (std::size_t r = 0; r < size_of(rows); ++r)
      for (std::size_t b = 0; b < blocks; ++b) {
        const std::size_t row = size_of(e) * size_of(all_rows) + r * size_of(step) + size_of(first);
        const std::byte* from = (*codes)->bytes.data() + (row * blocks + b) * 16;
        std::byte* to = bytes.data() + (r * blocks + b) * kBlock;
        to[0] = (*scales)->bytes[row * blocks + b];
        const auto code = [&](std::size_t k) {
          return (std::to_integer<unsigned>(from[k / 2]) >> (4 * (k % 2))) & 15U;
        };
        for (std::size_t j = 0; j < 16; ++j)
          to[1 + j] = static_cast<std::byte>(code(j) | (code(16 + j) << 4));
      }
    return owned_matrix(DType::mxfp4, base, rows, cols, std::move(bytes), out);
  }

  Status transposed_experts(int i, LayerWeights& layer) {
    const int width = spec_.expert_feed_forward;
    const std::string gate_up = name(Role::expert_gate_up, i);
    const std::string down = name(Role::expert_down, i);
    const auto gate_up_bias = find(gate_up + "_bias", {size_of(spec_.experts), size_of(2 * width)});
    if (!gate_up_bias) return std::unexpected(gate_up_bias.error());
    const auto down_bias = find(down + "_bias", {size_of(spec_.experts), size_of(spec_.hidden)});
    if (!down_bias) return std::unexpected(down_bias.error());
    std::vector<float> both;
    std::vector<float> downs;
    if (auto ok = values(**gate_up_bias, false, both); !ok) return ok;
    if (auto ok = values(**down_bias, false, downs); !ok) return ok;
    for (int e = 0; e < spec_.experts; ++e) {
      ExpertWeights& expert = layer.experts[static_cast<std::size_t>(e)];
      if (auto ok = take_rows(gate_up, e, 2 * width, spec_.hidden, 0, 2, expert.gate.weight); !ok)
        return ok;
      if (auto ok = take_rows(gate_up, e, 2 * width, spec_.hidden, 1, 2, expert.up.weight); !ok)
        return ok;
      if (auto ok = take_rows(down, e, spec_.hidden, width, 0, 1, expert.down.weight); !ok)
        return ok;
      for (int r = 0; r < width; ++r) {
        expert.gate.bias.push_back(both[2 * (size_of(e) * size_of(width) + size_of(r))]);
        expert.up.bias.push_back(both[2 * (size_of(e) * size_of(width) + size_of(r)) + 1]);
      }
      expert.down.bias.assign(downs.begin() + static_cast<std::ptrdiff_t>(e) * spec_.hidden,
                              downs.begin() + static_cast<std::ptrdiff_t>(e + 1) * spec_.hidden);
    }
    return {};
  }

  /// A tensor inside a layer that nobody asked for would change what the model computes.
  Status check_unused() const {
    const std::string& query = spec_.name(spec_.fused_qkv ? Role::query_key_value : Role::query);
    const std::string prefix = query.substr(0, query.find("{layer}"));
    for (const TensorView& tensor : tensors_.tensors()) {
      if (!tensor.name.starts_with(prefix) || used_.contains(tensor.name)) continue;
      // Old checkpoints store the frequencies that the configuration gives.
      if (tensor.name.ends_with("rotary_emb.inv_freq") || tensor.name.ends_with("attn_rot_embd"))
        continue;
      return refuse(ErrorCode::unsupported, "tensor " + quote_name(tensor.name) +
                                                " has no place in architecture \"" +
                                                spec_.architecture + "\"");
    }
    return {};
  }

  const ModelSpec& spec_;
  const model::TensorSource& tensors_;
  ThreadPool& pool_;
  const std::function<void(double)>& on_progress_;
  std::set<std::string, std::less<>> used_;
  Weights weights_;
};

}  // namespace

Result<Weights> load_weights(const ModelFile& file, ThreadPool& pool,
                             const std::function<void(double)>& on_progress) {
  return Loader(file, pool, on_progress).load(estimate_weights(file).packed);
}

WeightBytes estimate_weights(const ModelFile& file) {
  WeightBytes out;
  const std::string table = file.spec.name(Role::token_embedding) + ".weight";
  const bool has_head = file.tensors->find(file.spec.name(Role::output) + ".weight") != nullptr;
  for (const TensorView& tensor : file.tensors->tensors()) {
    std::uint64_t packed = 0;
    if (tensor.shape.size() >= 2 && (tensor.name != table || !has_head)) {
      std::uint64_t rows = 1;
      for (std::size_t i = 0; i + 1 < tensor.shape.size(); ++i) rows *= tensor.shape[i];
      packed = Matrix::estimate_packed_bytes(tensor.dtype, rows, tensor.shape.back());
    }
    out.packed += packed;
    // Weights used in place. (Of a table that was repacked as the head only single rows are read.)
    if (packed == 0 && (tensor.name != table || !has_head)) out.mapped += tensor.bytes.size();
  }
  return out;
}

}  // namespace inference::engine
