// Safetensors and config.json in GGUF's terms: names, order of rows, norms, stacked experts.
#include <algorithm>
#include <filesystem>
#include <set>

#include "engine/arch/names.h"
#include "engine/convert/source.h"
#include "engine/convert/spec_metadata.h"
#include "engine/convert/tokenizer_metadata.h"
#include "engine/quant/quant.h"
#include "engine/runtime/weights.h"
#include "model/formats/checked.h"

namespace inference::engine {
namespace {

namespace fs = std::filesystem;
using model::DType;
using model::quote_name;
using model::TensorView;
using Shape = std::vector<std::uint64_t>;
using RowReader = std::function<Status(std::uint64_t row, std::span<float> out)>;

std::uint64_t size_of(int value) {
  return static_cast<std::uint64_t>(value);
}

std::string show_shape(const Shape& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i)
    out += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return out + "]";
}

RowReader rows_of(const TensorView& view, std::uint64_t rows) {
  const std::size_t row_bytes = view.bytes.size() / std::max<std::uint64_t>(1, rows);
  return [&view, row_bytes](std::uint64_t row, std::span<float> out) {
    return dequantize(view.dtype, view.bytes.subspan(row * row_bytes, row_bytes), out);
  };
}

/// Where a pair (i, i + dim / 2) becomes (2i, 2i + 1): the stored row of row `to`.
std::uint64_t interleaved_from(std::uint64_t to, std::uint64_t dim) {
  const std::uint64_t within = to % dim;
  return to - within + within / 2 + (within % 2) * (dim / 2);
}

class CheckpointReader {
 public:
  CheckpointReader(ModelFile file, WrittenSpec written, ConvertSource out)
      : from_(std::move(file.spec)),
        to_(std::move(written.spec)),
        file_(std::move(file.tensors)),
        out_(std::move(out)),
        interleave_(to_.interleaved_rope && !from_.interleaved_rope) {
    for (MetadataTensor& tensor : written.tensors) add_values(std::move(tensor));
  }

  Result<ConvertSource> read() {
    out_.file = file_;
    for (const RopeParameters& rope : from_.ropes)
      if (interleave_ && rope.dims != from_.head_dim)
        return refuse(ErrorCode::unsupported,
                      "heads of which " + std::to_string(rope.dims) + " of " +
                          std::to_string(from_.head_dim) +
                          " dimensions are rotated have no form in this architecture's GGUF files");
    Status ok = ends();
    for (std::size_t i = 0; ok && i < from_.layers.size(); ++i) ok = layer(static_cast<int>(i));
    if (ok) ok = check_unused();
    if (!ok) return std::unexpected(ok.error());
    out_.facts.layers = from_.layers.size();
    out_.facts.experts = size_of(from_.experts);
    out_.facts.heads_per_kv = size_of(from_.heads / from_.kv_heads);
    return std::move(out_);
  }

 private:
  std::unexpected<Error> refuse(ErrorCode code, std::string message) const {
    return fail(code, std::move(message), file_->path());
  }

  Result<const TensorView*> find(const std::string& name, const Shape& shape) {
    const TensorView* tensor = file_->find(name);
    if (tensor == nullptr)
      return refuse(ErrorCode::not_found, "tensor " + quote_name(name) + " is missing");
    if (tensor->shape != shape)
      return refuse(ErrorCode::corrupt_data, "tensor " + quote_name(name) + ": shape " +
                                                 show_shape(tensor->shape) + ", expected " +
                                                 show_shape(shape));
    used_.insert(tensor->name);
    return tensor;
  }

  void add(std::string name, Shape shape, RowReader read_row,
           const std::vector<const TensorView*>& views) {
    SourceTensor tensor;
    tensor.name = std::move(name);
    tensor.shape = std::move(shape);
    tensor.read_row = std::move(read_row);
    for (const TensorView* view : views) tensor.bytes += view->bytes.size();
    tensor.release = [file = file_, views] {
      for (const TensorView* view : views) file->release(*view, view->bytes);
    };
    out_.tensors.push_back(std::move(tensor));
  }

  /// Small tensors that were computed.
  void add_values(MetadataTensor made) {
    SourceTensor tensor;
    tensor.name = std::move(made.name);
    tensor.shape = {made.values.size()};
    tensor.bytes = made.values.size() * sizeof(float);
    tensor.read_row = [values = std::move(made.values)](std::uint64_t, std::span<float> out) {
      std::ranges::copy(values, out.begin());
      return Status{};
    };
    out_.tensors.push_back(std::move(tensor));
  }

