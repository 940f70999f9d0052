# syntax=docker/dockerfile:1
FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/sluicegate && /opt/sluicegate/bin/pip install --no-cache-dir .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/sluicegate --create-home sluicegate
COPY --from=build /opt/sluicegate /opt/sluicegate
ENV PATH=/opt/sluicegate/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
VOLUME /var/lib/sluicegate
EXPOSE 8080 9902
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9902/health/ready', timeout=2)"]
ENTRYPOINT ["sluicegate"]
CMD ["run", "--config", "/etc/sluicegate/config.yaml"]
