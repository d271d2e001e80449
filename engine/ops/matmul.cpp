#include "engine/ops/matmul.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <new>
#include <optional>

#include "engine/kernels/kernels.h"
#include "engine/kernels/quantized.h"
#include "engine/ops/scratch.h"
#include "engine/quant/grids.h"
#include "engine/quant/half.h"
#include "engine/quant/quant.h"
#include "model/formats/checked.h"

namespace inference::engine {

using model::DType;

struct Matrix::Data {
  DType type = DType::f32;
  std::size_t rows = 0;
  std::size_t cols = 0;
  FloatWeights floats;
  QuantizedWeights quantized;
  platform::PageBuffer own;  ///< panels that stand in no arena
  std::byte* to = nullptr;   ///< where panels stand or will; untouched memory is not taken up
  std::size_t packed_bytes = 0;
  std::span<const std::byte> bytes = {};  ///< still to be repacked
  std::function<void(std::span<const std::byte>)> on_packed = {};

  std::size_t panels() const { return (rows + kPanelRows - 1) / kPanelRows; }
  bool is_quantized() const { return quantized.groups > 0; }
};

struct Activations::Data {
  std::size_t rows = 0;
  std::size_t cols = 0;
  const float* values = nullptr;
  bool quantized = false;  ///< the codes are of the present values
  Scratch<std::int8_t> codes;
  Scratch<float> scales, half_sums, group_sums;
  Scratch<std::int32_t> minus_sums;

  QuantizedRows quantized_rows() {
    return {codes.data(),      scales.data(), minus_sums.data(), half_sums.data(),
            group_sums.data(), rows,          cols / kGroup};
  }
};

namespace {

std::optional<FloatType> float_type(DType type) {
  if (type == DType::f32) return FloatType::f32;
  if (type == DType::f16) return FloatType::f16;
  if (type == DType::bf16) return FloatType::bf16;
  return std::nullopt;
}

ScaleForm scale_form(ScaleKind kind) {
  switch (kind) {
    case ScaleKind::half:
      return ScaleForm::half;
    case ScaleKind::sub:
      return ScaleForm::sub;
    case ScaleKind::other:
      return ScaleForm::full;
  }
  return ScaleForm::full;
}

PanelLayout layout_of(const QuantFormat& format) {
  PanelLayout layout;
  layout.scales = format.scales;
  layout.has_offset = format.has_offset;
  layout.scale_form = scale_form(format.scale_kind);
  const auto table = [&](const std::int8_t(&values)[16]) {
    std::ranges::copy(values, layout.values);
    return CodeForm::table;
  };
  switch (format.type) {
    case DType::q4_1:
    case DType::q4_k:
    case DType::q2_k:
      layout.codes = CodeForm::nibbles;
      break;
    case DType::q4_0:
    case DType::q3_k:
    case DType::tq1_0:
    case DType::tq2_0:
      layout.codes = CodeForm::signed_nibbles;
      break;
    case DType::iq4_nl:
    case DType::iq4_xs:
      layout.codes = table(kIq4Values);
      break;
    case DType::mxfp4:
      layout.codes = table(kMxfp4Values);
      break;
    case DType::q5_0:
      layout.codes = CodeForm::signed_five;
      break;
    case DType::q5_1:
    case DType::q5_k:
      layout.codes = CodeForm::five;
      break;
    case DType::q6_k:
      layout.codes = CodeForm::signed_six;
      break;
    default:
      layout.codes = CodeForm::bytes;
  }
  return layout;
}

/// Writes rows of any type into their places in panels.
class Packer {
 public:
  Packer(const QuantFormat& format, const PanelLayout& layout)
      : format_(format), layout_(layout), bias_(code_bias(layout.codes)) {
    limit_ = layout.codes == CodeForm::signed_six ? 64 : code_bytes(layout.codes) > 256 ? 32 : 16;
    bits_.fill(kNoCode);
    for (int i = 15; i >= 0; --i)  // the first of equal values stands for them
      bits_[static_cast<std::uint8_t>(layout.values[i])] = static_cast<std::uint8_t>(i);
  }

