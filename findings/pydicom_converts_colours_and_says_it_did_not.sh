#!/usr/bin/env bash
# pydicom 3.0.2: pixel_array turns YBR_FULL into RGB by itself (2.4 did not), but the data set goes on saying YBR_FULL. The usual
# next line, convert_color_space(ds.pixel_array, ds.PhotometricInterpretation, "RGB"), therefore converts twice and gives other
# colours; nothing is raised or warned.
# Expected: pixels and PhotometricInterpretation agree, or the conversion is left to the call that asks for it.
# Seen: a stored (100, 90, 240) is RGB (255, 33, 33); pixel_array is that with 3.0.2, and the usual line makes it (122, 255, 87);
# with 2.4.4 pixel_array is (100, 90, 240) and the same line gives (255, 33, 33).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
cat > "$work/colour.py" <<'PY'
import io

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.pixel_data_handlers.util import convert_color_space
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

meta = FileMetaDataset()
meta.TransferSyntaxUID = ExplicitVRLittleEndian
meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
meta.MediaStorageSOPInstanceUID = generate_uid()
made = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
made.Rows, made.Columns, made.SamplesPerPixel, made.PlanarConfiguration = 2, 2, 3, 0
made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
made.PhotometricInterpretation = "YBR_FULL"
made.PixelData = bytes([100, 90, 240] * 4)
made.is_little_endian, made.is_implicit_VR = True, False
file = io.BytesIO()
made.save_as(file)
file.seek(0)
read = pydicom.dcmread(file)
pixels = read.pixel_array
twice = convert_color_space(pixels, read.PhotometricInterpretation, "RGB")
once = convert_color_space(np.full((2, 2, 3), [100, 90, 240], np.uint8), "YBR_FULL", "RGB")
seen = [array[0, 0].tolist() for array in (pixels, twice, once)]
print(f"pydicom {pydicom.__version__}: says {read.PhotometricInterpretation}, pixel_array {seen[0]}, the usual line {seen[1]}")
assert read.PhotometricInterpretation == "YBR_FULL", "the behaviour has changed"
if pydicom.__version__.startswith("2."):
    assert seen[0] == [100, 90, 240] and seen[1] == seen[2], "the behaviour has changed"
else:
    assert seen[0] == seen[2] != seen[1], "the behaviour has changed"
PY
for versions in "pydicom==2.4.4 numpy==1.26.4" "pydicom==3.0.2 numpy==2.4.6"; do
  "$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" $versions
  "$work/venv/bin/python" -W ignore "$work/colour.py"
done
