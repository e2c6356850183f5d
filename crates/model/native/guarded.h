// Converts C++ exceptions, which must not reach Rust, to error messages.
#pragma once

#include <cstring>
#include <exception>

// Calls `run`. Returns null, or the message of an exception as a C string that the caller frees.
template <typename Run> char *guarded(Run run) {
  try {
    run();
    return nullptr;
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an error of unknown kind");
  }
}
