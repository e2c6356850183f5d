// CUDA graphs through libtorch's class at::cuda::CUDAGraph. Its header needs CUDA's, which are missing where this is compiled, so its
// functions are looked up by name once libtorch_cuda is loaded. Nothing here runs unless graphs are switched on.
//
// Every function returns null, or an error message as a C string that the caller frees. upload.cpp has CopyStream.
#include <c10/core/Allocator.h>
#include <dlfcn.h>

namespace {

// The functions of the class in libtorch 2.11.0. They get the object first, as member functions do.
struct GraphApi {
  void (*construct)(void *, bool keep);
  void (*destruct)(void *);
  void (*begin)(void *, c10::MempoolId_t, unsigned mode);
  void (*end)(void *);
  void (*replay)(void *);
  c10::MempoolId_t (*pool)(void *);

  GraphApi() {
    find(construct, "C1Eb");
    find(destruct, "D1Ev");
    find(begin, "13capture_beginESt4pairIyyE21cudaStreamCaptureMode");
    find(end, "11capture_endEv");
    find(replay, "6replayEv");
    find(pool, "4poolEv");
  }
  template <typename Function> void find(Function *&function, const char *name) {
    const std::string symbol = std::string("_ZN2at4cuda9CUDAGraph") + name;
    function = reinterpret_cast<Function *>(dlsym(RTLD_DEFAULT, symbol.c_str()));
    if (!function) throw std::runtime_error("libtorch_cuda.so lacks " + symbol);
  }
};

const GraphApi &graph_api() {
  static const GraphApi api;
  return api;
}

// cudaStreamCaptureModeThreadLocal: decode threads may allocate pinned memory, and another thread may query events, during a capture.
constexpr unsigned THREAD_LOCAL = 1;

// Memory for an object of the class, which has 104 bytes in libtorch 2.11.0.
struct Graph {
  alignas(64) char object[512];

  Graph() { graph_api().construct(object, false); }
  ~Graph() { graph_api().destruct(object); }
  Graph(const Graph &) = delete;
};

}  // namespace

extern "C" {

// Whether libtorch has all functions.
char *reeldeck_graph_check() {
  return guarded([] { graph_api(); });
}

// Runs `pass` twice on a stream of its own: once so that all plans and workspaces exist, and once to capture its work. The second
// time nothing is computed; `pass` keeps its outputs, which a replay fills. The memory of the graph is in the pool of `beside`, if that is
// not null. Later work on the current stream of this thread waits for all of it.
//
// If `is_stuck` is true afterwards, libtorch's allocator still believes that something is captured.
char *reeldeck_graph_capture(const CopyStream *side, Graph *beside, bool (*pass)(void *), void *context, Graph **out,
                             bool *is_stuck) {
  *is_stuck = false;
  return guarded([&] {
    const GraphApi &api = graph_api();
    const auto check = [](bool is_complete) {
      if (!is_complete) throw std::runtime_error("the pass failed");
    };
    const c10::Stream computes = c10::impl::VirtualGuardImpl(kind).getStream(side->stream.device());
    c10::Event before(kind), after(kind);
    before.record(computes);
    before.block(side->stream);
    auto graph = std::make_unique<Graph>();
    {
      // CUDA captures no default stream.
      const c10::StreamGuard on(side->stream);
      check(pass(context));
      *is_stuck = true;
      api.begin(graph->object, beside ? api.pool(beside->object) : c10::MempoolId_t{0, 0}, THREAD_LOCAL);
      const bool is_complete = pass(context);
      api.end(graph->object);
      *is_stuck = false;
      check(is_complete);
      // The workspaces of both are the same.
      after.record(side->stream);
    }
    after.block(computes);
    *out = graph.release();
  });
}

// Runs the captured work on the current stream of this thread.
char *reeldeck_graph_replay(Graph *graph) {
  return guarded([&] { graph_api().replay(graph->object); });
}

void reeldeck_graph_free(Graph *graph) { delete graph; }

}  // extern "C"
