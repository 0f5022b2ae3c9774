# The worker on the CPU, and `penchant serve` (the same package; CMD says which): no torch, no compiler, not root. From the root:
#   docker build -f deploy/images/worker.Dockerfile -t penchant:0.2.0 .
# CPU_NAME and CPU_FEATURES: the oldest processor that the machine code has to run on; here any x86 server since 2015.
FROM python:3.13-slim-bookworm AS made
ARG CPU_NAME=x86-64-v3
ARG CPU_FEATURES=+sse4.2,+popcnt,+cx16,+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe
ENV NUMBA_CPU_NAME=${CPU_NAME} NUMBA_CPU_FEATURES=${CPU_FEATURES}
WORKDIR /source
COPY deploy/lock/ deploy/lock/
COPY deploy/images/steps/ deploy/images/steps/
COPY pyproject.toml README.md LICENSE ./
COPY stream/ stream/
COPY models/ models/
RUN deploy/images/steps/install.sh /opt/penchant . deploy/lock/serve.txt deploy/lock/encoder.txt deploy/lock/model.txt
RUN deploy/images/steps/bake.sh /opt/penchant

FROM python:3.13-slim-bookworm AS worker
ARG CPU_NAME=x86-64-v3
ARG CPU_FEATURES=+sse4.2,+popcnt,+cx16,+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin penchant && install -d -o 10001 -g 10001 /data
COPY --from=made /opt/penchant /opt/penchant
COPY deploy/images/steps/entrypoint.sh deploy/images/steps/health.sh /usr/local/bin/
ENV NUMBA_CPU_NAME=${CPU_NAME} NUMBA_CPU_FEATURES=${CPU_FEATURES} \
    PENCHANT_ENCODER_CACHE_DIR=/opt/penchant/encoder PENCHANT_DATA_DIR=/data/worker PENCHANT_SERVE_DATA_DIR=/data/serve \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/penchant/bin:$PATH
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 9464 8780
ENTRYPOINT ["tini", "--", "entrypoint.sh"]
CMD ["worker"]
HEALTHCHECK --interval=10s --timeout=6s --retries=6 --start-period=120s CMD ["health.sh", "http://127.0.0.1:9464/healthz"]
