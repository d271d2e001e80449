// A backend in a shared library.
//
// The library exports one C function, `inference_backend_plugin`, written with
// INFERENCE_BACKEND_PLUGIN(MyBackend). The loader compares the version and the C++ ABI before it
// touches anything else.
#pragma once

#include <cstdint>

#include "inference/backend.h"

/// Grows when the binary form of the contract changes; equal numbers can be loaded.
#define INFERENCE_CONTRACT_VERSION 1

#if defined(__GXX_ABI_VERSION)
#define INFERENCE_CXX_ABI static_cast<std::uint32_t>(__GXX_ABI_VERSION)
#else
#define INFERENCE_CXX_ABI 0u
#endif

extern "C" {

/// What the entry point returns; static storage, never null.
struct InferenceBackendPlugin {
  std::uint32_t contract_version;  ///< INFERENCE_CONTRACT_VERSION at build time
  std::uint32_t cxx_abi;           ///< INFERENCE_CXX_ABI at build time
  /// A new backend, owned by the caller; null on failure. Must not throw.
  inference::Backend* (*create)();
};

}  // extern "C"

/// Defines the entry point for a default-constructible backend.
#define INFERENCE_BACKEND_PLUGIN(BackendClass)                                                \
  extern "C" __attribute__((visibility("default"))) const InferenceBackendPlugin*             \
  inference_backend_plugin() {                                                                \
    static const InferenceBackendPlugin plugin{INFERENCE_CONTRACT_VERSION, INFERENCE_CXX_ABI, \
                                               []() -> inference::Backend* {                  \
                                                 try {                                        \
                                                   return new BackendClass();                 \
                                                 } catch (...) {                              \
                                                   return nullptr;                            \
                                                 }                                            \
                                               }};                                            \
    return &plugin;                                                                           \
  }
