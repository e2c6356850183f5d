// CUDA graphs of the fake GPU, included by fake_cuda.cpp. A capture notes the operations of a stream and computes nothing: their outputs
// contain garbage until a replay runs the operations again, on the same addresses.
//
// A graph keeps no memory. What is freed while a graph uses it contains garbage from then on, unless it was allocated during the capture.
// Memory of graphs may be shared: a replay fills the outputs of all other graphs with garbage.

enum cudaStreamCaptureMode : unsigned { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed };

namespace {

struct Recording {
  Stream stream;
  // The last work of the stream that captured, which a replay must not overtake: both have the same workspaces.
  uint64_t number = 0;
  std::vector<std::function<void()>> work;
  // Blocks, by their memory: allocated during the capture, and others.
  std::map<void *, Block *> own, others;
  bool is_invalid = false;

  bool uses(const Block *block) const { return own.count(block->memory) || others.count(block->memory); }
  void note(Block *block) {
    const Guard guard(mutex);
    if (block && !own.count(block->memory)) others[block->memory] = block;
  }
};

std::set<Recording *> recordings;
thread_local Recording *capturing = nullptr;
// A capture did not end, so that memory of two streams is never freed.
bool is_stuck = false;

// With FAKE_CUDA_IGNORE=away: copies out of graphs, which are repeated after the next replay, as if the caller had read its output late.
std::vector<std::pair<at::Tensor, at::Tensor>> late;

// What is captured by the current work of this thread.
Recording *recording() { return kernels == 0 ? capturing : nullptr; }

void spoil(const at::Tensor &tensor) { on_host(tensor).fill_(42); }

// The same memory without owning it.
at::Tensor unowned(const at::Tensor &tensor) {
  if (!recording() || !tensor.defined() || tensor.is_cpu()) return tensor;
  recording()->note(block_of(tensor));
  return at::for_blob(tensor.data_ptr(), tensor.sizes())
      .strides(tensor.strides())
      .options(tensor.options())
      .target_device(tensor.device())
      .make_tensor();
}

std::optional<at::Tensor> unowned(const std::optional<at::Tensor> &tensor) {
  return tensor ? std::optional(unowned(*tensor)) : std::nullopt;
}

c10::IValue unowned(const c10::IValue &value) {
  if (value.isTensor()) return unowned(value.toTensor());
  if (!value.isTensorList()) return value;
  c10::List<at::Tensor> list;
  for (const at::Tensor &tensor : value.toTensorVector()) list.push_back(unowned(tensor));
  return list;
}

// With FAKE_CUDA_GRAPH=N.
void check_capture() {
  static std::atomic<long> operations{0};
  const long fail = number_from("FAKE_CUDA_GRAPH");
  TORCH_CHECK(fail <= 0 || ++operations < fail, "a text about captures");
}

// What CUDA refuses during a capture also ends it.
[[noreturn]] void refuse() {
  capturing->is_invalid = true;
  TORCH_CHECK(false, "CUDA error: operation not permitted when stream is capturing");
}

// Notes that `run` computes `output`, which it has done once to learn the shape.
void record(const at::Tensor &output, std::function<at::Tensor()> run) {
  check_capture();
  const at::Tensor kept = unowned(output);
  spoil(kept);
  recording()->work.push_back([kept, run] { on_host(kept).copy_(on_host(run())); });
}

// An operation of the CPU. Its first outputs are on the stack.
void record(const c10::OperatorHandle &op, const torch::jit::Stack &inputs, const torch::jit::Stack &outputs,
            void (*run)(const c10::OperatorHandle &, torch::jit::Stack *)) {
  check_capture();
  std::vector<at::Tensor> kept;
  for (const c10::IValue &output : outputs) {
    if (!output.isTensor()) refuse();
    kept.push_back(unowned(output.toTensor()));
    spoil(kept.back());
  }
  recording()->work.push_back([op, inputs, kept, run] {
    torch::jit::Stack stack = inputs;
    run(op, &stack);
    for (size_t at = 0; at < kept.size(); at++) {
      const at::Tensor output = stack[at].toTensor();
      if (output.data_ptr() != kept[at].data_ptr()) on_host(kept[at]).copy_(on_host(output));
    }
  });
}

// Whether a copy takes something out of a graph, or brings something into memory that a graph reads.
bool leaves_graph(const at::Tensor &from) {
  const Block *block = from.is_cpu() ? nullptr : block_of(from);
  return block && std::any_of(recordings.begin(), recordings.end(), [&](auto *r) { return r->own.count(block->memory) > 0; });
}

bool enters_graph(const at::Tensor &to) {
  const Block *block = to.is_cpu() ? nullptr : block_of(to);
  return block && std::any_of(recordings.begin(), recordings.end(), [&](auto *r) { return r->others.count(block->memory) > 0; });
}

void note_graph(const char *what) {
  if (const char *path = std::getenv("FAKE_CUDA_GRAPHS")) std::ofstream(path, std::ios::app) << what << '\n';
}

}  // namespace

