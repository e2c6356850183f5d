"""Samples utilisation, NVDEC utilisation, power and memory of a GPU with nvidia-smi."""

import subprocess
import threading

FIELDS = ("utilization.gpu", "utilization.decoder", "power.draw", "memory.used")
NAMES = ("gpu_percent", "nvdec_percent", "watts", "memory_mib")


def parse(line: str) -> list[float | None]:
    """Parses a line of nvidia-smi. Values that a card or an old driver does not report are None."""
    def number(word: str) -> float | None:
        try:
            return float(word)
        except ValueError:
            return None
    values = [number(word.strip()) for word in line.split(",")]
    return values if len(values) == len(FIELDS) else [None] * len(FIELDS)


class Sampler:
    """Samples twice a second inside a `with` block. Does nothing without a GPU."""

    def __init__(self, gpu: int | None):
        self.gpu, self.process = gpu, None
        self.samples: list[list[float | None]] = []

    def __enter__(self):
        if self.gpu is not None:
            command = ["nvidia-smi", f"--id={self.gpu}", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits", "-lms", "500"]
            try:
                self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            except FileNotFoundError: # some containers lack it
                return self
            self.reader = threading.Thread(target=lambda: self.samples.extend(map(parse, self.process.stdout)))
            self.reader.start()
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.reader.join()

    def means(self) -> dict:
        """The mean of each value over the whole time, including start-up, and the most memory; None if nothing was reported."""
        columns = zip(*self.samples) if self.samples else ((),) * len(NAMES)
        told = ([value for value in column if value is not None] for column in columns)
        figures = {name: sum(values) / len(values) if values else None for name, values in zip(NAMES, told)}
        return figures | {"memory_mib": max((sample[-1] for sample in self.samples if sample[-1] is not None), default=None)}