  /// False if a code is not one that the form can store.
  bool pack_row(const std::byte* row, std::size_t lane, std::size_t groups,
                std::byte* panel) const {
    Codes32 codes;
    for (std::size_t g = 0; g < groups; ++g) {
      format_.unpack32(row, g, codes);
      if (g % kSuperGroups == 0) {
        pack_header(codes, lane, panel);
        panel += layout_.header_bytes();
      }
      if (!pack_codes(codes, lane, panel)) return false;
      pack_factors(codes, lane, panel + code_bytes(layout_.codes));
      panel += layout_.group_bytes();
    }
    return true;
  }

 private:
  static constexpr std::uint8_t kNoCode = 255;

  static void put_half(float value, std::size_t lane, std::byte* at) {
    const std::uint16_t half = float_to_half(value);  // exact: it came from one
    std::memcpy(at + 2 * lane, &half, sizeof half);
  }

  void pack_header(const Codes32& codes, std::size_t lane, std::byte* at) const {
    if (layout_.header_bytes() == 0) return;
    put_half(codes.base, lane, at);
    if (layout_.has_offset) put_half(codes.offset_base, lane, at + 2 * kPanelRows);
  }

  bool pack_codes(const Codes32& codes, std::size_t lane, std::byte* panel) const {
    if (layout_.codes == CodeForm::bytes) {
      for (std::size_t j = 0; j < 8; ++j)
        std::memcpy(panel + 64 * j + 4 * lane, codes.codes + 4 * j, 4);
      return true;
    }
    // Written so that compilers make vectors of it: models are packed while somebody waits.
    std::uint8_t stored[kGroup];
    unsigned all = 0;
    if (layout_.codes == CodeForm::table) {
      for (std::size_t k = 0; k < kGroup; ++k)
        stored[k] = bits_[static_cast<std::uint8_t>(codes.codes[k])];
    } else {
      for (std::size_t k = 0; k < kGroup; ++k)
        stored[k] = static_cast<std::uint8_t>(codes.codes[k] + bias_);
    }
    for (const std::uint8_t one : stored) all |= one;
    std::uint8_t nibbles[kGroup / 2];
    for (std::size_t k = 0; k < kGroup / 2; ++k)
      nibbles[k] = static_cast<std::uint8_t>((stored[k] & 15U) | (stored[k + kGroup / 2] << 4));
    for (std::size_t j = 0; j < 4; ++j) std::memcpy(panel + 64 * j + 4 * lane, nibbles + 4 * j, 4);
    if (layout_.codes == CodeForm::five || layout_.codes == CodeForm::signed_five) {
      // Bits 4 lane .. 4 lane + 3 of each word: half a byte, the other half is another row's.
      for (std::size_t j = 0; j < 8; ++j) {
        unsigned four = 0;
        for (std::size_t i = 0; i < 4; ++i) four |= (stored[4 * j + i] >> 4U) << i;
        panel[256 + 8 * j + lane / 2] |= static_cast<std::byte>(four << (4 * (lane % 2)));
      }
    } else if (layout_.codes == CodeForm::signed_six) {
      for (std::size_t k = 0; k < kGroup; ++k)
        panel[256 + 64 * (k / 16) + 4 * lane + k % 4] |=
            static_cast<std::byte>((stored[k] >> 4U) << (2 * (k / 4 % 4)));
    }
    return all < limit_;
  }

  void pack_factors(const Codes32& codes, std::size_t lane, std::byte* at) const {
    for (std::size_t h = 0; h < layout_.scales; ++h) {
      pack_factor(codes.scale[h], codes.sub_scale[h], lane, at + h * layout_.factor_bytes());
      if (layout_.has_offset)
        pack_factor(codes.offset[h], codes.sub_offset[h], lane,
                    at + (layout_.scales + h) * layout_.factor_bytes());
    }
  }
  void pack_factor(float value, std::int8_t sub, std::size_t lane, std::byte* at) const {
    switch (layout_.scale_form) {
      case ScaleForm::half:
        return put_half(value, lane, at);
      case ScaleForm::sub:
        at[lane] = static_cast<std::byte>(sub);
        return;
      case ScaleForm::full:
        std::memcpy(at + 4 * lane, &value, sizeof value);
    }
  }

