// A fake libcuda.so.1 with two GPUs. FAKE_CAPABILITY=75 is their compute capability without the point, FAKE_FREE_MIB their free memory.
#include <stdio.h>
#include <stdlib.h>

static int number(const char *name, int otherwise) {
  const char *text = getenv(name);
  return text ? atoi(text) : otherwise;
}

// Copies the state of the process to the file FAKE_STATUS.
int cuInit(unsigned flags) {
  const char *path = getenv("FAKE_STATUS");
  FILE *from = path ? fopen("/proc/self/status", "r") : 0, *to = from ? fopen(path, "w") : 0;
  for (int byte; to && (byte = fgetc(from)) != EOF;) fputc(byte, to);
  if (to) fclose(to);
  return number("FAKE_CUINIT", 0);
}
int cuDeviceGet(int *device, int ordinal) { return ordinal < 2 ? (*device = ordinal + 40, 0) : 101; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  const int capability = number("FAKE_CAPABILITY", 90);
  if (attribute == 75) return *value = capability / 10, 0;
  if (attribute == 76) return *value = capability % 10, 0;
  return 1;
}
int cuDeviceGetName(char *text, int length, int device) { return snprintf(text, length, "Fake GPU"), 0; }
int cuDeviceGetPCIBusId(char *text, int length, int device) { return snprintf(text, length, "0000:%02x:00.0", device), 0; }
// That of the MIG instance, if the device is one.
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
  for (int at = 0; at < 16; at++) uuid[at] = at < 8 ? 0x11 * (2 * at) + 1 : at == 8 ? 0x01 : at == 9 ? 0x23 : at == 15 ? device : 0;
  return 0;
}
int cuMemGetInfo_v2(size_t *available, size_t *total) {
  *total = 80ull << 30;
  return *available = (size_t)number("FAKE_FREE_MIB", 70000) << 20, 0;
}
