"""A small shop with customers, so that there is something to see."""

import logging
import random
from collections.abc import Callable, Coroutine

import anyio
import httpx
from anyio.lowlevel import checkpoint
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

_CALM, _RUSH = 12.0, 90.0
"""Requests per second, most of the time and in a rush."""

_PRODUCTS = 40
_OUT_OF_BOXES = 13

logger = logging.getLogger("shop")


class Order(BaseModel):
    product: int
    amount: int


def shop_app(seed: int = 7) -> FastAPI:
    """Return an application with quick, slow, missing and failing routes."""
    app = FastAPI(title="Demo shop", docs_url=None, redoc_url=None)
    chance = random.Random(seed)
    _keep_quiet()

    @app.get("/")
    async def home() -> dict[str, str]:
        return {"shop": "open"}

    @app.get("/products/{product}")
    async def product(product: int) -> dict[str, object]:
        await anyio.sleep(chance.lognormvariate(-5.2, 0.5))
        if product >= _PRODUCTS:
            raise HTTPException(404, "no such product")
        return {"product": product, "price": 5 + product, "text": "useful " * (product + 1)}

    @app.get("/search")
    async def search(q: str) -> dict[str, object]:
        await anyio.sleep(chance.lognormvariate(-3.6, 0.6))
        return {"q": q, "found": [n for n in range(_PRODUCTS) if n % (len(q) + 1) == 0]}

    @app.post("/orders", status_code=201)
    async def order(order: Order) -> dict[str, object]:
        await anyio.sleep(chance.lognormvariate(-4.2, 0.4))
        logger.info("order of %d of product %d", order.amount, order.product)
        if order.amount > 8:
            logger.warning("product %d: only %d in stock", order.product, order.amount - 1)
            raise HTTPException(409, "not that many in stock")
        boxes = _per_box(order)
        return {"order": chance.randrange(10**6), "product": order.product, "boxes": boxes}

    @app.get("/exports/{year}")
    async def export(year: int) -> dict[str, object]:
        logger.info("exporting %d", year)
        await anyio.sleep(chance.uniform(4, 12))
        return {"year": year, "orders": chance.randrange(10**5)}

    @app.get("/reports/{month}")
    async def report(month: str) -> dict[str, object]:
        await anyio.sleep(chance.uniform(0.1, 0.4))
        if chance.random() < 0.4:
            raise HTTPException(503, "the report database is away")
        return {"month": month, "sold": chance.randrange(1000)}

    return app


def _per_box(order: Order) -> float:
    sizes = {_OUT_OF_BOXES: 0}
    return order.amount / sizes.get(order.product, 4)  # product 13 is why this shop has an error to show


def _keep_quiet() -> None:
    """The shop's lines are for the panel, and its failures are on purpose: neither belongs on the terminal."""
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: not record.getMessage().startswith("Exception in ASGI application")
    )


def customers(address: str, seed: int = 11) -> Callable[[], Coroutine[object, object, None]]:
    """Return a task that sends the shop requests over HTTP until it is cancelled."""
    chance = random.Random(seed)

    async def shop() -> None:
        headers = {"user-agent": "demo-customer/1"}
        async with httpx.AsyncClient(base_url=address, headers=headers) as client, anyio.create_task_group() as tasks:
            rush = False
            while True:
                if chance.random() < (0.006 if rush else 0.004):
                    rush = not rush
                tasks.start_soon(_send, client, chance)
                await anyio.sleep(chance.expovariate(_RUSH if rush else _CALM))

    return shop


async def _send(client: httpx.AsyncClient, chance: random.Random) -> None:
    token = {"authorization": f"Bearer demo-{chance.randrange(10**9)}"}
    kind = chance.random()
    try:
        if kind < 0.45:
            await client.get(f"/products/{chance.randrange(_PRODUCTS + 3)}")
        elif kind < 0.65:
            await client.get("/search", params={"q": chance.choice(["lamp", "desk", "tea", "wool socks"])})
        elif kind < 0.85:
            await client.post(
                "/orders", json={"product": chance.randrange(40), "amount": chance.randrange(10)}, headers=token
            )
        elif kind < 0.93:
            await client.get("/")
        elif kind < 0.96:
            await client.post("/orders", json={"product": "lamp"}, headers=token)
        elif kind < 0.965:
            await client.get(f"/exports/{chance.randrange(2020, 2027)}", timeout=30)
        else:
            await client.get(f"/reports/2026-{chance.randrange(1, 13):02}")
    except httpx.HTTPError:
        await checkpoint()  # the server is going down; the next customer finds out for themselves