  const QuantFormat& format_;
  const PanelLayout& layout_;
  int bias_;
  unsigned limit_ = 16;                 ///< stored codes are smaller
  std::array<std::uint8_t, 256> bits_;  ///< CodeForm::table: value -> index
};

/// Rows that can be read as they are while there is no time to repack them.
bool starts_in_place(const PanelLayout& layout, std::uint64_t groups) {
  return in_place_row_bytes(layout, groups) != 0 && groups <= kMaxRowGroups;
}

std::unexpected<Error> bad_matrix(ErrorCode code, std::string_view name,
                                  const std::string& message) {
  return fail(code, "tensor " + model::quote_name(name) + ": " + message);
}

/// Some panels at a time: threads share them, and what was read is given back.
bool pack(const QuantFormat& format, const QuantizedWeights& w, std::size_t first_panel,
          std::size_t end_panel, std::span<const std::byte> bytes, std::byte* to,
          const PackOptions& options) {
  constexpr std::size_t kChunkBytes = 4U << 20;
  const std::size_t row_bytes = w.groups * kGroup / format.block_values * format.block_bytes;
  const std::size_t panel_bytes = w.layout.panel_bytes(w.groups);
  const std::size_t chunk = std::max<std::size_t>(1, kChunkBytes / (row_bytes * kPanelRows + 1));
  const Packer packer(format, w.layout);
  std::atomic<bool> known = true;
  QuantizedWeights from = w;
  from.in_place = bytes.data();
  const bool has_kernel = in_place_row_bytes(w.layout, w.groups) == row_bytes;
  const std::function<void(std::size_t)> pack_panel = [&](std::size_t p) {
    if (has_kernel) return kernels().matmul->make_panel(from, p, to + p * panel_bytes);
    const std::size_t end = std::min(w.rows, (p + 1) * kPanelRows);
    for (std::size_t r = p * kPanelRows; r < end; ++r)
      if (!packer.pack_row(bytes.data() + r * row_bytes, r % kPanelRows, w.groups,
                           to + p * panel_bytes))
        known = false;
  };
  for (std::size_t begin = first_panel; begin < end_panel; begin += chunk) {
    const std::size_t end = std::min(end_panel, begin + chunk);
    const std::size_t tasks =
        options.pool == nullptr
            ? 1
            : std::min<std::size_t>(end - begin,
                                    static_cast<std::size_t>(options.pool->size()) * 4);
    const std::function<void(std::size_t)> task = [&](std::size_t i) {
      const std::size_t count = end - begin;
      for (std::size_t p = begin + count * i / tasks; p < begin + count * (i + 1) / tasks; ++p)
        pack_panel(p);
    };
    if (options.pool == nullptr) {
      task(0);
    } else {
      options.pool->run(tasks, task);
    }
    const std::size_t first_row = begin * kPanelRows;
    const std::size_t end_row = std::min(w.rows, end * kPanelRows);
    if (options.on_packed)
      options.on_packed(bytes.subspan(first_row * row_bytes, (end_row - first_row) * row_bytes));
  }
  return known;
}

}  // namespace

Result<PanelArena> PanelArena::create(std::size_t bytes) {
  auto buffer = platform::PageBuffer::create(bytes);
  if (!buffer) return std::unexpected(std::move(buffer.error()));
  PanelArena out;
  out.buffer_ = std::move(*buffer);
  return out;
}

std::byte* PanelArena::take(std::size_t bytes) {
  if (bytes > buffer_.size() - used_) return nullptr;
  std::byte* const out = buffer_.data() + used_;
  used_ += bytes;
  return out;
}

Matrix::Matrix() = default;
Matrix::Matrix(Matrix&&) noexcept = default;
Matrix& Matrix::operator=(Matrix&&) noexcept = default;
Matrix::~Matrix() = default;

std::size_t Matrix::rows() const {
  return data_ ? data_->rows : 0;
}
std::size_t Matrix::cols() const {
  return data_ ? data_->cols : 0;
}
DType Matrix::type() const {
  return data_ ? data_->type : DType::f32;
}
bool Matrix::takes_codes() const {
  return data_ && data_->is_quantized();
}
std::size_t Matrix::packed_bytes() const {
  return data_ ? data_->packed_bytes : 0;
}

std::uint64_t Matrix::estimate_packed_bytes(DType type, std::uint64_t rows, std::uint64_t cols) {
  const QuantFormat* format = quant_format(type);
  if (format == nullptr) return 0;
  return (rows + kPanelRows - 1) / kPanelRows * layout_of(*format).panel_bytes(cols / kGroup);
}

Result<Matrix> Matrix::create(DType type, std::size_t rows, std::size_t cols,
                              std::span<const std::byte> bytes, std::string_view name,
                              const PackOptions& options) {
  const model::DTypeInfo* info = model::dtype_info(type);
  const auto floats = float_type(type);
  const QuantFormat* format = quant_format(type);
  if (info == nullptr || (!floats && format == nullptr))
    return bad_matrix(
        ErrorCode::unsupported, name,
        "weights of type " + std::string(model::to_string(type)) + " cannot be multiplied");
  if (cols % info->block_values != 0)
    return bad_matrix(ErrorCode::corrupt_data, name,
                      "rows of " + std::to_string(cols) + " weights are no multiple of " +
                          std::string(info->name) + "'s block of " +
                          std::to_string(info->block_values));
  const std::uint64_t shape[] = {rows, cols};
  if (model::tensor_bytes(*info, shape) != bytes.size())
    return bad_matrix(ErrorCode::corrupt_data, name,
                      std::to_string(bytes.size()) + " bytes do not hold " + std::to_string(rows) +
                          " x " + std::to_string(cols) + " weights");
  Matrix matrix;
  matrix.data_ = std::make_unique<Data>();
  Data& data = *matrix.data_;
  data.type = type;
  data.rows = rows;
  data.cols = cols;
  if (floats) {
    data.floats = {*floats, bytes.data(), rows, cols};
    return matrix;
  }
  const PanelLayout layout = layout_of(*format);
  const std::uint64_t panel_bytes = estimate_packed_bytes(type, rows, cols);
  data.to = options.arena != nullptr ? options.arena->take(panel_bytes) : nullptr;
  if (data.to == nullptr) {
    auto own = platform::PageBuffer::create(panel_bytes);
    if (!own) return bad_matrix(own.error().code, name, own.error().message);
    data.own = std::move(*own);
    data.to = data.own.data();
  }
  data.quantized = {layout, data.to, nullptr, 0, rows, cols / kGroup};
  if (starts_in_place(layout, cols / kGroup)) {
    data.quantized.in_place = bytes.data();
    data.bytes = bytes;
    data.on_packed = options.on_packed;
    return matrix;
  }
  data.packed_bytes = panel_bytes;
  if (!pack(*format, data.quantized, 0, data.panels(), bytes, data.to, options))
    return bad_matrix(ErrorCode::internal, name, "a code is outside the type's table");
  return matrix;
}

std::size_t Matrix::pack_more(std::size_t budget, ThreadPool& pool) {
  if (!data_ || data_->bytes.empty()) return 0;
  Data& data = *data_;
  QuantizedWeights& w = data.quantized;
  const std::size_t panel_bytes = w.layout.panel_bytes(w.groups);
  const std::size_t end = std::min(data.panels(), w.packed + budget / panel_bytes + 1);
  const std::size_t before = w.packed;
  PackOptions options;
  options.pool = &pool;
  options.on_packed = data.on_packed;
  // Such types have no codes that could not be stored.
  (void)pack(*quant_format(data.type), w, before, end, data.bytes, data.to, options);
  w.packed = end;
  data.packed_bytes = end * panel_bytes;
  if (end == data.panels()) {
    w.in_place = nullptr;
    data.bytes = {};
  }
  return (end - before) * panel_bytes;
}

Activations::Activations() : data_(std::make_unique<Data>()) {}
Activations::Activations(Activations&&) noexcept = default;
Activations& Activations::operator=(Activations&&) noexcept = default;
Activations::~Activations() = default;

void Activations::reserve(std::size_t rows, std::size_t cols) {
  const std::size_t groups = rows * ((cols + kGroup - 1) / kGroup);
  if (data_->group_sums.size() >= groups) return;
  data_->codes.resize(groups * kGroup);
  data_->scales.resize(groups * 2);
  data_->minus_sums.resize(groups * 2);
  data_->half_sums.resize(groups * 2);
  data_->group_sums.resize(groups);
}

void Activations::set(std::span<const float> x, std::size_t rows, std::size_t cols) {
  reserve(rows, cols);
  data_->rows = rows;
  data_->cols = cols;
  data_->values = x.data();
  data_->quantized = false;
}

void Activations::quantize_row(std::size_t i) {
  kernels().matmul->quantize(data_->values + i * data_->cols, data_->quantized_rows(), i);
}

void Activations::rows_quantized() {
  data_->quantized = true;
}

std::size_t Activations::rows() const {
  return data_->rows;
}
std::size_t Activations::cols() const {
  return data_->cols;
}

class MatmulAccess {
 public:
  static void run(ThreadPool& pool, std::span<const Product> products, Activations& x) {
    Activations::Data& inputs = *x.data_;
    std::size_t units = 0;
    for (const Product& product : products) {
      units += units_of(*product.matrix->data_);
      if (product.matrix->data_->is_quantized() && !inputs.quantized) quantize(pool, x);
    }
    if (inputs.rows == 0 || units == 0) return;
    const std::size_t most = pieces(pool, units) * (inputs.rows > 16 ? 4 : 1);
    const std::size_t tasks = pool.size() == 1 ? 1 : std::min(most, units);
    pool.run(tasks, [&](std::size_t task) {
      // The units of all products in a row; a task may take the end of one and the start of
      // another.
      const std::size_t begin = units * task / tasks;
      const std::size_t end = units * (task + 1) / tasks;
      std::size_t first = 0;
      for (const Product& product : products) {
        const std::size_t count = units_of(*product.matrix->data_);
        if (begin < first + count && first < end)
          run_units(product, inputs, std::max(begin, first) - first,
                    std::min(end, first + count) - first);
        first += count;
      }
    });
  }

