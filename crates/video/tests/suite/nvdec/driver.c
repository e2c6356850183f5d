// A fake driver: the functions of libcuda and libnvcuvid that FFmpeg calls, with one GPU whose memory is the host's. Its decoder does
// not decode. It fills a picture from the bytes of its slices, so that a test can compute the expected result.
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default")))
#define NO 801 // CUDA_ERROR_NOT_SUPPORTED

// Counters that tests read. Each library has its own.
API int created, alive, mapped, most_mapped, refuse;
API int primary, others, depth, streams, pinned;
// How many further calls succeed before one fails for lack of memory; negative: all of them.
API int calls_left = -1;
API const void *context_seen, *stream_seen;

// The contexts that are current on this thread.
static __thread int current;
static int fails(void) { return __atomic_load_n(&calls_left, __ATOMIC_SEQ_CST) >= 0 && __atomic_sub_fetch(&calls_left, 1, __ATOMIC_SEQ_CST) == -1; }
#define OUT_OF_MEMORY 2
#define INVALID_CONTEXT 201
// Calls that need a current context and may fail.
#define NEEDS_CONTEXT if (!current) return INVALID_CONTEXT; if (fails()) return OUT_OF_MEMORY;

static int primary_context, other_context;

API int cuInit(unsigned flags) { return flags; }
API int cuDeviceGetCount(int *count) { return *count = 1, 0; }
API int cuDeviceGet(int *device, int ordinal) { return ordinal ? 101 : (*device = 40, 0); }
// The only one that FFmpeg asks for: to how many bytes rows are aligned.
API int cuDeviceGetAttribute(int *value, int which, int device) { return *value = 256, 0; }
API int cuDeviceGetName(char *name, int size, int device) { return strncpy(name, "made up", size), 0; }
API int cuDeviceGetUuid(char *uuid, int device) { return memset(uuid, 7, 16), 0; }
API int cuDeviceComputeCapability(int *major, int *minor, int device) { return *major = 9, *minor = 0, 0; }
API int cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = (size_t)1 << 34, 0; }
API int cuCtxCreate_v2(void **context, unsigned flags, int device) { return others++, depth++, *context = &other_context, 0; }
API int cuCtxDestroy_v2(void *context) { return others--, 0; }
API int cuCtxSetLimit(int limit, size_t value) { return 0; }
API int cuCtxGetDevice(int *device) { return *device = 40, 0; }
API int cuCtxPushCurrent_v2(void *context) {
  context_seen = context;
  current++;
  __atomic_add_fetch(&depth, 1, __ATOMIC_SEQ_CST);
  return 0;
}
API int cuCtxPopCurrent_v2(void **context) { return current--, __atomic_sub_fetch(&depth, 1, __ATOMIC_SEQ_CST), 0; }
API int cuDevicePrimaryCtxRetain(void **context, int device) {
  __atomic_add_fetch(&primary, 1, __ATOMIC_SEQ_CST);
  return *context = &primary_context, 0;
}
API int cuDevicePrimaryCtxRelease(int device) { return __atomic_sub_fetch(&primary, 1, __ATOMIC_SEQ_CST), 0; }
API int cuDevicePrimaryCtxRelease_v2(int device) { return cuDevicePrimaryCtxRelease(device); }
API int cuDevicePrimaryCtxSetFlags(int device, unsigned flags) { return 0; }
API int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { return *flags = 4, *active = 1, 0; }
API int cuDevicePrimaryCtxReset(int device) { return 0; }
API int cuMemAlloc_v2(void **memory, size_t bytes) {
  NEEDS_CONTEXT
  return (*memory = malloc(bytes)) ? 0 : OUT_OF_MEMORY;
}
API int cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) {
  NEEDS_CONTEXT
  __atomic_add_fetch(&pinned, 1, __ATOMIC_SEQ_CST);
  return (*memory = malloc(bytes)) ? 0 : OUT_OF_MEMORY;
}
API int cuMemFreeHost(void *memory) {
  if (!current) return INVALID_CONTEXT;
  __atomic_sub_fetch(&pinned, 1, __ATOMIC_SEQ_CST);
  return free(memory), 0;
}
API int cuMemAllocPitch_v2(void **memory, size_t *pitch, size_t width, size_t height, unsigned element) {
  *pitch = (width + 255) / 256 * 256;
  return cuMemAlloc_v2(memory, *pitch * height);
}
API int cuMemFree_v2(void *memory) { return free(memory), 0; }
API int cuMemsetD8Async(void *memory, unsigned char value, size_t bytes, void *stream) { return memset(memory, value, bytes), 0; }

