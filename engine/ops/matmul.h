// y = x W^T for weights of every stored type.
//
// Bits: y[i][r] depends on row i of x and row r of W alone. It is the same for any number of input
// rows, threads or slices and for every instruction set with fused multiply-add:
//   - float weights (f32, f16, bf16): 16 partial sums, sum j takes k = j, j + 16, … in ascending
//   order
//     by fused multiply-add; then a fixed pairwise tree (j with j + 8, 4, 2, 1).
//   - quantised weights: x in int8 blocks of 16 (scale d = max|x| / 127, codes rounded to nearest
//     even). Per 32 columns two exact int32 dot products p0, p1 of the codes; then, all in float32,
//     one scale w per 32:  acc = fma(w, fma(d1, p1, d0 p0), acc), acc2 = fma(offset, s0 + s1, acc2)
//     one per 16:          acc = fma(w_h, d_h p_h, acc),          acc2 = fma(offset_h, s_h, acc2)
//     with s_h = d_h * the sum of the block's codes; the result is acc + acc2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/runtime/thread_pool.h"
#include "inference/error.h"
#include "model/formats/tensor.h"
#include "platform/page_buffer.h"

namespace inference::engine {

/// Memory for many matrices' panels, taken in one piece, so that the system can use large pages.
class PanelArena {
 public:
  static Result<PanelArena> create(std::size_t bytes);
  /// Null when what is left is less.
  std::byte* take(std::size_t bytes);

 private:
  platform::PageBuffer buffer_;
  std::size_t used_ = 0;
};

/// How a matrix is repacked.
struct PackOptions {
  PanelArena* arena = nullptr;  ///< where panels go; must outlive the matrix. None: its own memory
  ThreadPool* pool = nullptr;   ///< who helps
  /// Told of bytes that were repacked and will not be read again, in order.
  std::function<void(std::span<const std::byte>)> on_packed = {};
};

/// A weight matrix [rows, cols] in the layout that the kernels read: in place in the mapped file,
/// or repacked. Immutable. Bytes used in place must outlive it.
class Matrix {
 public:
  Matrix();
  Matrix(Matrix&&) noexcept;
  Matrix& operator=(Matrix&&) noexcept;
  ~Matrix();

  /// `bytes` holds rows * cols weights of `type`, row-major. cols must be a multiple of the type's
  /// block (corrupt_data otherwise, naming `name`).
  static Result<Matrix> create(model::DType type, std::size_t rows, std::size_t cols,
                               std::span<const std::byte> bytes, std::string_view name,
                               const PackOptions& options = {});

  /// What packed_bytes() will be when all is done, known before creating it; 0 for types used in
  /// place or unknown.
  static std::uint64_t estimate_packed_bytes(model::DType type, std::uint64_t rows,
                                             std::uint64_t cols);

  /// Weights that are used in place but would be faster repacked are repacked little by little, so
  /// that a model answers at once: some `budget` bytes now, by the options given to create(). Gives
  /// the bytes done; 0 when nothing is left. Not while the matrix is being used.
  std::size_t pack_more(std::size_t budget, ThreadPool& pool);

  std::size_t rows() const;
  std::size_t cols() const;
  model::DType type() const;
  /// Whether products need quantised inputs; otherwise they take floats.
  bool takes_codes() const;
  /// Bytes held beyond the mapped file; 0 when used in place.
  std::size_t packed_bytes() const;

 private:
  friend class MatmulAccess;
  struct Data;
  std::unique_ptr<Data> data_;
};

/// Input rows, quantised once however many matrices they meet. Keeps its buffers between uses.
class Activations {
 public:
  Activations();
  Activations(Activations&&) noexcept;
  Activations& operator=(Activations&&) noexcept;
  ~Activations();
  /// Room for `rows` x `cols`; afterwards set() of no more than that does not allocate.
  void reserve(std::size_t rows, std::size_t cols);
  /// Points at x, [rows, cols] contiguous, which must stay valid and unchanged until the next
  /// set().
  void set(std::span<const float> x, std::size_t rows, std::size_t cols);
  /// After set(): quantises row i as it is now. Different rows may be quantised at the same time,
  /// by those who have just made them; rows_quantized() then says that all are.
  void quantize_row(std::size_t i);
  void rows_quantized();
  std::size_t rows() const;
  std::size_t cols() const;

 private:
  friend class MatmulAccess;
  struct Data;
  std::unique_ptr<Data> data_;
};

/// One of several products with the same input.
struct Product {
  const Matrix* matrix = nullptr;
  float* y = nullptr;        ///< [x.rows()] rows, y_stride apart
  std::size_t y_stride = 0;  ///< >= matrix->rows()
};

/// All products side by side: threads meet once.
void matmul(ThreadPool& pool, std::span<const Product> products, Activations& x);

/// y[i * y_stride + r] = sum_k x[i][k] W[r][k]. x.cols() == w.cols(); y_stride >= w.rows().
/// Not thread-safe on the same pool or the same Activations.
void matmul(ThreadPool& pool, const Matrix& w, Activations& x, float* y, std::size_t y_stride);

}  // namespace inference::engine
