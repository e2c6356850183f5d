// A made-up libnvidia-ml of four cards: one that tells everything, one that does not know some of it, one that has fallen off the
// bus, and one that cannot be asked at all. The second is divided into two MIG instances. Types as in NVIDIA's own header.
#include <stdio.h>
#include <string.h>

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NOT_LOADED = 9, LOST = 15 };
typedef struct { long number; } *Device;
static struct { long number; } cards[5] = {{0}, {1}, {2}, {3}, {4}};

int gone, begun;

int nvmlInit_v2(void) { return gone ? NOT_LOADED : (begun++, OK); }
int nvmlShutdown(void) { return OK; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { return strncpy(text, "580.65.06", size), OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { return gone ? NOT_LOADED : (*count = 4, OK); }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
  if (index > 2) return LOST;
  *device = (Device)&cards[index];
  return OK;
}

static int answer(Device device, int rare) { return device->number == 2 ? LOST : device->number == 1 && rare ? NOT_SUPPORTED : OK; }

typedef struct { unsigned version; unsigned long long total, reserved, available, used; } Memory;
int nvmlDeviceGetMemoryInfo_v2(Device device, Memory *memory) {
  if (memory->version != (sizeof(Memory) | 2 << 24)) return 25;
  memory->total = (device->number > 2 ? 10ull : 80ull) << 30, memory->used = (7ull << 30) + device->number;
  return answer(device, 0);
}
typedef struct { unsigned gpu, memory; } Rates;
int nvmlDeviceGetUtilizationRates(Device device, Rates *rates) { return rates->gpu = 97, rates->memory = 5, answer(device, 0); }
int nvmlDeviceGetDecoderUtilization(Device device, unsigned *percent, unsigned *period) {
  return *percent = 41, *period = 20000, answer(device, 1);
}
int nvmlDeviceGetTemperature(Device device, int sensor, unsigned *degrees) { return *degrees = 63, sensor ? 2 : answer(device, 0); }
int nvmlDeviceGetPowerUsage(Device device, unsigned *milliwatts) { return *milliwatts = 412500, answer(device, 1); }
int nvmlDeviceGetUUID(Device device, char *text, unsigned size) {
  if (device->number > 2) snprintf(text, size, "MIG-01234567-89ab-cdef-0123-00000000000%ld", device->number);
  else strncpy(text, "GPU-0000-made-up", size);
  return answer(device, 0);
}
// Instances keep their numbers when others are removed.
int nvmlDeviceGetMaxMigDeviceCount(Device device, unsigned *count) { return *count = device->number == 1 ? 7 : 0, OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(Device device, unsigned index, Device *instance) {
  if (device->number != 1 || (index != 0 && index != 4)) return NOT_FOUND;
  *instance = (Device)&cards[index == 0 ? 3 : 4];
  return OK;
}
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char text[32]; } Address;
int nvmlDeviceGetPciInfo_v3(Device device, Address *address) {
  return address->domain = 0, address->bus = 0x3b + device->number, address->device = 0, answer(device, 0);
}
typedef struct { unsigned pid; unsigned long long memory; unsigned instance, part; } Process;
int nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, Process *processes) {
  unsigned room = *count;
  if (answer(device, 1)) return answer(device, 1);
  *count = 2;
  if (room < 2) return TOO_SMALL;
  processes[0].pid = 4711 + 2 * device->number, processes[1].pid = 4712 + 2 * device->number;
  return OK;
}
