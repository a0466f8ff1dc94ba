"""Bodies and answers as the documentation shows them: real ones, so that trying them out works."""

from __future__ import annotations

from typing import Any, Final

PICTURE: Final = (
    "UklGRs4DAABXRUJQVlA4IMIDAACQGwCdASqAAIAAPu10sFCpp6SqqRY6QVAdiWcA1hWOXNgUAYHXb79E6OtEdv912EAFpo1Jxhy6"
    "Z1mK6hGTay6aN540DYKcESD0A1HKwijaBM9MJrtttckXFvxlI/EsWS9yeRebOc+ybKtbjOsIUhhsodZS7ue+ts5P2XbpBv9ZMiQW"
    "cs7xV4Ezwx+wWpfVelTdV/vTDXQGDbNhjFx1uH0EPrxE619JSzpmE8HUTXkFvQnHxD2qShtHtpbWukNmq02W+mtzpQ3QFspJ1zt4"
    "Qj7Q9ZhssnpcHd4j/Bt1zHD4A6NYA6gAAP7oyyDijX9Dif3bix7PymxBYmhuoHMCde7k4FE+BromE2+vqqb1AssSA5QPtL7d528R"
    "s61Nj8vk1RyZABu/Yht8teIJ0NVJ6/aYugNsI8+61Xjpf977l4st3vZFXUHoKLst8Z0pwh0HtHwI8LI3a7NPd4b736eselVpfV1e"
    "E8wYODiQ8xj29Vv8E5G3/45CsbSflC22+iIH0fcp7GWK6wzlU3IJmdgBLlZ+jtiQ4iasRa1yY/3vejw0ZZGw23Y6/6nJofcmj68n"
    "1KYitqBTUQ1B9gQzWcNjvJm0b772/gMz73zb6nVQuJDfleQOnh3L+kUhquaQLvHeqH3J6+tQTu0tZC/u++Z70GtP4xeD53JvN3ty"
    "308G4tF9PEnHC0sTKNkdhY9IcP7/OCzSI0CUIpJ1VSosWbYAGsNN5PtKD5uhGevth3yHMyPzBG5XTf9LwgR6niUU20QVUgXgeyjR"
    "NoLCEjmj21qM9kzMAj0I2UTqsEyG6lBA5gQ426FsaDmpDaXhtxJzc26PAhrNbtkwZKEpQChojPPaqCbVuT+XWxyKlxwoUCYXVDfZ"
    "gbDspiCD6R6ipWHokC+13+ZWixnRRyDJxsMcO9AOyGWRmzJzvfs7z84QRVinz9SlQ0+Fdk6bhO/cg1Nj8lHnjJVbxV+iGaAPlnyK"
    "Xx8aho6xLerxOeaP0phCVSTvxI5j83h9xJPWK+6eSZIQTG3fd1l/9S/k8R92nl7Ly72toQPC5dTbWUNgqwxUn9ofS1hVSbeaIp+c"
    "jp+g/5AZu3PW3/ef/LINNeRjY1oWKqT1OLkEUdGlmaeLxb7e82J7rjeC+0/xHn9ibap3yO+33xi/GdVGs7b9Lln5/hfDpv7qEKZH"
    "+Uyix2TABDDoSZx02YGT8SLet/sYonI6R0GR3NoZu295ijdpxT82tD2awNWlbSlcTPXt/z2PIrfJsUAnpQzoSGst0WMNzHlf2yTh"
    "ay/EfwQAAA=="
)
"""A picture of parts on a belt (128 px, WebP) in base64."""

_FILE: Final[dict[str, Any]] = {"type": "string", "format": "binary"}
_BYTES: Final[dict[str, Any]] = {"schema": _FILE}
_MEDIA_TYPES: Final = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/bmp",
    "image/tiff",
    "image/heic",
    "application/dicom",
    "application/octet-stream",
)


def _form(field: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "object", "required": [field], "properties": {field: content}}}


ONE_PICTURE_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            **dict.fromkeys(_MEDIA_TYPES, _BYTES),
            "multipart/form-data": _form("picture", _FILE),
            "application/json": {
                **_form("picture", {"type": "string", "format": "byte"}),
                "example": {"picture": PICTURE},
            },
        },
    }
}
MANY_PICTURES_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": _form("pictures", {"type": "array", "items": _FILE})},
    }
}
OVERLAY_ANSWER: Final[dict[str, Any]] = {
    "description": "The picture, drawn on.",
    "content": {"image/png": _BYTES},
    "headers": {
        "X-Model-Version": {"description": "Which model answered.", "schema": {"type": "string"}},
        "X-Blessing-Id": {"description": "What let it serve.", "schema": {"type": "string"}},
    },
}
