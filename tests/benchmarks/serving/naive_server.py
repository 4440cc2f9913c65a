"""What people write first: FastAPI, a torch GRU, a dict of hidden states, one step per request. Nothing is kept on disk.

python -m tests.benchmarks.serving.naive_server PORT
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel
from torch import nn

UNITS, HORIZON, LEVELS = 64, 24, ("0.1", "0.5", "0.9")
app = FastAPI()
gru = nn.GRU(1, UNITS, batch_first=True)
head = nn.Linear(UNITS, HORIZON * len(LEVELS))
hidden_of: dict[str, torch.Tensor] = {}


class Step(BaseModel):
    """One observation of one session."""

    ref: int
    session: str
    value: float


@torch.inference_mode()
def advance(step: Step) -> dict[str, Any]:
    hidden = hidden_of.get(step.session)
    output, hidden_of[step.session] = gru(torch.tensor([[[step.value]]]), hidden)
    quantiles = head(output[0, 0]).reshape(len(LEVELS), HORIZON).tolist()
    return {"ref": step.ref, "session": step.session, "forecast": dict(zip(LEVELS, quantiles, strict=True))}


@app.post("/step")
async def post(step: Step) -> dict[str, Any]:
    return advance(step)


@app.websocket("/stream")
async def stream(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_json(advance(Step(**await socket.receive_json())))
    except WebSocketDisconnect:
        return


if __name__ == "__main__":
    torch.set_num_threads(1)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