namespace at::cuda {

struct CUDAGraph {
  Recording *recording = nullptr;
  c10::MempoolId_t id{0, 0};

  CUDAGraph(bool keep);
  ~CUDAGraph();
  void capture_begin(c10::MempoolId_t pool, cudaStreamCaptureMode mode);
  void capture_end();
  void replay();
  c10::MempoolId_t pool();
};

CUDAGraph::CUDAGraph(bool) {}

CUDAGraph::~CUDAGraph() {
  const Guard guard(mutex);
  if (recording) note_graph("free");
  recordings.erase(recording);
  delete recording;
}

void CUDAGraph::capture_begin(c10::MempoolId_t pool, cudaStreamCaptureMode mode) {
  const Guard guard(mutex);
  const Stream stream = stream_of_thread(::device_of(::get_device()));
  TORCH_CHECK(stream.id() != 0, "CUDA graphs must be captured on a non-default stream.");
  TORCH_CHECK(mode == cudaStreamCaptureModeThreadLocal, "another thread allocates pinned memory meanwhile");
  TORCH_CHECK(pool.first == 0 || !recordings.empty(), "a pool that no graph has");
  static std::atomic<unsigned long long> pools{0};
  id = pool.first ? pool : c10::MempoolId_t{++pools, 0};
  recording = capturing = new Recording{stream};
  has_captured.insert(key_of(stream));
  recordings.insert(recording);
}

void CUDAGraph::capture_end() {
  const Guard guard(mutex);
  TORCH_CHECK(capturing && capturing == recording, "capture_end() called before capture_begin().");
  capturing = nullptr;
  recording->number = queue_of(recording->stream).last();
  const char *fault = std::getenv("FAKE_CUDA_GRAPH");
  is_stuck = recording->is_invalid || (fault && std::strcmp(fault, "invalid") == 0);
  TORCH_CHECK(!is_stuck, "CUDA error: operation failed due to a previous error during capture");
  note_graph("capture");
}

void CUDAGraph::replay() {
  check_device();
  const Guard guard(mutex);
  TORCH_CHECK(recording && !recording->work.empty(), "Called CUDAGraph::replay without a preceding successful capture.");
  const Stream stream = stream_of_thread(recording->stream.device());
  queue_of(stream).run_now();
  bool is_ordered_here = waits[key_of(stream)][key_of(recording->stream)] >= recording->number;
  for (const auto &[memory, block] : recording->others) {
    const auto found = blocks.find(memory);
    if (found != blocks.end() && found->second == block) is_ordered_here &= is_ordered(block, stream);
  }
  {
    const Kernel kernel;
    for (const auto &run : recording->work) run();
  }
  for (Recording *each : recordings)
    for (const auto &[memory, block] : each->own) {
      const auto found = blocks.find(memory);
      if (found == blocks.end() || found->second != block) continue;
      if (each != recording || !is_ordered_here) std::memset(memory, GARBAGE, block->bytes);
      block->writer = stream, block->number = queue_of(stream).last();
    }
  for (const auto &[to, from] : late) on_host(to).copy_(on_host(from));
  late.clear();
  note_graph("replay");
}

c10::MempoolId_t CUDAGraph::pool() { return id; }

}  // namespace at::cuda