typedef struct {
  size_t x, y;
  int kind; // 1: the host's, 2: the GPU's.
  void *host, *device, *array;
  size_t pitch;
} Side;
typedef struct {
  Side from, to;
  size_t width, height;
} Copy;

static void run(const Copy *copy) {
  const char *from = copy->from.kind == 1 ? copy->from.host : copy->from.device;
  char *to = copy->to.kind == 1 ? copy->to.host : copy->to.device;
  for (size_t row = 0; row < copy->height; row++)
    memcpy(to + (copy->to.y + row) * copy->to.pitch + copy->to.x, from + (copy->from.y + row) * copy->from.pitch + copy->from.x,
           copy->width);
}

// A stream runs its copies when it is synchronised, so that a missing wait gives wrong pictures.
typedef struct {
  Copy copies[8];
  unsigned count;
} Stream;

API int cuStreamCreate(void **stream, unsigned flags) {
  NEEDS_CONTEXT
  __atomic_add_fetch(&streams, 1, __ATOMIC_SEQ_CST);
  return *stream = calloc(1, sizeof(Stream)), 0;
}
API int cuStreamDestroy_v2(void *stream) {
  if (!current) return INVALID_CONTEXT;
  __atomic_sub_fetch(&streams, 1, __ATOMIC_SEQ_CST);
  return free(stream), 0;
}
API int cuMemcpy2DAsync_v2(const Copy *copy, void *stream) {
  NEEDS_CONTEXT
  Stream *queue = stream;
  stream_seen = stream;
  if (!queue || queue->count == 8) return 1;
  queue->copies[queue->count++] = *copy;
  return 0;
}
API int cuMemcpy2D_v2(const Copy *copy) { return NO; }
API int cuStreamSynchronize(void *stream) {
  NEEDS_CONTEXT
  Stream *queue = stream;
  for (unsigned at = 0; at < queue->count; at++) run(&queue->copies[at]);
  return queue->count = 0, 0;
}
API int cuStreamQuery(void *stream) { return 0; }
API int cuGetErrorName(int code, const char **name) { return *name = "made up", 0; }
API int cuGetErrorString(int code, const char **text) { return *text = "made up", 0; }

// Functions that FFmpeg must find but never calls here.
#define NEVER(name) API int name(void) { return NO; }
NEVER(cuArray3DCreate_v2) NEVER(cuArrayDestroy) NEVER(cuDestroyExternalMemory) NEVER(cuDestroyExternalSemaphore)
NEVER(cuEGLStreamConsumerDisconnect) NEVER(cuEGLStreamProducerConnect) NEVER(cuEGLStreamProducerDisconnect)
NEVER(cuEGLStreamProducerPresentFrame) NEVER(cuEGLStreamProducerReturnFrame) NEVER(cuEventCreate) NEVER(cuEventDestroy_v2)
NEVER(cuEventQuery) NEVER(cuEventRecord) NEVER(cuEventSynchronize) NEVER(cuExternalMemoryGetMappedBuffer)
NEVER(cuExternalMemoryGetMappedMipmappedArray) NEVER(cuGLGetDevices_v2) NEVER(cuGraphicsGLRegisterImage)
NEVER(cuGraphicsMapResources) NEVER(cuGraphicsResourceGetMappedPointer_v2) NEVER(cuGraphicsSubResourceGetMappedArray)
NEVER(cuGraphicsUnmapResources) NEVER(cuGraphicsUnregisterResource) NEVER(cuImportExternalMemory)
NEVER(cuImportExternalSemaphore) NEVER(cuLaunchKernel) NEVER(cuLinkAddData) NEVER(cuLinkComplete) NEVER(cuLinkCreate)
NEVER(cuLinkDestroy) NEVER(cuMemAllocManaged) NEVER(cuMemcpy) NEVER(cuMemcpyAsync) NEVER(cuMemcpyDtoDAsync_v2)
NEVER(cuMemcpyDtoD_v2) NEVER(cuMemcpyDtoHAsync_v2) NEVER(cuMemcpyDtoH_v2) NEVER(cuMemcpyHtoDAsync_v2) NEVER(cuMemcpyHtoD_v2)
NEVER(cuMipmappedArrayDestroy) NEVER(cuMipmappedArrayGetLevel) NEVER(cuModuleGetFunction) NEVER(cuModuleGetGlobal)
NEVER(cuModuleLoadData) NEVER(cuModuleUnload) NEVER(cuSignalExternalSemaphoresAsync) NEVER(cuStreamAddCallback)
NEVER(cuStreamWaitEvent) NEVER(cuTexObjectCreate) NEVER(cuTexObjectDestroy)
NEVER(cuWaitExternalSemaphoresAsync) NEVER(cuCtxGetCurrent) NEVER(cuCtxGetLimit) NEVER(cuCtxSetCurrent)
NEVER(cuvidCreateVideoParser) NEVER(cuvidCreateVideoSource) NEVER(cuvidCreateVideoSourceW) NEVER(cuvidCtxLock)
NEVER(cuvidCtxLockCreate) NEVER(cuvidCtxLockDestroy) NEVER(cuvidCtxUnlock) NEVER(cuvidDestroyVideoParser)
NEVER(cuvidDestroyVideoSource) NEVER(cuvidGetDecodeStatus) NEVER(cuvidGetSourceAudioFormat) NEVER(cuvidGetSourceVideoFormat)
NEVER(cuvidGetVideoSourceState) NEVER(cuvidParseVideoData) NEVER(cuvidReconfigureDecoder) NEVER(cuvidSetVideoSourceState)

