"""The results of the GPU check as Markdown tables."""


def figure(value, text: str = "{:.0f}") -> str:
    return "n/a" if value is None else text.format(value)


def report(found: dict) -> str:
    clips, decode = found["clips"], found["decode"]
    peer = next((row["videos_per_s"] for row in found["rows"] if not row["decoders"]), None)
    lines = [f"{found['card'] or found['device']}; {found['processor']}, {found['cores']} cores; Linux {found['kernel']}; {clips} clips per video."]
    if found["quick"]:
        lines.append("Quick: few and short videos, **the figures are meaningless**.")
    lines += ["", "| | videos/s | clips/s | × MMAction2 | of the decoder's limit | of the roofline | by NVDEC | GPU, % | NVDEC, % "
              "| GPU memory, MiB | W | J per video |", "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in found["rows"]:
        speed = row["videos_per_s"]
        measured = all(name in decode for name in row["decoders"])
        limit = sum(decode[name]["videos_per_s"] for name in row["decoders"]) if measured else None
        roof = row["roofline_videos_per_s"]
        energy = None if row["watts"] is None else row["watts"] / speed
        cells = [row["label"], f"{speed:.3f}", f"{speed * clips:.1f}", figure(peer and speed / peer, "{:.2f}"),
                 figure(limit and 100 * speed / limit or None, "{:.0f} %"), figure(roof and 100 * speed / roof, "{:.0f} %"), f"{row['by_nvdec']} of {row['videos']}", figure(row["gpu_percent"]),
                 figure(row["nvdec_percent"]), figure(row["memory_mib"]), figure(row["watts"]), figure(energy, "{:.1f}")]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| the network fed from memory | clips/s | TFLOP/s | matrix peak, TFLOP/s | share |", "|---|---|---|---|---|"]
    for precision, fed in found["fed"].items():
        lines.append(f"| {precision} | {fed['clips_per_s']:.2f} | {fed['tflops']:.3g} | {fed['peak_tflops']:.3g} | {100 * fed['share']:.0f} % |")
    lines += ["", "| decoding alone | videos/s | NVDEC, % |", "|---|---|---|"]
    for name, alone in decode.items():
        lines.append(f"| {name} | {alone['videos_per_s']:.2f} | {figure(alone['nvdec_percent'])} |")
    return "\n" + "\n".join(lines) + "\n"
