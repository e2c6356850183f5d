#!/usr/bin/env python3
"""Generates the videos of a prepared folder: carried.py PROBE FOLDER."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))

from bench import CARRIED, SHORT
from programs import make_videos

for wanted in (SHORT, CARRIED):
    make_videos(Path(sys.argv[1]), Path(sys.argv[2]), wanted)