  std::string from(Role role, int layer = 0, int expert = 0) const {
    return tensor_name(from_.name(role), layer, expert);
  }
  std::string to(Role role, int layer = 0) const { return tensor_name(to_.name(role), layer); }

  Status norm(Role role, int layer, std::uint64_t size) {
    const auto view = find(from(role, layer) + ".weight", {size});
    if (!view) return std::unexpected(view.error());
    const bool add_one = from_.norm_adds_one && !to_.norm_adds_one;
    add(to(role, layer) + ".weight", {size},
        [view = *view, add_one](std::uint64_t, std::span<float> out) {
          if (auto ok = dequantize(view->dtype, view->bytes, out); !ok) return ok;
          if (add_one)
            for (float& value : out) value += 1.0F;
          return Status{};
        },
        {*view});
    return {};
  }

  /// A matrix, and its bias where there is one. `heads`: its rows are those of heads, whose pairs
  /// the file may want side by side.
  Status linear(Role role, int layer, int rows, int cols, bool heads = false) {
    const std::string name = from(role, layer);
    const auto weight = find(name + ".weight", {size_of(rows), size_of(cols)});
    if (!weight) return std::unexpected(weight.error());
    const bool interleave = heads && interleave_;
    const std::uint64_t dim = size_of(from_.head_dim);
    RowReader reader = rows_of(**weight, size_of(rows));
    if (interleave)
      reader = [stored = std::move(reader), dim](std::uint64_t row, std::span<float> out) {
        return stored(interleaved_from(row, dim), out);
      };
    add(to(role, layer) + ".weight", {size_of(rows), size_of(cols)}, std::move(reader), {*weight});
    if (file_->find(name + ".bias") == nullptr) return {};
    const auto bias = find(name + ".bias", {size_of(rows)});
    if (!bias) return std::unexpected(bias.error());
    add(to(role, layer) + ".bias", {size_of(rows)},
        [bias = *bias, interleave, dim](std::uint64_t, std::span<float> out) {
          std::vector<float> stored(out.size());
          if (auto ok = dequantize(bias->dtype, bias->bytes, stored); !ok) return ok;
          for (std::uint64_t i = 0; i < out.size(); ++i)
            out[i] = stored[interleave ? interleaved_from(i, dim) : i];
          return Status{};
        },
        {*bias});
    return {};
  }

  Status ends() {
    Status ok = linear(Role::token_embedding, 0, from_.vocab_size, from_.hidden);
    if (ok) ok = norm(Role::output_norm, 0, size_of(from_.hidden));
    if (!ok) return ok;
    const std::string head = from(Role::output) + ".weight";
    const bool tied = from_.tied_output || (from_.output_optional && file_->find(head) == nullptr);
    out_.facts.tied_output = tied;
    if (!tied) return linear(Role::output, 0, from_.vocab_size, from_.hidden);
    used_.insert(head);  // a copy of the table, if it is there at all
    return {};
  }

  Status layer(int i) {
    const std::uint64_t hidden = size_of(from_.hidden);
    Status ok;
    if (from_.pre_norm) ok = norm(Role::attention_norm, i, hidden);
    if (ok && from_.pre_norm) ok = norm(Role::feed_forward_norm, i, hidden);
    if (ok && from_.post_norm) ok = norm(Role::attention_post_norm, i, hidden);
    if (ok && from_.post_norm) ok = norm(Role::feed_forward_post_norm, i, hidden);
    if (ok) ok = attention(i);
    if (!ok) return ok;
    if (from_.layers[static_cast<std::size_t>(i)].experts) return experts(i);
    if (from_.fused_gate_up) {
      ok = linear(Role::gate_up, i, 2 * from_.feed_forward, from_.hidden);
    } else {
      ok = linear(Role::gate, i, from_.feed_forward, from_.hidden);
      if (ok) ok = linear(Role::up, i, from_.feed_forward, from_.hidden);
    }
    return ok ? linear(Role::down, i, from_.hidden, from_.feed_forward) : ok;
  }

  Status attention(int i) {
    const int q = from_.heads * from_.head_dim;
    const int kv = from_.kv_heads * from_.head_dim;
    Status ok;
    if (from_.fused_qkv) {
      ok = linear(Role::query_key_value, i, q + 2 * kv, from_.hidden);
    } else {
      ok = linear(Role::query, i, q, from_.hidden, true);
      if (ok) ok = linear(Role::key, i, kv, from_.hidden, true);
      if (ok) ok = linear(Role::value, i, kv, from_.hidden);
    }
    if (ok) ok = linear(Role::attention_output, i, from_.hidden, q);
    if (ok && from_.head_norm != HeadNorm::none) {
      const bool full = from_.head_norm == HeadNorm::full_width;
      ok = norm(Role::query_norm, i, size_of(full ? q : from_.head_dim));
      if (ok) ok = norm(Role::key_norm, i, size_of(full ? kv : from_.head_dim));
    }
    if (!ok || !from_.sinks) return ok;
    const auto sinks = find(from(Role::sinks, i), {size_of(from_.heads)});
    if (!sinks) return std::unexpected(sinks.error());
    add(to(Role::sinks, i), {size_of(from_.heads)}, rows_of(**sinks, 1), {*sinks});
    return {};
  }

