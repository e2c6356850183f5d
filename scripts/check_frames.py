"""Compares reeldeck's frames with results of the original: check_frames.py PROBE GOLDEN (a folder with videos/ and frames/).

Prints one line per video: number of frames, indices, whole pictures against the sequential decode, cropped clips against the
original's (if the original served the right frames), and the two saved clips byte by byte.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path


def saved_clips(path: Path) -> bytes:
    """The bytes of an .npy file's array."""
    data = path.read_bytes()
    return data[10 + int.from_bytes(data[8:10], "little"):]


def main(probe: str, golden: Path) -> int:
    failed = 0
    for figures in sorted((golden / "frames").glob("*.json")):
        expected = json.loads(figures.read_text())
        video = golden / "videos" / expected["file"]
        with tempfile.NamedTemporaryFile() as raw:
            command = [probe, "frames", str(video), "--pictures", "--clips", "0,50", "--raw", raw.name]
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode:
                print(f"{expected['file']:<40} {run.stderr.strip()}")
                failed += 1
                continue
            got = json.loads(run.stdout)
            plain = json.loads(subprocess.run([probe, "frames", str(video), "--plain"], capture_output=True).stdout)
            clips = Path(raw.name).read_bytes()
        pictures = got["picture_md5"]
        same_length = got["frames"]["output"] == expected["total_frames"]
        wrong = set(expected["frames_where_decord_get_batch_differs_from_sequential"])
        clip_indices = [expected["frame_inds"][i:i + 8] for i in range(0, 800, 8)]
        true_clips = [i for i, indices in enumerate(clip_indices) if not wrong.intersection(indices)]
        edited = expected["first_last_pts_s"][0][0] < 0 and wrong  # an edit list: the original counts discarded packets too
        if edited:
            pictures += [None] * (expected["total_frames"] - len(pictures))
        saved = golden / "tensors" / (figures.name.removesuffix(".json") + ".npy")
        checks = {
            "frames": same_length or edited,
            "indices": got["indices"] == expected["frame_inds"] or edited,
            "pictures": all(a in (b, None) for a, b in zip(pictures, expected["sequential_rgb_md5"], strict=True)),
            "clips": edited or all(got["clip_md5"][i] == expected["clip_md5"][i] for i in true_clips),
            "plain=fast": plain["clip_md5"] == got["clip_md5"],
        }
        if saved.exists():
            checks["tensor"] = clips == saved_clips(saved)
        words = " ".join(f"{name}:{'ok' if good else 'DIFFERS'}" for name, good in checks.items())
        note = f"(the original serves {len(wrong)} wrong frames here; {len(true_clips)} clips compared)" if wrong else ""
        note = "(edit list: by our own rule; clips not compared)" if edited else note
        print(f"{expected['file']:<40} N={got['frames']['output']:<4} {got['pass']} skipped={got['skipped']:<4} {words} {note}")
        failed += not all(checks.values())
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
