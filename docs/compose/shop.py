"""The application of docker-compose.yml. All that Reqscope needs of it is the last line."""

from fastapi import FastAPI, HTTPException

from reqscope.service import Monitor

app = FastAPI()
_STOCK = 1_000


@app.get("/items/{item}")
async def item(item: int) -> dict[str, int]:
    """Return one of the items there are."""
    if item >= _STOCK:
        raise HTTPException(404, "there is no such item")
    return {"item": item}


Monitor(app)
