#include "engine/ops/matmul.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <optional>

#include "engine/kernels/kernels.h"
#include "engine/kernels/quantized.h"
#include "engine/quant/grids.h"
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
  std::vector<std::byte> panels;
};

struct Activations::Data {
  std::size_t rows = 0;
  std::size_t cols = 0;
  const float* values = nullptr;
  bool quantized = false;  ///< the codes are of the present values
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;
};

namespace {

std::optional<FloatType> float_type(DType type) {
  if (type == DType::f32) return FloatType::f32;
  if (type == DType::f16) return FloatType::f16;
  if (type == DType::bf16) return FloatType::bf16;
  return std::nullopt;
}

/// The up to 16 different codes of a type; empty if it has more.
std::optional<std::array<std::int8_t, 16>> code_table(const QuantFormat& format) {
  const auto range = [](int first) {
    std::array<std::int8_t, 16> out{};
    for (int i = 0; i < 16; ++i)
      out[static_cast<std::size_t>(i)] = static_cast<std::int8_t>(first + i);
    return out;
  };
  switch (format.type) {
    case DType::q4_0:
    case DType::q3_k:
    case DType::tq1_0:
    case DType::tq2_0:
      return range(-8);
    case DType::q4_1:
    case DType::q4_k:
    case DType::q2_k:
      return range(0);
    case DType::iq4_nl:
    case DType::iq4_xs:
      return std::to_array(kIq4Values);
    case DType::mxfp4:
      return std::to_array(kMxfp4Values);
    default:
      return std::nullopt;
  }
}

PanelLayout layout_of(const QuantFormat& format) {
  PanelLayout layout;
  layout.scales = format.scales;
  layout.has_offset = format.has_offset;
  if (const auto table = code_table(format)) {
    layout.nibbles = true;
    std::ranges::copy(*table, layout.values);
  }
  return layout;
}

/// Code -> index in the table; 255 for codes that are not in it.
std::array<std::uint8_t, 256> inverse_table(const PanelLayout& layout) {
  std::array<std::uint8_t, 256> out;
  out.fill(255);
  for (int i = 15; i >= 0; --i)
    out[static_cast<std::uint8_t>(layout.values[i])] = static_cast<std::uint8_t>(i);
  return out;
}

class Packer {
 public:
  Packer(const QuantFormat& format, const PanelLayout& layout)
      : format_(format), layout_(layout), index_(inverse_table(layout)) {}

  /// One row into its place in a panel; false if a code is not in the type's table.
  bool pack_row(const std::byte* row, std::size_t lane, std::size_t groups,
                std::byte* panel) const {
    Codes32 codes;
    for (std::size_t g = 0; g < groups; ++g, panel += layout_.group_bytes()) {
      format_.unpack32(row, g, codes);
      if (!pack_codes(codes, lane, panel)) return false;
      auto* factors = reinterpret_cast<float*>(panel + layout_.code_bytes());
      for (std::size_t h = 0; h < layout_.scales; ++h) {
        factors[kPanelRows * h + lane] = codes.scale[h];
        if (layout_.has_offset) factors[kPanelRows * (layout_.scales + h) + lane] = codes.offset[h];
      }
    }
    return true;
  }

 private:
  bool pack_codes(const Codes32& codes, std::size_t lane, std::byte* panel) const {
    if (!layout_.nibbles) {
      for (std::size_t k = 0; k < kGroup; ++k)
        panel[64 * (k / 4) + 4 * lane + k % 4] = static_cast<std::byte>(codes.codes[k]);
      return true;
    }
    unsigned most = 0;
    for (std::size_t k = 0; k < kGroup / 2; ++k) {
      const unsigned low = index_[static_cast<std::uint8_t>(codes.codes[k])];
      const unsigned high = index_[static_cast<std::uint8_t>(codes.codes[k + kGroup / 2])];
      most |= low | high;
      panel[64 * (k / 4) + 4 * lane + k % 4] = static_cast<std::byte>(low | (high << 4));
    }
    return most < 16;
  }

  const QuantFormat& format_;
  const PanelLayout& layout_;
  std::array<std::uint8_t, 256> index_;
};

std::unexpected<Error> bad_matrix(ErrorCode code, std::string_view name,
                                  const std::string& message) {
  return fail(code, "tensor " + model::quote_name(name) + ": " + message);
}

}  // namespace

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
std::size_t Matrix::packed_bytes() const {
  return data_ ? data_->panels.size() : 0;
}

std::uint64_t Matrix::estimate_packed_bytes(DType type, std::uint64_t rows, std::uint64_t cols) {
  const QuantFormat* format = quant_format(type);
  if (format == nullptr) return 0;
  return (rows + kPanelRows - 1) / kPanelRows * (cols / kGroup) * layout_of(*format).group_bytes();
}

