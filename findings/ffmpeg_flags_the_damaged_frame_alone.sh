#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8): a damaged H.264 frame is decoded with its errors concealed and flagged (is_corrupt). The frames that
# are predicted from it are as wrong, and not flagged, up to the next key frame; no error is raised. OpenCV 5.0.0.93's
# VideoCapture returns all of them, and has no flag at all.
# Expected: what was decoded from damaged data can be told from what was not.
# Seen: 30 frames with a key frame in every ten, 2,000 bytes damaged in the middle: frame 10 is flagged; 10 to 19 differ from the
# undamaged video by 25 grey levels or more, and 0 to 9 and 20 to 29 by none.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" \
  av==18.1.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - 2>/dev/null <<'PY'
import av
import cv2
import numpy as np

noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
with av.open("whole.mp4", "w", options={"movflags": "faststart"}) as container:
    stream = container.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt, stream.gop_size = 96, 64, "yuv420p", 10
    for number in range(30):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(noise, number, 1), "rgb24")))
    container.mux(stream.encode(None))
data = bytearray(open("whole.mp4", "rb").read())
for place in range(len(data) // 2, len(data) // 2 + 2000):
    data[place] = (data[place] * 7 + 13) % 256
open("damaged.mp4", "wb").write(data)


def read(file):
    with av.open(file) as container:
        return [(frame.is_corrupt, frame.to_ndarray(format="rgb24").astype(int)) for frame in container.decode(video=0)]


whole, damaged = read("whole.mp4"), read("damaged.mp4")
wrong = [n for n, (a, b) in enumerate(zip(whole, damaged)) if np.abs(a[1] - b[1]).mean() > 20]
right = [n for n, (a, b) in enumerate(zip(whole, damaged)) if np.array_equal(a[1], b[1])]
flagged = [n for n, (is_corrupt, _) in enumerate(damaged) if is_corrupt]
capture, num_opencv = cv2.VideoCapture("damaged.mp4"), 0
while capture.read()[0]:
    num_opencv += 1
print("frames", len(damaged), "flagged", flagged, "wrong", wrong, "as before", right, "OpenCV gives", num_opencv)
assert flagged == [10] and wrong == [*range(10, 20)], "the behaviour has changed"
assert right == [*range(10), *range(20, 30)] and num_opencv == 30, "the behaviour has changed"
PY
