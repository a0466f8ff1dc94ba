"""FastAPI alone, for granian: its threads are all the concurrency there is, it has no batching."""

from typing import Annotated, Any

from fastapi import Body, FastAPI

from benchmarks.serving.alternatives.batching import MODEL
from benchmarks.serving.bare import answer, load

app = FastAPI()
predictor = load(MODEL)


@app.post("/predict")
def predict(picture: Annotated[bytes, Body(media_type="image/png")]) -> dict[str, Any]:
    """Answer one picture on a thread of the pool."""
    return {"instances": answer(predictor, [picture])[0]}
