"""Forecasts of series of which nothing is kept."""

from __future__ import annotations

from app import answers, requests
from app.endpoint import Call, Endpoint, Reply
from app.errors import InvalidRequest, ModelNotFound, Overloaded, TooLarge
from app.replies import ForecastsReply
from app.schemas import ForecastRequest
from app.times import format_time


async def forecast(call: Call) -> Reply:
    asked = await call.body(ForecastRequest)
    reply = await call.ask(requests.to_forecast(asked))
    return Reply(answers.forecasts(reply, [one.id for one in asked.series], format_time))


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/forecast",
        forecast,
        "Forecast series of any lengths; nothing is kept",
        "forecast",
        body=ForecastRequest,
        replies={200: ForecastsReply},
        refusals=(ModelNotFound, TooLarge, InvalidRequest, Overloaded),
    ),
)