typedef struct {
  int codec, chroma;
  unsigned depth, reserved[3];
  unsigned char supported, decoders;
  unsigned short formats;
  unsigned max_width, max_height, max_blocks;
  unsigned short min_width, min_height;
} Caps;

API int cuvidGetDecoderCaps(Caps *caps) {
  caps->supported = 1, caps->formats = 1;
  caps->max_width = caps->max_height = 8192, caps->max_blocks = 8192 * 8192 / 256;
  caps->min_width = caps->min_height = 16;
  return 0;
}

typedef struct {
  unsigned long width, height, surfaces;
  int codec, chroma;
  unsigned long flags, depth, intra, max_width, max_height, reserved;
  short area[4];
  int format, deinterlace;
  unsigned long target_width, target_height, outputs;
} Create;

typedef struct {
  unsigned long width, height, surfaces;
  unsigned long long seeds[64];
} Decoder;

API int cuvidCreateDecoder(Decoder **decoder, const Create *create) {
  if (fails()) return OUT_OF_MEMORY;
  if (refuse || create->format != 0 || create->surfaces > 64) return NO;
  *decoder = calloc(1, sizeof(Decoder));
  (*decoder)->width = create->target_width, (*decoder)->height = create->target_height;
  (*decoder)->surfaces = create->surfaces;
  __atomic_add_fetch(&created, 1, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&alive, 1, __ATOMIC_SEQ_CST);
  return 0;
}

API int cuvidDestroyDecoder(Decoder *decoder) {
  __atomic_sub_fetch(&alive, 1, __ATOMIC_SEQ_CST);
  return free(decoder), 0;
}

typedef struct {
  int blocks[2], index, field, bottom, second;
  unsigned bytes;
  const unsigned char *bits;
} Picture;

API int cuvidDecodePicture(Decoder *decoder, const Picture *picture) {
  if (fails()) return OUT_OF_MEMORY;
  if (picture->index < 0 || (unsigned long)picture->index >= decoder->surfaces) return 1;
  unsigned long long seed = 14695981039346656037ull;
  for (unsigned at = 0; at < picture->bytes; at++) seed = (seed ^ picture->bits[at]) * 1099511628211ull;
  decoder->seeds[picture->index] = seed;
  return 0;
}

typedef struct {
  int progressive, second, top_first, unpaired;
  unsigned reserved[2];
  unsigned long long in;
  unsigned in_pitch, in_format;
  unsigned long long out;
  unsigned out_pitch, reserved1;
  void *stream;
} Process;

API int cuvidMapVideoFrame64(Decoder *decoder, int index, void **picture, unsigned *pitch, const Process *process) {
  if (fails()) return OUT_OF_MEMORY;
  unsigned long long seed = decoder->seeds[index];
  *pitch = (decoder->width + 255) / 256 * 256;
  unsigned char *to = malloc((size_t)*pitch * decoder->height * 3 / 2);
  if (!to) return 2;
  *picture = to;
  stream_seen = process->stream;
  for (unsigned plane = 0; plane < 2; plane++)
    for (unsigned long y = 0; y < decoder->height >> plane; y++, to += *pitch)
      for (unsigned x = 0; x < *pitch; x++)
        to[x] = (unsigned char)(seed >> (x + y * 3 + plane) % 8 * 8) ^ (unsigned char)(x * 31 + y * 17);
  int now = __atomic_add_fetch(&mapped, 1, __ATOMIC_SEQ_CST);
  if (now > most_mapped) most_mapped = now;
  return 0;
}

// The decoder reuses the memory of a picture, so its pixels change.
API int cuvidUnmapVideoFrame64(Decoder *decoder, void *picture) {
  memset(picture, 0xa5, (decoder->width + 255) / 256 * 256 * decoder->height * 3 / 2);
  __atomic_sub_fetch(&mapped, 1, __ATOMIC_SEQ_CST);
  return free(picture), 0;
}