  Status experts(int i) {
    const int width = from_.expert_feed_forward;
    if (auto ok = linear(Role::router, i, from_.experts, from_.hidden); !ok) return ok;
    switch (from_.expert_layout) {
      case ExpertLayout::separate: {
        Status ok = stack(Role::expert_gate, i, width, from_.hidden);
        if (ok) ok = stack(Role::expert_up, i, width, from_.hidden);
        return ok ? stack(Role::expert_down, i, from_.hidden, width) : ok;
      }
      case ExpertLayout::stacked_transposed: {
        Status ok = slices(Role::expert_gate_up, Role::expert_gate, i, width, from_.hidden, 0, 2);
        if (ok) ok = slices(Role::expert_gate_up, Role::expert_up, i, width, from_.hidden, 1, 2);
        return ok ? slices(Role::expert_down, Role::expert_down, i, from_.hidden, width, 0, 1) : ok;
      }
      case ExpertLayout::stacked:
        break;
    }
    return refuse(ErrorCode::unsupported, "experts stacked as [experts, rows, cols]");
  }

  /// One tensor an expert becomes one for all.
  Status stack(Role role, int i, int rows, int cols) {
    std::vector<const TensorView*> views;
    for (int e = 0; e < from_.experts; ++e) {
      const auto view = find(from(role, i, e) + ".weight", {size_of(rows), size_of(cols)});
      if (!view) return std::unexpected(view.error());
      views.push_back(*view);
    }
    const std::uint64_t height = size_of(rows);
    add(
        to(role, i) + ".weight", {views.size(), height, size_of(cols)},
        [views, height](std::uint64_t row, std::span<float> out) {
          const TensorView& view = *views[row / height];
          const std::size_t row_bytes = view.bytes.size() / height;
          return dequantize(view.dtype, view.bytes.subspan(row % height * row_bytes, row_bytes),
                            out);
        },
        views);
    return {};
  }

  /// Every `step`-th output from `first` on of all experts, with its biases.
  Status slices(Role stored, Role role, int i, int rows, int cols, int first, int step) {
    const std::string base = from(stored, i);
    const int all = rows * step;
    Status ok = file_->find(base + "_blocks") != nullptr
                    ? blocks(base, role, i, rows, cols, first, step)
                    : columns(base, role, i, rows, cols, first, step);
    if (!ok) return ok;
    const auto bias = find(base + "_bias", {size_of(from_.experts), size_of(all)});
    if (!bias) return std::unexpected(bias.error());
    add(to(role, i) + ".bias", {size_of(from_.experts), size_of(rows)},
        [bias = *bias, all, first, step](std::uint64_t expert, std::span<float> out) {
          std::vector<float> whole(size_of(all));
          const std::size_t bytes = bias->bytes.size() / bias->shape[0];
          if (auto done =
                  dequantize(bias->dtype, bias->bytes.subspan(expert * bytes, bytes), whole);
              !done)
            return done;
          for (std::size_t r = 0; r < out.size(); ++r)
            out[r] = whole[r * size_of(step) + size_of(first)];
          return Status{};
        },
        {*bias});
    return {};
  }

  /// [experts, cols, all rows]: an output's weights stand in a column.
  Status columns(const std::string& base, Role role, int i, int rows, int cols, int first,
                 int step) {
    const int all = rows * step;
    const auto view = find(base, {size_of(from_.experts), size_of(cols), size_of(all)});
    if (!view) return std::unexpected(view.error());
    const std::size_t element = (*view)->bytes.size() / (*view)->element_count();
    add(to(role, i) + ".weight", {size_of(from_.experts), size_of(rows), size_of(cols)},
        [view = *view, element, rows, all, first, step](std::uint64_t row, std::span<float> out) {
          const std::uint64_t expert = row / size_of(rows);
          const std::uint64_t column = row % size_of(rows) * size_of(step) + size_of(first);
          std::vector<std::byte> gathered(out.size() * element);
          for (std::size_t k = 0; k < out.size(); ++k) {
            const std::uint64_t at = ((expert * out.size() + k) * size_of(all) + column) * element;
            std::ranges::copy(view->bytes.subspan(at, element),
                              gathered.begin() + static_cast<std::ptrdiff_t>(k * element));
          }
          return dequantize(view->dtype, gathered, out);
        },
        {*view});
    return {};
  }