 private:
  /// Sixteen rows: what one call of a kernel takes at least.
  static std::size_t units_of(const Matrix::Data& w) {
    return (w.rows + kPanelRows - 1) / kPanelRows;
  }
  /// Several pieces per thread, so that one that is held up does not hold up all.
  static std::size_t pieces(const ThreadPool& pool, std::size_t units) {
    return std::max<std::size_t>(1, std::min(units, static_cast<std::size_t>(pool.size()) * 4));
  }

  static void run_units(const Product& product, Activations::Data& x, std::size_t begin,
                        std::size_t end) {
    const Matrix::Data& w = *product.matrix->data_;
    if (w.is_quantized()) {
      kernels().matmul->quantized(w.quantized, begin, end, x.quantized_rows(), product.y,
                                  product.y_stride);
    } else {
      kernels().matmul->floats(w.floats, begin * kPanelRows, std::min(w.rows, end * kPanelRows),
                               x.values, x.rows, product.y, product.y_stride);
    }
  }

  static void quantize(ThreadPool& pool, Activations& x) {
    const std::size_t rows = x.rows();
    // Waking the threads costs more than a few rows.
    if (rows <= 2) {
      for (std::size_t i = 0; i < rows; ++i) x.quantize_row(i);
    } else {
      const std::size_t tasks = pieces(pool, rows);
      pool.run(tasks, [&](std::size_t task) {
        for (std::size_t i = rows * task / tasks; i < rows * (task + 1) / tasks; ++i)
          x.quantize_row(i);
      });
    }
    x.rows_quantized();
  }
};

void matmul(ThreadPool& pool, std::span<const Product> products, Activations& x) {
  MatmulAccess::run(pool, products, x);
}

void matmul(ThreadPool& pool, const Matrix& w, Activations& x, float* y, std::size_t y_stride) {
  const Product product = {&w, y, y_stride};
  MatmulAccess::run(pool, std::span(&product, 1), x);
}

}  // namespace inference::engine
