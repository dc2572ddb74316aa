# The service in a container: docker build -t nssr . && docker run -p 127.0.0.1:8000:8000 -v nssr-data:/data nssr
FROM python:3.11-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Torch for the CPU; its GPU build is several gigabytes that a service without a GPU does not use.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/nssr \
    && /opt/nssr/bin/pip install --no-cache-dir -c constraints.txt --extra-index-url "$TORCH_INDEX" '.[server]'

FROM python:3.11-slim
COPY --from=build /opt/nssr /opt/nssr
RUN useradd --system --home-dir /data --create-home nssr
USER nssr
VOLUME /data
EXPOSE 8000
# Inside a container loopback is the container's own, so the service listens at all its addresses, behind the token.
ENTRYPOINT ["/opt/nssr/bin/nssr", "serve", "--host", "0.0.0.0", "--data-dir", "/data"]
HEALTHCHECK --start-period=30s CMD ["/opt/nssr/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