  /// MXFP4 as [experts, all rows, blocks, 16] codes, neighbours in one byte, and their scales.
  Status blocks(const std::string& base, Role role, int i, int rows, int cols, int first,
                int step) {
    constexpr std::uint64_t kBlock = 17;
    const std::uint64_t all = size_of(rows * step);
    const std::uint64_t count = size_of(cols) / 32;
    if (cols % 32 != 0)
      return refuse(ErrorCode::corrupt_data, "tensor " + quote_name(base) + "_blocks: rows of " +
                                                 std::to_string(cols) + " weights");
    const auto codes = find(base + "_blocks", {size_of(from_.experts), all, count, 16});
    if (!codes) return std::unexpected(codes.error());
    const auto scales = find(base + "_scales", {size_of(from_.experts), all, count});
    if (!scales) return std::unexpected(scales.error());
    if ((*codes)->dtype != DType::u8 || (*scales)->dtype != DType::u8)
      return refuse(ErrorCode::corrupt_data,
                    "tensor " + quote_name(base) + "_blocks: MXFP4 is stored as U8");
    add(to(role, i) + ".weight", {size_of(from_.experts), size_of(rows), size_of(cols)},
        [codes = *codes, scales = *scales, rows, all, count, first, step](std::uint64_t row,
                                                                          std::span<float> out) {
          const std::uint64_t stored =
              row / size_of(rows) * all + row % size_of(rows) * size_of(step) + size_of(first);
          std::vector<std::byte> block(count * kBlock);
          for (std::uint64_t b = 0; b < count; ++b) {
            const auto packed = codes->bytes.subspan((stored * count + b) * 16, 16);
            const auto code = [&](std::size_t k) {
              return (std::to_integer<unsigned>(packed[k / 2]) >> (4 * (k % 2))) & 15U;
            };
            block[b * kBlock] = scales->bytes[stored * count + b];
            for (std::size_t j = 0; j < 16; ++j)
              block[b * kBlock + 1 + j] = static_cast<std::byte>(code(j) | (code(16 + j) << 4));
          }
          return dequantize(DType::mxfp4, block, out);
        },
        {*codes, *scales});
    return {};
  }

  /// A tensor inside a layer that nobody asked for would change what the model computes; parts of
  /// models that also see or hear have files of their own in GGUF.
  Status check_unused() {
    const std::string& query = from_.name(from_.fused_qkv ? Role::query_key_value : Role::query);
    const std::string prefix = query.substr(0, query.find("{layer}"));
    for (const TensorView& tensor : file_->tensors()) {
      if (used_.contains(tensor.name) || tensor.name.ends_with("rotary_emb.inv_freq")) continue;
      if (tensor.name.starts_with(prefix))
        return refuse(ErrorCode::unsupported, "tensor " + quote_name(tensor.name) +
                                                  " has no place in architecture \"" +
                                                  from_.architecture + "\"");
      const std::size_t dot = tensor.name.find('.', tensor.name.find('.') + 1);
      const std::string part = tensor.name.substr(0, dot);
      if (std::ranges::find(out_.left_out, part) == out_.left_out.end())
        out_.left_out.push_back(part);
    }
    return {};
  }

  ModelSpec from_;
  ModelSpec to_;
  std::shared_ptr<const model::TensorSource> file_;
  ConvertSource out_;
  bool interleave_;  ///< rows of queries and keys change places
  std::set<std::string, std::less<>> used_;
};

}  // namespace

Result<ConvertSource> open_checkpoint_source(const std::string& path) {
  auto file = open_model(path);
  if (!file) return std::unexpected(std::move(file.error()));
  std::error_code ignored;
  fs::path folder = fs::absolute(path, ignored);
  if (!fs::is_directory(folder, ignored)) folder = folder.parent_path();
  if (!folder.has_filename()) folder = folder.parent_path();  // it was written with a slash behind
  ConvertSource out;
  out.path = path;
  out.metadata.set_string("general.type", "model");
  out.metadata.set_string("general.name", folder.filename().string());
  auto written = write_spec(file->spec, out.metadata);
  if (!written) return std::unexpected(std::move(written.error()));
  auto left_out = write_tokenizer(folder.string(), file->spec.vocab_size, out.metadata);
  if (!left_out) return std::unexpected(std::move(left_out.error()));
  out.left_out = std::move(*left_out);
  return CheckpointReader(std::move(*file), std::move(*written), std::move(out)).read();
}

}  // namespace inference::engine
