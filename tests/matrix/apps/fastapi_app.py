"""A FastAPI application: `/call` logs a line and returns the headers that a second server saw."""

from __future__ import annotations

import logging
import os
from typing import Any

import httpx
from fastapi import FastAPI

app = FastAPI()
logging.basicConfig(level=logging.INFO)


@app.get("/call")
async def call() -> Any:
    """Call the second server."""
    logging.getLogger("shop").info("calling")
    async with httpx.AsyncClient() as client:
        return (await client.get(os.environ["ECHO_URL"])).json()
