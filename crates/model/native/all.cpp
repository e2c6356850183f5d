// One file for the compiler, which takes several seconds to read libtorch's headers.
#include "fused.cpp"
#include "upload.cpp"
#include "graphs.cpp"
