// What every function of these bridges does with exceptions, which must not reach Rust.
#pragma once

#include <cstring>
#include <exception>

// Null, or what went wrong as a C string to be freed.
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
