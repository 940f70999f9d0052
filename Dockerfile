# syntax=docker/dockerfile:1
# To pin: --build-arg PYTHON_IMAGE=python:3.12-slim-bookworm@sha256:… (docker buildx imagetools inspect tells the digest).
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY deploy/constraints.txt pyproject.toml README.md ./
COPY lua lua
COPY proxy proxy
# Dependencies as they were tested, from wheels alone: nothing is compiled, here or later. No pip comes along.
RUN python -m venv --without-pip /opt/sluicegate
RUN pip --python /opt/sluicegate/bin/python install --no-cache-dir --only-binary :all: -c constraints.txt '.[otlp,postgres]'

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/sluicegate --create-home sluicegate
COPY --from=build /opt/sluicegate /opt/sluicegate
ENV PATH=/opt/sluicegate/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 STATE_DIRECTORY=/var/lib/sluicegate
USER 10001:10001
VOLUME /var/lib/sluicegate
EXPOSE 8080 9902
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9902/health/ready', timeout=2)"]
ENTRYPOINT ["sluicegate"]
CMD ["run", "--config", "/etc/sluicegate/config.yaml"]