Result<Matrix> Matrix::create(DType type, std::size_t rows, std::size_t cols,
                              std::span<const std::byte> bytes, std::string_view name) {
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
  const std::size_t groups = cols / kGroup;
  const std::size_t row_bytes = cols / info->block_values * info->block_bytes;
  const std::size_t panel_bytes = groups * layout.group_bytes();
  data.panels.resize(estimate_packed_bytes(type, rows, cols));
  const Packer packer(*format, layout);
  for (std::size_t r = 0; r < rows; ++r)
    if (!packer.pack_row(bytes.data() + r * row_bytes, r % kPanelRows, groups,
                         data.panels.data() + r / kPanelRows * panel_bytes))
      return bad_matrix(ErrorCode::internal, name, "a code is outside the type's table");
  data.quantized = {layout, data.panels.data(), rows, groups};
  return matrix;
}

Activations::Activations() : data_(std::make_unique<Data>()) {}
Activations::Activations(Activations&&) noexcept = default;
Activations& Activations::operator=(Activations&&) noexcept = default;
Activations::~Activations() = default;

void Activations::reserve(std::size_t rows, std::size_t cols) {
  const std::size_t groups = rows * ((cols + kGroup - 1) / kGroup);
  if (data_->scales.size() >= groups * 2) return;
  data_->codes.resize(groups * kGroup);
  data_->scales.resize(groups * 2);
  data_->sums.resize(groups * 2);
}

void Activations::set(std::span<const float> x, std::size_t rows, std::size_t cols) {
  reserve(rows, cols);
  data_->rows = rows;
  data_->cols = cols;
  data_->values = x.data();
  data_->quantized = false;
}

std::size_t Activations::rows() const {
  return data_->rows;
}
std::size_t Activations::cols() const {
  return data_->cols;
}

class MatmulAccess {
 public:
  static void run(ThreadPool& pool, const Matrix& w, Activations& x, float* y,
                  std::size_t y_stride) {
    const Matrix::Data& weights = *w.data_;
    Activations::Data& inputs = *x.data_;
    if (inputs.rows == 0 || weights.rows == 0) return;
    if (weights.panels.empty()) {
      run_floats(pool, weights, inputs, y, y_stride);
    } else {
      run_quantized(pool, weights, inputs, y, y_stride);
    }
  }

 private:
  /// Several pieces per thread, so that one that is held up does not hold up all.
  static std::size_t pieces(const ThreadPool& pool, std::size_t units) {
    return std::max<std::size_t>(1, std::min(units, static_cast<std::size_t>(pool.size()) * 4));
  }

  static void run_floats(ThreadPool& pool, const Matrix::Data& w, const Activations::Data& x,
                         float* y, std::size_t y_stride) {
    constexpr std::size_t kUnit = 16;  // rows
    const std::size_t units = (w.rows + kUnit - 1) / kUnit;
    const std::size_t count = pool.size() == 1 ? 1 : pieces(pool, units);
    pool.run(count, [&](std::size_t i) {
      const std::size_t begin = units * i / count * kUnit;
      const std::size_t end = std::min(w.rows, units * (i + 1) / count * kUnit);
      kernels().matmul->floats(w.floats, begin, end, x.values, x.rows, y, y_stride);
    });
  }

  static void quantize(ThreadPool& pool, Activations::Data& x) {
    const std::size_t groups = x.cols / kGroup;
    const auto row = [&](std::size_t i) {
      kernels().matmul->quantize(x.values + i * x.cols, groups,
                                 x.codes.data() + i * groups * kGroup,
                                 x.scales.data() + i * groups * 2, x.sums.data() + i * groups * 2);
    };
    if (x.rows == 1) {
      row(0);
    } else {
      pool.run(x.rows, row);
    }
    x.quantized = true;
  }

  static void run_quantized(ThreadPool& pool, const Matrix::Data& w, Activations::Data& x, float* y,
                            std::size_t y_stride) {
    if (!x.quantized) quantize(pool, x);
    const QuantizedRows rows = {x.codes.data(), x.scales.data(), x.sums.data(), x.rows,
                                x.cols / kGroup};
    const std::size_t panels = (w.rows + kPanelRows - 1) / kPanelRows;
    const std::size_t count = pool.size() == 1 ? 1 : pieces(pool, panels);
    pool.run(count, [&](std::size_t i) {
      kernels().matmul->quantized(w.quantized, panels * i / count, panels * (i + 1) / count, rows,
                                  y, y_stride);
    });
  }
};

void matmul(ThreadPool& pool, const Matrix& w, Activations& x, float* y, std::size_t y_stride) {
  MatmulAccess::run(pool, w, x, y, y_stride);
}

}  // namespace inference::engine
