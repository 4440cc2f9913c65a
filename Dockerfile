# The base: any image with Python 3.11 or newer and pip.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
# Empty: the server, without PyTorch. `gpu`: the server with onnxruntime's CUDA provider. `train`: with PyTorch, to train.
ARG EXTRAS=""
# For `train` without CUDA: https://download.pytorch.org/whl/cpu
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
RUN python3 -m venv --without-pip /opt/tidegate
# What we depend on, before our code: it changes more rarely. Both distributions of onnxruntime own the same files,
# so for a GPU its own is laid over the other.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip="python3 -m pip --python /opt/tidegate/bin/python install --no-cache-dir --constraint constraints.txt"; \
    $pip ".${EXTRAS:+[${EXTRAS}]}" \
 && case ",${EXTRAS}," in *,gpu,*) $pip --force-reinstall --no-deps onnxruntime-gpu ;; esac
COPY app app
COPY model model
COPY training training
RUN python3 -m pip --python /opt/tidegate/bin/python install --no-cache-dir --force-reinstall --no-deps .

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="Tidegate" \
      org.opencontainers.image.description="Stateful GRU forecasts as a service" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 tidegate \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin tidegate \
 && install --directory --owner=10001 --group=10001 /data
COPY --from=build /opt/tidegate /opt/tidegate
COPY models /models
ENV PATH=/opt/tidegate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TIDEGATE_HOST=0.0.0.0 \
    TIDEGATE_PORT=8000 \
    TIDEGATE_MODELS=/models \
    TIDEGATE_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['TIDEGATE_PORT']), timeout=4); c.request('GET', '/health/ready'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["tidegate"]
CMD ["serve"]
