// A hash table in one piece of memory, for tables that are filled once, when a tokenizer is loaded:
// a node per entry, as std::unordered_map has it, would be most of the time to the first token.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace inference::model {

/// Values found by a hash and a test. Open addressing, linear probing, at most half full.
template <class Value>
class FlatTable {
 public:
  /// Empties the table and makes room for `count` values; more must not be inserted.
  void reserve(std::size_t count) {
    slots_.assign(std::bit_ceil(count == 0 ? 2 : 2 * count), {});
    mask_ = slots_.size() - 1;
  }

  /// Null when no value with this hash passes `equal(value)`.
  template <class Equal>
  const Value* find(std::uint64_t hash, Equal equal) const {
    if (slots_.empty()) return nullptr;
    for (std::size_t i = hash & mask_; slots_[i].tag != 0; i = (i + 1) & mask_)
      if (slots_[i].tag == tag_of(hash) && equal(slots_[i].value)) return &slots_[i].value;
    return nullptr;
  }

  /// The value that is there afterwards, and whether it is the new one: the first stays.
  template <class Equal>
  std::pair<const Value*, bool> insert(std::uint64_t hash, Value value, Equal equal) {
    std::size_t i = hash & mask_;
    for (; slots_[i].tag != 0; i = (i + 1) & mask_)
      if (slots_[i].tag == tag_of(hash) && equal(slots_[i].value)) return {&slots_[i].value, false};
    slots_[i] = {tag_of(hash), value};
    return {&slots_[i].value, true};
  }

 private:
  struct Slot {
    std::uint32_t tag = 0;  ///< 0: free
    Value value = {};
  };
  static std::uint32_t tag_of(std::uint64_t hash) {
    return static_cast<std::uint32_t>(hash >> 32U) | 1U;
  }

  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
};

/// A hash of a number (the finaliser of splitmix64).
inline std::uint64_t hash_of(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

}  // namespace inference::model
